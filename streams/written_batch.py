"""Kafka's record batches (format v2) written from columns, in one compiled pass.

aiokafka's own builder takes a record at a time, as Python objects: for the profiles that a worker
publishes this was half of what it did for each. The format:
https://kafka.apache.org/documentation/#recordbatch
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
from aiokafka.record.util import calc_crc32c

from store.compiled import compiled, part
from store.encode import put_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.batch import Pairs

__all__ = ["WrittenBatch", "warm_up", "write_batches"]

# Base offset, length, leader epoch, magic, CRC; then, under the CRC: attributes, last offset
# delta, first and last timestamp, producer id and epoch, base sequence, number of records.
_BEFORE_CRC, _UNDER_CRC = struct.Struct(">qiibI"), struct.Struct(">hiqqqhii")
_HEADER_BYTES = _BEFORE_CRC.size + _UNDER_CRC.size
#: What the length does not count.
_BEFORE_LENGTH = 12
_MAGIC, _NO_EPOCH, _NO_PRODUCER = 2, -1, -1
#: Most bytes of a record beside key and value: five lengths, and the attributes.
_RECORD_BYTES = 5 * 5 + 1


class WrittenBatch:
    """As aiokafka's producer takes a batch (``BatchBuilder``): uncompressed, not idempotent."""

    def __init__(self, data: bytearray, records: int) -> None:
        self._data = data
        self._records = records

    def record_count(self) -> int:
        """How many records it holds."""
        return self._records

    def size(self) -> int:
        """Its bytes."""
        return len(self._data)

    def close(self) -> None:
        """Nothing can be added anyway."""

    def closed(self) -> bool:
        """So it is ready to be sent."""
        return True

    def _build(self) -> bytearray:
        return self._data


def write_batches(pairs: Pairs, now_ms: int, most_bytes: int) -> list[WrittenBatch]:
    """Batches of all pairs, in their order.

    Args:
        pairs: keys and values; neither may be null.
        now_ms: every record's timestamp.
        most_bytes: of a batch, unless a record alone has more.
    """
    batches: list[WrittenBatch] = []
    records, done = (len(pairs.bounds) - 1) // 2, 0
    while done < records:
        begin = done
        first = int(pairs.bounds[2 * begin + 2] - pairs.bounds[2 * begin]) + _RECORD_BYTES
        left = int(pairs.bounds[-1] - pairs.bounds[2 * begin]) + (records - begin) * _RECORD_BYTES
        room = max(first, min(left, most_bytes - _HEADER_BYTES))
        data = bytearray(_HEADER_BYTES + room)
        written = np.frombuffer(data, np.uint8)
        done, size = _write(pairs.buffer, pairs.bounds, begin, written, _HEADER_BYTES)
        del written  # a bytearray in use by others cannot be shortened
        del data[size:]
        _put_header(data, done - begin, now_ms)
        batches.append(WrittenBatch(data, done - begin))
    return batches


def warm_up(pairs: Pairs) -> None:
    """Load or compile the writing."""
    write_batches(pairs, 0, 1)


def _put_header(data: bytearray, records: int, now_ms: int) -> None:
    _UNDER_CRC.pack_into(
        data, _BEFORE_CRC.size,
        0, records - 1, now_ms, now_ms, _NO_PRODUCER, _NO_EPOCH, -1, records,
    )  # fmt: skip
    crc = calc_crc32c(memoryview(data)[_BEFORE_CRC.size :])
    _BEFORE_CRC.pack_into(data, 0, 0, len(data) - _BEFORE_LENGTH, _NO_EPOCH, _MAGIC, crc)


@part
def _varint_bytes(number: int) -> int:
    """Of a zigzag number that is not negative."""
    left, count = np.uint64(number) << np.uint64(1), 1
    while left >= np.uint64(0x80):
        left >>= np.uint64(7)
        count += 1
    return count


@part
def _put_varint(out: NDArray[np.uint8], at: int, number: int) -> int:
    left = np.uint64(number) << np.uint64(1)
    while left >= np.uint64(0x80):
        out[at] = (left & np.uint64(0x7F)) | np.uint64(0x80)
        left >>= np.uint64(7)
        at += 1
    out[at] = left
    return at + 1


@compiled
def _write(
    buffer: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    begin: int,
    out: NDArray[np.uint8],
    at: int,
) -> tuple[int, int]:
    """Write records from ``begin`` on as long as they fit; where it stopped, in both."""
    for i in range(begin, (bounds.shape[0] - 1) // 2):
        start, middle, end = bounds[2 * i], bounds[2 * i + 1], bounds[2 * i + 2]
        if at + end - start + _RECORD_BYTES > out.shape[0]:
            return i, at
        # Attributes, no time after the first, and no headers: one byte each.
        length = 3 + _varint_bytes(i - begin) + end - start
        length += _varint_bytes(middle - start) + _varint_bytes(end - middle)
        at = _put_varint(out, at, length)
        out[at] = 0
        out[at + 1] = 0
        at = _put_varint(out, at + 2, i - begin)
        at = put_bytes(out, _put_varint(out, at, middle - start), buffer, start, middle)
        at = put_bytes(out, _put_varint(out, at, end - middle), buffer, middle, end)
        out[at] = 0
        at += 1
    return (bounds.shape[0] - 1) // 2, at
