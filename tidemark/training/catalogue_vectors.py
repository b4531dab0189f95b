"""A catalogue's vectors, as a worker would make them, and which encoder made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from encoders import Templates
from store.interner import Interner
from streams.catalogue import Catalogue
from tidemark.compose.parts import build_encoding
from tidemark.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streams.schema import Item
    from tidemark.settings import Settings

__all__ = ["catalogue_vectors"]


def catalogue_vectors(settings: Settings, items: Sequence[Item]) -> tuple[NDArray[np.float32], str]:
    """``(items, dim) float32`` unit vectors of the items' texts, and the ``encoder_id``.

    Raises:
        EncoderError: the model cannot be loaded.
        EvaluationError: a text cannot be encoded.
    """
    texts = Catalogue(Templates(settings.encoder.templates), Interner())
    encoding = build_encoding(settings)
    try:
        encoded = encoding.encode_now([texts.item_text(item) for item in items])
        for text, error in encoded.errors.items():
            raise EvaluationError(
                f"an item's text cannot be encoded: {text[:60]!r}: {error}"
            ) from error
        return np.ascontiguousarray(encoded.vectors[encoded.index]), encoding.encoder_id
    finally:
        encoding.close()
