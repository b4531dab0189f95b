"""How far a worker has come: what there is in the topics that it reads, and what it has read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka import TopicPartition

from streams.admin import admin_client
from streams.security import PLAINTEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.security import Security

__all__ = ["WorkerProgress"]

# Of ListOffsets.
_LATEST, _EARLIEST = -1, -2


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
        """Where the topics that are read end now, by topic and partition.

        Without partitions that hold nothing: of what was in them no group reads any more.
        """
        return self._ends(self._read)

    def published(self) -> dict[tuple[str, int], int]:
        """The same of the topics that are written."""
        return self._ends(self._written)

    def unread(self, goal: Mapping[tuple[str, int], int]) -> int:
        """Records before the goal that the group has not committed."""
        with admin_client(self._bootstrap, self._security) as admin:
            wanted = [TopicPartition(*one) for one in goal]
            committed = admin.list_group_offsets({self._group: wanted})[self._group]
            first = admin.list_partition_offsets(dict.fromkeys(wanted, _EARLIEST))
        behind = 0
        for partition in wanted:
            done = committed.get(partition)
            # What has expired is not read any more; -1 where nothing is committed.
            begin = max(first[partition].offset, -1 if done is None else done.offset)
            behind += max(0, goal[partition.topic, partition.partition] - begin)
        return behind

    def _ends(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        with admin_client(self._bootstrap, self._security) as admin:
            wanted = [
                TopicPartition(topic["name"], one["partition_index"])
                for topic in admin.describe_topics(list(topics))
                for one in topic["partitions"]
            ]
            first = admin.list_partition_offsets(dict.fromkeys(wanted, _EARLIEST))
            ends = admin.list_partition_offsets(dict.fromkeys(wanted, _LATEST))
        return {
            (one.topic, one.partition): ends[one].offset
            for one in wanted
            if ends[one].offset > first[one].offset
        }
