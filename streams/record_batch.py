"""Kafka's record batches (format v2) to columns, in one compiled pass over their bytes.

The format: https://kafka.apache.org/documentation/#recordbatch
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import cramjam
import numpy as np
from aiokafka import codec
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError

from store.compiled import compiled, part
from streams.chunk import RecordChunk, Spans

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiokafka.record.default_records import DefaultRecordBatch
    from numpy.typing import NDArray

    from streams.decode import RawRecord

__all__ = ["BatchReader", "warm_up"]

#: Bytes before a batch's records.
_HEADER_BYTES = 61
_COUNT_AT = slice(57, 61)
_LOG_APPEND_TIME = 1

#: By compression type: whether its library is there, and what reads it.
_CODECS: dict[int, tuple[str, Callable[[], bool], Callable[[bytes], bytes]]] = {
    1: ("gzip", codec.has_gzip, codec.gzip_decode),
    2: ("snappy", codec.has_snappy, codec.snappy_decode),
    3: ("lz4", codec.has_lz4, codec.lz4_decode),
    4: ("zstd", codec.has_zstd, codec.zstd_decode),
}

#: What gzip and cramjam raise of bytes that are not what they should be, and the framing of snappy.
_DAMAGED = (cramjam.DecompressionError, OSError, EOFError, zlib.error, struct.error)


class BatchReader:
    """Gathers batches of one partition, one after the other, into one chunk.

    Args:
        position: the offset before which nothing is asked for.

    Attributes:
        after: the offset after all that was read.
    """

    def __init__(self, position: int) -> None:
        self.after = position
        self._payloads: list[bytes] = []
        self._spans: list[Spans] = []
        self._bytes = 0
        self._records = 0

    def __len__(self) -> int:
        return self._records

    def add(self, raw: memoryview, header: DefaultRecordBatch) -> None:
        """Read a batch.

        Args:
            raw: its bytes, checked by their CRC.
            header: the same batch as aiokafka reads it, for what its header says.

        Raises:
            CorruptRecordException: its records are not what its header says.
            UnsupportedCodecError: the library for its compression is not installed.
        """
        payload = _uncompressed(raw[_HEADER_BYTES:], header.compression_type)
        buffer = np.frombuffer(payload, np.uint8)
        count = int.from_bytes(raw[_COUNT_AT], "big", signed=True)
        if not 0 <= count <= len(buffer):
            raise CorruptRecordException(f"a batch of {len(buffer)} bytes claims {count} records")
        # The broker's time, where the topic is set so, is every record's.
        appended = header.max_timestamp if header.timestamp_type == _LOG_APPEND_TIME else -1
        spans = Spans.empty(count)
        end = _read_records(
            buffer, spans, header.base_offset, header.first_timestamp, appended, self._bytes
        )
        if end != len(buffer):
            raise CorruptRecordException(
                f"the batch at offset {header.base_offset} has {len(buffer)} bytes of records; "
                f"its {count} records cannot be read"
            )
        self._keep(payload, spans)
        self.pass_over(header.next_offset)

    def add_records(self, records: Sequence[RawRecord]) -> None:
        """Take records that were read otherwise, in offset order."""
        if records:
            chunk = RecordChunk.of(records)
            self._keep(chunk.buffer.tobytes(), chunk.spans.shifted(self._bytes))
            self.pass_over(records[-1].offset + 1)

    def pass_over(self, next_offset: int) -> None:
        """Nothing that counts lies before this offset any more."""
        self.after = max(self.after, next_offset)

    def _keep(self, payload: bytes, spans: Spans) -> None:
        self._payloads.append(payload)
        self._spans.append(spans)
        self._bytes += len(payload)
        self._records += len(spans.offsets)

    def take(self, first_offset: int) -> RecordChunk:
        """All that was added since the last call, from an offset on.

        What is before was not asked for, but lies in the same batch.
        """
        buffer = np.frombuffer(b"".join(self._payloads), np.uint8)
        spans = Spans.empty(0)
        if self._spans:
            spans = Spans(*map(np.concatenate, zip(*self._spans, strict=True)))
        self._payloads, self._spans, self._bytes, self._records = [], [], 0, 0
        begin = int(np.searchsorted(spans.offsets, first_offset))
        return RecordChunk(buffer, spans)[begin:]


def warm_up() -> None:
    """Load or compile the reading."""
    _read_records(np.zeros(1, np.uint8), Spans.empty(0), 0, 0, -1, 0)


def _uncompressed(records: memoryview, compression: int) -> bytes:
    if compression == 0:
        return records.tobytes()
    name, is_there, decode = _CODECS.get(compression, (str(compression), lambda: False, bytes))
    if not is_there():
        raise UnsupportedCodecError(f"records are compressed by {name}, which cannot be read here")
    try:
        return bytes(decode(records.tobytes()))
    except _DAMAGED as error:
        raise CorruptRecordException(f"a batch cannot be decompressed ({name}): {error}") from error


@part
def _varint(buffer: NDArray[np.uint8], at: int) -> tuple[int, int]:
    """A zigzag number and where it ends; -1 where the buffer ends first, or it has 64 bits more."""
    number, shift = np.uint64(0), np.uint64(0)
    while 0 <= at < buffer.shape[0] and shift < np.uint64(70):
        byte = np.uint64(buffer[at])
        at += 1
        number |= (byte & np.uint64(0x7F)) << shift
        if byte < np.uint64(0x80):
            value = np.int64(number >> np.uint64(1)) ^ -np.int64(number & np.uint64(1))
            return value, at  # type: ignore[return-value] # compiled, it is what int is
        shift += np.uint64(7)
    return np.int64(0), -1  # type: ignore[return-value] # as above


@part
def _span(buffer: NDArray[np.uint8], at: int) -> tuple[int, int]:
    """Where bytes with their length before them start and end: -1 and the end of a null's length.

    An end of -1: they are not there.
    """
    length, at = _varint(buffer, at)
    if at < 0 or length < -1 or at + max(length, 0) > buffer.shape[0]:
        return -1, -1
    if length < 0:
        return -1, at
    return at, at + length


@compiled
def _read_records(
    buffer: NDArray[np.uint8],
    spans: Spans,
    base_offset: int,
    first_timestamp: int,
    appended: int,
    shift: int,
) -> int:
    """Fill the columns; returns where the last record ends, -1 where one cannot be read.

    ``appended``: every record's time, if it is not -1. ``shift`` is added to every span.
    """
    at = 0
    for i in range(spans.offsets.shape[0]):
        length, at = _varint(buffer, at)
        end = at + length
        if at < 0 or length < 0 or end > buffer.shape[0]:
            return -1
        since, at = _varint(buffer, at + 1)  # a byte of attributes, unused
        after, at = _varint(buffer, at)
        if at < 0:
            return -1
        spans.offsets[i] = base_offset + after
        spans.timestamps[i] = appended if appended != -1 else first_timestamp + since
        start, at = _span(buffer, at)
        if at < 0:
            return -1
        spans.key_starts[i] = start + shift if start >= 0 else -1
        spans.key_ends[i] = at + shift if start >= 0 else -1
        start, at = _span(buffer, at)
        if at < 0 or at > end:
            return -1
        spans.value_starts[i] = start + shift if start >= 0 else -1
        spans.value_ends[i] = at + shift if start >= 0 else -1
        spans.ends[i] = end + shift
        at = end  # headers: see `streams.traces`
    return at
