"""What aiokafka hands over of what it fetched: something lighter than its own records.

Its ConsumerRecord, a frozen dataclass of eleven fields, costs three times the parsing, and even the
parser's own records cost more than all that the worker does with them. There is no setting for it,
so what makes them is put before aiokafka's own when the first consumer asks for it; those that did
not ask get what they always got. Written against 0.14; the tests read through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiokafka
import msgspec
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch

from streams.chunk import ChunkRecord
from streams.errors import StreamsError
from streams.record_batch import BatchReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiokafka import AIOKafkaConsumer

    from streams.chunk import RecordChunk

__all__ = ["FetchedRecord", "hand_over_chunks", "hand_over_light"]

_VERSION = "0.14."
_StockMemoryRecords: Any = fetcher.MemoryRecords
_stock_partition_records = fetcher.PartitionRecords
#: Of a batch's header: its offset and its own length are not counted in the length.
_LENGTH_AT, _BEFORE_LENGTH = slice(8, 12), 12


class FetchedRecord(msgspec.Struct, frozen=True, gc=False):
    """One Kafka record; ``timestamp`` in ms since the epoch. A null value is a tombstone."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class _MemoryRecords(_StockMemoryRecords):  # type: ignore[misc] # aiokafka is untyped
    """Keeps the bytes that it was made of."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.raw = raw


class _Light(fetcher.PartitionRecords):  # type: ignore[misc] # aiokafka is untyped
    def _consumer_record(self, tp: Any, record: Any) -> FetchedRecord:
        return FetchedRecord(
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            tuple(record.headers),
        )


class _InChunks(fetcher.PartitionRecords):  # type: ignore[misc] # aiokafka is untyped
    """Yields `RecordChunk`s of at most ``most`` records, of one or several batches."""

    most = 1
    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[RecordChunk]:
        reader, first = BatchReader(self.next_fetch_offset), self.next_fetch_offset
        position = 0  # of the next batch in the bytes
        while self._records.has_next():
            raw = memoryview(self._records.raw)[position:]
            raw = raw[: _BEFORE_LENGTH + int.from_bytes(raw[_LENGTH_AT], "big")]
            position += len(raw)
            try:
                self._read(reader, raw, self._records.next_batch())
            except (CorruptRecordException, UnsupportedCodecError) as error:
                if reader.after == first:
                    raise type(error)(
                        f"{self._tp.topic}-{self._tp.partition}, offset {first}: {error}. Restore "
                        "the partition from a replica or a backup, or move the consumer group past "
                        "it: kafka-consumer-groups.sh --reset-offsets"
                    ) from error
                # What stands before it is handed over; it will be the first of the next fetch.
                break
            if len(reader) >= self.most:
                yield from self._gathered(reader)
        yield from self._gathered(reader)

    def _read(self, reader: BatchReader, raw: memoryview, batch: Any) -> None:
        if self._check_crcs and not batch.validate_crc():
            raise CorruptRecordException("the batch is damaged: its checksum is wrong")
        if not isinstance(batch, DefaultRecordBatch):
            reader.add_records([_plain(one) for one in batch])
        elif batch.is_control_batch:
            reader.pass_over(batch.next_offset)
        else:
            reader.add(raw, batch)

    def _gathered(self, reader: BatchReader) -> Iterator[RecordChunk]:
        """What was read since the last time; the position is then after all that was read."""
        chunk = reader.take(self.next_fetch_offset)
        # Of one size, rather than all but the last of the largest.
        parts = -(-len(chunk) // self.most)
        for part in range(parts):
            some = chunk[len(chunk) * part // parts : len(chunk) * (part + 1) // parts]
            if parts > 1:
                some = some.alone()
            self.next_fetch_offset = int(some.spans.offsets[-1]) + 1
            yield some
        # Also where there was no record: control batches, and what compaction left empty.
        self.next_fetch_offset = max(reader.after, self.next_fetch_offset)


def _plain(record: Any) -> ChunkRecord:
    """Of the formats before v2; the oldest has no times."""
    timestamp = -1 if record.timestamp is None else record.timestamp
    return ChunkRecord(record.offset, timestamp, record.key, record.value)


class _Choice:
    """Given to a consumer as its key deserializer, the one thing of it that comes along."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __call__(self, key: bytes | None) -> bytes | None:
        """As a deserializer: nothing."""
        return key


def hand_over_light(consumer: AIOKafkaConsumer) -> None:
    """From now on this consumer gives `FetchedRecord`."""
    _take_part()
    consumer._key_deserializer = _Choice(_Light)  # noqa: SLF001 # see `_Choice`


def hand_over_chunks(consumer: AIOKafkaConsumer, records: int, chunks: int) -> None:
    """From now on this consumer gives `RecordChunk`, which count as one record each.

    Args:
        consumer: not started yet.
        records: at most so many in a chunk.
        chunks: at most so many a poll.

    Raises:
        ValueError: the consumer leaves out aborted transactions, which is not done here.
    """
    if consumer._isolation_level != "read_uncommitted":  # noqa: SLF001 # nothing tells it
        raise ValueError("aborted transactions are not left out of chunks")
    _take_part()
    kind = type("_InChunks", (_InChunks,), {"most": records})
    consumer._key_deserializer = _Choice(kind)  # noqa: SLF001 # see `_Choice`
    consumer._max_poll_records = chunks  # noqa: SLF001 # Faust made it, and gave it records


def _take_part() -> None:
    """Put our classes before aiokafka's.

    Raises:
        StreamsError: its version is another than they were written against.
    """
    if not aiokafka.__version__.startswith(_VERSION):
        raise StreamsError(
            f"aiokafka {aiokafka.__version__} is installed; expected {_VERSION}x, since what reads "
            "fetched records is ours: pip install -c constraints.txt aiokafka"
        )
    fetcher.MemoryRecords = _MemoryRecords
    fetcher.PartitionRecords = _partition_records


def _partition_records(tp: Any, records: Any, *args: Any) -> Any:
    _, _, key_deserializer, *_ = args
    chosen = isinstance(key_deserializer, _Choice)
    kind = key_deserializer.kind if chosen else _stock_partition_records
    return kind(tp, records, *args)
