"""Records of one partition in columns, as they came from the broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from streams.decode import RawRecord

__all__ = ["ChunkRecord", "RecordChunk", "Spans"]


class ChunkRecord(NamedTuple):
    """One of a chunk's records; ``timestamp`` in ms since the epoch."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Spans(NamedTuple):
    """Columns of n records, ``(n,) int64``; a span is ``[start, end)`` of a buffer, -1 for null.

    A record ends at ``ends``: between its value and that are its headers.
    """

    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    key_starts: NDArray[np.int64]
    key_ends: NDArray[np.int64]
    value_starts: NDArray[np.int64]
    value_ends: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def empty(cls, count: int) -> Spans:
        """For so many records, to be filled."""
        return cls(*(np.empty(count, np.int64) for _ in cls._fields))

    def shifted(self, by: int) -> Spans:
        """The same in a buffer in which theirs begins at ``by``."""
        keys, values = self.key_starts >= 0, self.value_starts >= 0
        return Spans(
            self.offsets,
            self.timestamps,
            self.key_starts + by * keys,
            self.key_ends + by * keys,
            self.value_starts + by * values,
            self.value_ends + by * values,
            self.ends + by,
        )


class RecordChunk(Sequence["ChunkRecord"]):
    """A sequence of records that are made when asked for, which for most of them is never.

    Attributes:
        buffer: the bytes of all keys and values, among others.
        spans: where each is, in offset order.
    """

    __slots__ = ("buffer", "spans")

    def __init__(self, buffer: NDArray[np.uint8], spans: Spans) -> None:
        self.buffer = buffer
        self.spans = spans

    @classmethod
    def of(cls, records: Iterable[RawRecord]) -> RecordChunk:
        """Any records as a chunk."""
        records = list(records)
        parts: list[bytes] = []
        rows: list[tuple[int, ...]] = []
        at = 0
        for record in records:
            row = [record.offset, record.timestamp]
            for part in (record.key, record.value):
                if part is None:
                    row += (-1, -1)
                else:
                    row += (at, at + len(part))
                    parts.append(part)
                    at += len(part)
            rows.append((*row, at))
        columns = np.array(rows, np.int64).reshape(-1, len(Spans._fields)).T
        buffer = np.frombuffer(b"".join(parts), np.uint8)
        return cls(buffer, Spans(*(np.ascontiguousarray(column) for column in columns)))

    @classmethod
    def joined(cls, sequences: Sequence[Sequence[RawRecord]]) -> RecordChunk:
        """Several sequences of records as one chunk, one after the other."""
        chunks = [one if isinstance(one, RecordChunk) else cls.of(one) for one in sequences]
        if len(chunks) == 1:
            return chunks[0]
        shifts = np.cumsum([0, *(len(chunk.buffer) for chunk in chunks[:-1])])
        spans = [
            chunk.spans.shifted(int(shift)) for chunk, shift in zip(chunks, shifts, strict=True)
        ]
        buffer = np.frombuffer(b"".join(chunk.buffer.data for chunk in chunks), np.uint8)
        return cls(buffer, Spans(*map(np.concatenate, zip(*spans, strict=True))))

    @property
    def size(self) -> int:
        """Bytes that are kept for it."""
        return len(self.buffer)

    def alone(self) -> RecordChunk:
        """The same with no more than its own bytes: another's need not be kept for it."""
        keys, values = self.spans.key_starts >= 0, self.spans.value_starts >= 0
        starts = np.concatenate((self.spans.key_starts[keys], self.spans.value_starts[values]))
        ends = np.concatenate((self.spans.key_ends[keys], self.spans.value_ends[values]))
        begin = int(starts.min(initial=len(self.buffer)))
        end = int(max(ends.max(initial=0), self.spans.ends.max(initial=0)))
        return RecordChunk(self.buffer[begin:end].copy(), self.spans.shifted(-begin))

    def __len__(self) -> int:
        return len(self.spans.offsets)

    @overload
    def __getitem__(self, place: int) -> ChunkRecord: ...
    @overload
    def __getitem__(self, place: slice) -> RecordChunk: ...
    def __getitem__(self, place: int | slice) -> ChunkRecord | RecordChunk:
        """A record; or some of them, as views of these columns."""
        if isinstance(place, slice):
            return RecordChunk(self.buffer, Spans(*(column[place] for column in self.spans)))
        offset, timestamp, *spans = (int(column[place]) for column in self.spans)
        return ChunkRecord(offset, timestamp, self._bytes(*spans[:2]), self._bytes(*spans[2:4]))

    def _bytes(self, start: int, end: int) -> bytes | None:
        return None if start < 0 else self.buffer[start:end].tobytes()
