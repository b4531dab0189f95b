"""Messages that cannot be processed: kept as they came, with the reason in headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.records import OutRecord

if TYPE_CHECKING:
    from streams.batches import TopicPartition
    from streams.decode import RawRecord
    from streams.errors import RejectedError

__all__ = ["dead_letter"]

#: A reason is for people to read.
_REASON_CHARS = 500
#: A value that was compressed may be more than any topic takes.
_MOST_BYTES = 16 * 1024 * 1024


def dead_letter(
    topic: str, source: TopicPartition, record: RawRecord, error: RejectedError, now_ms: int
) -> OutRecord:
    """The record for ``actions-dead-letter``: the original key and bytes, and six headers.

    Headers: ``error`` (a `RejectReason`), ``reason`` (in words), ``source-topic``,
    ``source-partition``, ``source-offset``, ``time`` (ms since the epoch), all UTF-8. A crash
    between publishing and committing repeats a letter; the source names tell.
    """
    headers = (
        ("error", error.reason.value.encode()),
        ("reason", error.detail[:_REASON_CHARS].encode(errors="replace")),
        ("source-topic", source.topic.encode()),
        ("source-partition", str(source.partition).encode()),
        ("source-offset", str(record.offset).encode()),
        ("time", str(now_ms).encode()),
    )
    letter = OutRecord(topic, source.partition, record.key, record.value, headers, may_shorten=True)
    return letter.shortened() if len(record.value or b"") > _MOST_BYTES else letter
