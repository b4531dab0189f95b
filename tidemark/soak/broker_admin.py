"""What a soak asks of its brokers beside reading and writing. Every call blocks."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafka import KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["BrokerAdmin"]

#: Key of the tombstones that make Kafka begin a new segment; no user is called so.
MARKER = b"soak-marker"
#: For a new topic to be known to every broker.
_HEARD_SECONDS = 15.0


class BrokerAdmin:
    """Administration of one cluster; connects anew for each call, for brokers come and go.

    Every method raises KafkaError where no broker answers.
    """

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap.split(",")

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        client = KafkaAdminClient(bootstrap_servers=self._bootstrap, request_timeout_ms=15_000)
        try:
            yield client
        finally:
            client.close()

    def configure(self, topic: str, settings: Mapping[str, str]) -> None:
        """Change settings of a topic; waits for a broker that has not heard of a new one yet.

        Raises:
            ValueError: it knows no such settings, or still no such topic.
        """
        deadline = time.monotonic() + _HEARD_SECONDS
        with self._connected() as admin:
            while True:
                resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(settings))
                try:
                    admin.alter_configs([resource])
                except ValueError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.2)
                else:
                    return

    def uncommitted(self, group: str, topic: str) -> int:
        """Records of the topic that the group has not committed."""
        with self._connected() as admin:
            ends = admin.list_partition_offsets(
                {TopicPartition(topic, number): -1 for number in _partitions(admin, topic)}
            )
            committed = admin.list_group_offsets({group: list(ends)})[group]
        behind = 0
        for partition, end in ends.items():
            done = committed.get(partition)
            behind += end.offset - max(0, done.offset if done is not None else 0)
        return behind

    def move_leaders(self, topic: str) -> None:
        """Ask that another copy of every partition leads; `leaders` says when it does."""
        with self._connected() as admin:
            turned = {
                TopicPartition(topic, one["partition_index"]): _turned(
                    list(one["replica_nodes"]), one["leader_id"]
                )
                for one in _described(admin, topic)
            }
            admin.alter_partition_reassignments(turned)
            admin.elect_leaders(0, {topic: [one.partition for one in turned]}, raise_errors=False)

    def leaders(self, topic: str) -> list[int]:
        """The node that leads each partition, from partition 0 on; -1 where none does."""
        with self._connected() as admin:
            described = sorted(_described(admin, topic), key=lambda one: one["partition_index"])
        return [one["leader_id"] for one in described]

    def in_sync(self, topic: str) -> int:
        """The fewest copies in sync that a partition of the topic has."""
        with self._connected() as admin:
            return min(len(one["isr_nodes"]) for one in _described(admin, topic))

    def mark(self, topic: str) -> dict[int, int]:
        """Write a tombstone for no user to every partition; returns their offsets."""
        with self._connected() as admin:
            partitions = _partitions(admin, topic)
        producer = KafkaProducer(bootstrap_servers=self._bootstrap, acks="all")
        try:
            sent = {
                number: producer.send(topic, key=MARKER, value=None, partition=number)
                for number in partitions
            }
            return {number: future.get(20).offset for number, future in sent.items()}
        finally:
            producer.close()


def _described(admin: Any, topic: str) -> list[Any]:
    found: list[Any] = admin.describe_topics([topic])[0]["partitions"]
    return found


def _partitions(admin: Any, topic: str) -> list[int]:
    return sorted(one["partition_index"] for one in _described(admin, topic))


def _turned(copies: list[int], leader: int) -> list[int]:
    """The copies in their order, from the one after the leader on: the first is to lead."""
    first = (copies.index(leader) + 1) % len(copies) if leader in copies else 0
    return copies[first:] + copies[:first]
