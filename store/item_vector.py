"""An item as it stands in the compacted topic ``item-vectors``."""

from __future__ import annotations

import msgspec

__all__ = ["ITEM_OFFSET_HEADER", "ItemVector"]

#: Of a tombstone: the `ItemVector.source_offset` of the deletion, in decimal digits.
ITEM_OFFSET_HEADER = "source-offset"


class ItemVector(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An encoded item. Topic ``item-vectors`` (compacted), key ``item_id``; null deletes.

    Attributes:
        encoder: the ``encoder_id`` that made the vector.
        dim: length of the vector.
        vector: ``dim`` little-endian float32, unit norm.
        source_offset: of the record of ``items`` that it was made from. Of a key the record with
            the highest counts, not the last one written: a worker that was stopped past its
            session may still send an older one.
        attributes: of the item, for filters; values other than strings as JSON writes them.
    """

    encoder: str
    dim: int
    vector: bytes
    title: str
    categories: tuple[str, ...] = ()
    source_offset: int = -1
    attributes: dict[str, str] | None = None
    v: int = 1
