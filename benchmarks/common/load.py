"""Fill a topic quickly, before anything is measured."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CommittedRecords", "load", "records_in", "wait_until_served"]

_SERVED_SECONDS = 30.0


def load(bootstrap: str, topic: str, records: Iterable[tuple[bytes, bytes]]) -> int:
    """Publish (key, value) pairs, lz4 and acks=all, partitioned as Kafka's Java client does.

    Returns:
        How many the broker acknowledged.

    Raises:
        RuntimeError: not all arrived.
    """
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 50,
            "batch.size": 256 * 1024,
            "queue.buffering.max.messages": 1_000_000,
            "partitioner": "murmur2_random",
            "log_level": 3,  # errors: a broker that has just started is retried in silence
        }
    )
    before = records_in(bootstrap, topic)
    sent = 0
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:  # the client's queue is full: let it send
                producer.poll(0.05)
        sent += 1
    if producer.flush(120) > 0 or records_in(bootstrap, topic) - before != sent:
        raise RuntimeError(f"of {sent} records, not all arrived in {topic}; see the broker's log")
    return sent


def wait_until_served(bootstrap: str, topic: str) -> None:
    """Return when every partition of a new topic answers.

    Raises:
        KafkaException: not within 30 s.
    """
    records_in(bootstrap, topic)


def _partitions_of(bootstrap: str, topic: str) -> list[TopicPartition]:
    """The topic's partitions."""
    consumer = _reader(bootstrap, "tidemark-bench")
    try:
        found = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        if not found:
            raise KafkaException(f"{topic} has no partitions yet")
        return [TopicPartition(topic, number) for number in sorted(found)]
    finally:
        consumer.close()


class CommittedRecords:
    """How far a consumer group has come, in records of a topic.

    Asks the broker, not the worker, so that asking does not cost the worker anything.
    """

    def __init__(self, bootstrap: str, group: str, topic: str) -> None:
        self._consumer = _reader(bootstrap, group)
        self._partitions = _partitions_of(bootstrap, topic)

    def __call__(self) -> int:
        """Committed records of all partitions together."""
        offsets = self._consumer.committed(self._partitions, timeout=30)
        return sum(max(0, one.offset) for one in offsets)

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


def _reader(bootstrap: str, group: str) -> Consumer:
    return Consumer(
        {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False}
    )


def records_in(bootstrap: str, topic: str) -> int:
    """Records ever published to a topic.

    A partition of a new topic has no leader at first, and is asked again.
    """
    deadline = time.monotonic() + _SERVED_SECONDS
    while True:
        try:
            return _ask_end(bootstrap, topic)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _ask_end(bootstrap: str, topic: str) -> int:
    consumer = _reader(bootstrap, "tidemark-bench")
    try:
        partitions = _partitions_of(bootstrap, topic)
        return sum(consumer.get_watermark_offsets(one, timeout=30)[1] for one in partitions)
    finally:
        consumer.close()
