"""Other forms of a text, so that a map does not hang on single words; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["without_some_words"]


def without_some_words(texts: Sequence[str], share: float, seed: int) -> list[str]:
    """Each text without a share of its words, drawn at random; at least one stays.

    Args:
        texts: any.
        share: of the words, on average.
        seed: of the draws.
    """
    draws = np.random.default_rng(seed)
    found = []
    for text in texts:
        words = text.split()
        kept = draws.random(len(words)) >= share
        if len(words) and not kept.any():
            kept[draws.integers(len(words))] = True
        left = " ".join(word for word, stays in zip(words, kept, strict=True) if stays)
        found.append(left or text)
    return found
