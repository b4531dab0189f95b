"""An item's words beside its vector: what it is called, where the vector knows what it means.

A model of texts makes little of names, years and codes, which tell users' next items all the same:
"2013" follows "2013", and a teacup of one pattern another of it. So the ranking holds of each item
the row ``[v, SHARE·w]``: the unit vector v of its text, and its words w hashed to a few numbers
(Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009), of unit length too.
Profiles have no such part: a user's words are those of the latest items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["WORDS", "WordEncoder", "rows_of", "words_of"]

#: Numbers that words are hashed to, and what they count beside the vector: chosen on the first
#: halves of three logs (docs/evaluation.md).
WORDS, _SHARE = 128, np.float32(0.5)
#: Characters that are hashed; a title may have 20,000, and the owner thread waits for it.
_MOST_LETTERS = 256


class WordEncoder(Protocol):
    """Hashes words (`encoders.HashingEncoder`)."""

    @property
    def dim(self) -> int:
        """Numbers that a text's words become."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``(n, dim) float32``, unit rows, in the order of the texts."""
        ...


def words_of(title: str, categories: Sequence[str]) -> str:
    """The words that an item is found by: the first of title and categories."""
    return " ".join((title[:_MOST_LETTERS], *categories))[:_MOST_LETTERS]


def rows_of(vectors: NDArray[np.float32], words: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(n, dim + WORDS) float32`` vector and words of each item.

    Args:
        vectors: ``(n, dim) float32`` unit rows.
        words: ``(n, WORDS) float32`` unit rows.
    """
    rows: NDArray[np.float32] = np.concatenate((vectors, _SHARE * words), axis=1)
    return rows
