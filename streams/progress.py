"""How far a worker has come: what there is in the topics that it reads, and what it has read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams.admin import admin_client
from streams.errors import BrokerUnavailableError
from streams.security import PLAINTEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.security import Security

__all__ = ["WorkerProgress"]

# Of ListOffsets.
_LATEST, _EARLIEST = -1, -2
#: What is left of a partition is looked at where it is no more offsets.
_FEW = 1_000
_LOOK_SECONDS, _POLL_MS = 5.0, 200


class WorkerProgress:
    """Asks the brokers about a group of workers. Every call connects anew, and blocks.

    A worker commits what it has read once all that comes of it is published and acknowledged.

    Every method raises `BrokerUnavailableError`, or `AccessRefusedError`, where it is not answered.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        group: of the workers.
        read: topics that they read.
        written: topics that they write.
        security: of the connections.
    """

    def __init__(
        self,
        bootstrap: str,
        group: str,
        read: Sequence[str],
        written: Sequence[str],
        *,
        security: Security = PLAINTEXT,
    ) -> None:
        self._bootstrap, self._security = bootstrap, security
        self._group = group
        self._read, self._written = read, written

    def goal(self) -> dict[tuple[str, int], int]:
        """Where the topics that are read end now, by topic and partition."""
        return self._ends(self._read)[1]

    def published(self) -> dict[tuple[str, int], int]:
        """The same of the topics that are written, without partitions that hold nothing."""
        first, ends = self._ends(self._written)
        return {one: end for one, end in ends.items() if end > first[one]}

    def unread(self, goal: Mapping[tuple[str, int], int]) -> int:
        """Records before the goal that the group has not committed."""
        behind = self._behind(goal)
        few = {one: gap for one, gap in behind.items() if gap[1] - gap[0] <= _FEW}
        # The marks that transactions end with count as offsets, and no group reads up to them.
        for one in few.keys() - self._with_records(few):
            del behind[one]
        return sum(end - begin for begin, end in behind.values())

    def _behind(self, goal: Mapping[tuple[str, int], int]) -> dict[TopicPartition, tuple[int, int]]:
        """From where to where each partition is still to be read."""
        with admin_client(self._bootstrap, self._security) as admin:
            wanted = [TopicPartition(*one) for one in goal]
            committed = admin.list_group_offsets({self._group: wanted})[self._group]
            first = admin.list_partition_offsets(dict.fromkeys(wanted, _EARLIEST))
        behind = {}
        for partition in wanted:
            done = committed.get(partition)
            # What has expired is not read any more; -1 where nothing is committed.
            begin = max(first[partition].offset, -1 if done is None else done.offset)
            end = goal[partition.topic, partition.partition]
            if begin < end:
                behind[partition] = begin, end
        return behind

    def _with_records(self, gaps: Mapping[TopicPartition, tuple[int, int]]) -> set[TopicPartition]:
        """Those that have a record in there, or do not tell in time."""
        if not gaps:
            return set()
        consumer = KafkaConsumer(
            bootstrap_servers=self._bootstrap.split(","),
            group_id=None,
            enable_auto_commit=False,
            fetch_max_wait_ms=_POLL_MS,
            **self._security.for_kafka_python(),
        )
        try:
            consumer.assign(list(gaps))
            for one, (begin, _) in gaps.items():
                consumer.seek(one, begin)
            unsure, found = set(gaps), set()
            deadline = time.monotonic() + _LOOK_SECONDS
            while unsure and time.monotonic() < deadline:
                for one, records in consumer.poll(timeout_ms=_POLL_MS).items():
                    if any(record.offset < gaps[one][1] for record in records):
                        found.add(one)
                unsure = {one for one in unsure - found if consumer.position(one) < gaps[one][1]}
        except KafkaError as error:
            raise BrokerUnavailableError(
                f"the brokers at {self._bootstrap} cannot be read from: {error}"
            ) from error
        finally:
            consumer.close()
        return found | unsure

    def _ends(
        self, topics: Sequence[str]
    ) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], int]]:
        """The first offsets that are left, and the ends."""
        with admin_client(self._bootstrap, self._security) as admin:
            wanted = [
                TopicPartition(topic["name"], one["partition_index"])
                for topic in admin.describe_topics(list(topics))
                for one in topic["partitions"]
            ]
            first = admin.list_partition_offsets(dict.fromkeys(wanted, _EARLIEST))
            ends = admin.list_partition_offsets(dict.fromkeys(wanted, _LATEST))
        places = [(one.topic, one.partition) for one in wanted]
        return (
            {place: first[one].offset for place, one in zip(places, wanted, strict=True)},
            {place: ends[one].offset for place, one in zip(places, wanted, strict=True)},
        )
