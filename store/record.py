"""Records as a Kafka client hands them over, and the tally of what became of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from store.errors import CorruptRecordError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.sensor import Sensor

__all__ = ["OUTCOMES", "Record", "RecordTally", "key_of"]

logger = logging.getLogger(__name__)

#: What may become of a record: see `RecordTally`.
OUTCOMES = ("applied", "stale", "corrupt", "foreign")


class Record(Protocol):
    """One Kafka record; `streams.fetching.FetchedRecord` is one.

    ``timestamp`` is in milliseconds since the epoch. A null value is a tombstone; a
    header's value may be null, too.
    """

    @property
    def topic(self) -> str: ...  # noqa: D102 - said by the class
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...  # noqa: D102


def key_of(record: Record) -> str:
    """The record's key, an id in UTF-8.

    Raises:
        CorruptRecordError: there is none, or it is not UTF-8.
    """
    if record.key is None:
        raise CorruptRecordError("the record has no key; expected an id")
    try:
        return record.key.decode()
    except UnicodeDecodeError as error:
        raise CorruptRecordError(f"the key is not UTF-8: {error}") from error


class RecordTally:
    """Counts the records skipped, and keeps the reason not to serve.

    Attributes:
        stale: records at or below the version held.
        corrupt: records that could not be read.
        foreign: records of another encoder.
        mismatch: the first foreign record in one line, for the operator; None while there is none.
    """

    def __init__(self, encoder_id: str, sensor: Sensor) -> None:
        self._encoder_id = encoder_id
        self._sensor = sensor
        self.stale = 0
        self.corrupt = 0
        self.foreign = 0
        self.mismatch: str | None = None

    def on_applied(self, topic: str, count: int) -> None:
        """So many records are in the view."""
        self._sensor.on_records(topic, "applied", count)

    def on_stale(self, record: Record) -> None:
        """The view holds this version or a newer one."""
        self.stale += 1
        self._sensor.on_records(record.topic, "stale", 1)

    def on_corrupt(self, record: Record, error: CorruptRecordError) -> None:
        """The record is skipped, with a line in the log."""
        self.corrupt += 1
        self._sensor.on_records(record.topic, "corrupt", 1)
        logger.warning(
            "skipped a record: topic=%s partition=%d offset=%d reason=%s",
            record.topic,
            record.partition,
            record.offset,
            error,
        )

    def on_foreign(self, record: Record, encoder: str) -> None:
        """The record's vector is not comparable with ours and is not mixed in."""
        self.foreign += 1
        self._sensor.on_records(record.topic, "foreign", 1)
        if self.mismatch is None:
            self.mismatch = (
                f"topic {record.topic} holds vectors of encoder {encoder!r}, this service uses "
                f"{self._encoder_id!r}: start it with that encoder, or rebuild the topic with "
                "this one"
            )
            logger.error(
                "%s (partition=%d offset=%d)", self.mismatch, record.partition, record.offset
            )
