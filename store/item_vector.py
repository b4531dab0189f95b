"""An item as it stands in the compacted topic ``item-vectors``."""

from __future__ import annotations

import msgspec

__all__ = ["ItemVector"]


class ItemVector(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An encoded item. Topic ``item-vectors`` (compacted), key ``item_id``; null deletes.

    Attributes:
        encoder: the ``encoder_id`` that made the vector.
        dim: length of the vector.
        vector: ``dim`` little-endian float32, unit norm.
    """

    encoder: str
    dim: int
    vector: bytes
    title: str
    categories: tuple[str, ...] = ()
    v: int = 1
