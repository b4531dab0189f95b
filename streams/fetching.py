"""What aiokafka hands over for each record that it fetched: something lighter than its own.

Its ConsumerRecord, a frozen dataclass of eleven fields, costs three times the parsing. There is no
setting for it, so the class that makes them is put before aiokafka's own here; consumers that did
not ask for it get what they always got.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka.consumer import fetcher

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer

__all__ = ["FetchedRecord", "hand_over_as_parsed", "hand_over_light"]

_stock = fetcher.PartitionRecords


class FetchedRecord(msgspec.Struct, frozen=True, gc=False):
    """One Kafka record; ``timestamp`` in ms since the epoch. A null value is a tombstone."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class _AsParsed(fetcher.PartitionRecords):  # type: ignore[misc] # aiokafka is untyped
    def _consumer_record(self, _: Any, record: Any) -> Any:
        return record


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


def hand_over_as_parsed(consumer: AIOKafkaConsumer) -> None:
    """From now on this consumer gives the parser's own records.

    They have offset, timestamp, key, value and headers, but not where they are from.
    """
    consumer._key_deserializer = _as_parsed  # noqa: SLF001 # see `_partition_records`


def hand_over_light(consumer: AIOKafkaConsumer) -> None:
    """From now on this consumer gives `FetchedRecord`."""
    consumer._key_deserializer = _light  # noqa: SLF001 # see `_partition_records`


def _as_parsed(key: bytes | None) -> bytes | None:
    return key


def _light(key: bytes | None) -> bytes | None:
    return key


_KINDS = {_as_parsed: _AsParsed, _light: _Light}


def _partition_records(tp: Any, records: Any, *args: Any) -> Any:
    """Chosen by the consumer's key deserializer, the one thing of a consumer that comes here."""
    _, _, key_deserializer, *_ = args
    return _KINDS.get(key_deserializer, _stock)(tp, records, *args)


fetcher.PartitionRecords = _partition_records
