"""The vectors of a catalogue's texts, as a worker would make them, and which encoder made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from encoders import Templates
from store.interner import Interner
from streams.catalogue import Catalogue
from tidemark.compose.parts import build_encoding
from tidemark.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from streams.schema import Item
    from tidemark.settings import Settings

__all__ = ["encode_catalogue"]

#: Texts are encoded so many at a time, so that progress can be shown.
_CHUNK = 512


def encode_catalogue(
    settings: Settings,
    items: Sequence[Item],
    folder: Path | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> tuple[NDArray[np.float32], str]:
    """``(items, dim) float32``, unit rows: of the template ``item`` by the settings' encoder.

    And the ``encoder_id``.

    Args:
        settings: the encoder, its templates and caches.
        items: the catalogue.
        folder: of the cache on disk, where the settings name none; None for none.
        on_progress: is told how many items are done.

    Raises:
        EncoderError: the model cannot be loaded.
        EvaluationError: a text cannot be encoded.
    """
    catalogue = Catalogue(Templates(settings.encoder.templates), Interner())
    encoding = build_encoding(settings, folder)
    try:
        parts = []
        for start in range(0, len(items), _CHUNK):
            part = items[start : start + _CHUNK]
            encoded = encoding.encode_now([catalogue.item_text(item) for item in part])
            for text, error in encoded.errors.items():
                raise EvaluationError(
                    f"an item's text cannot be encoded: {text[:60]!r}: {error}"
                ) from error
            parts.append(encoded.vectors[encoded.index])
            on_progress(start + len(part))
        return np.concatenate(parts), encoding.encoder_id
    finally:
        encoding.close()
