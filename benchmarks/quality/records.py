"""Records of Kafka, made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from store.item_vector import ItemVector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MadeRecord", "item_record"]


class MadeRecord(msgspec.Struct):
    """What a view reads of a record."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 0


def item_record(encoder: str, at: int, row: NDArray[np.float32]) -> MadeRecord:
    """Of the item ``i{at}``, whose vector is the row."""
    value = ItemVector(
        encoder=encoder, dim=len(row), vector=row.astype("<f4").tobytes(), title=f"Item {at}",
        categories=(), source_offset=at,
    )  # fmt: skip
    return MadeRecord("item-vectors", 0, at, f"i{at}".encode(), msgspec.msgpack.encode(value))
