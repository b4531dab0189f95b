"""The end of the topic of dead letters, for the dashboard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from streams.admin import admin_client
from streams.errors import BrokerUnavailableError, TopicMismatchError
from streams.letters import read_mark
from streams.peek import TopicPeek

if TYPE_CHECKING:
    from streams.fetching import FetchedRecord
    from streams.security import Security

__all__ = ["LetterTail"]


class LetterTail:
    """A `store.dashboard.letters.LetterSource`: of many letters only the last are read.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        topic: of the dead letters.
        security: of the connections.
    """

    def __init__(self, bootstrap: str, topic: str, security: Security) -> None:
        self.topic = topic
        self._bootstrap = bootstrap
        self._security = security
        self._peek: TopicPeek | None = None
        self._read: dict[tuple[str, int], int] = {}  # the offset to go on from, by partition

    async def poll(self, most: int) -> list[FetchedRecord]:
        """What came since the last poll, the last ``most`` of each partition, oldest first.

        Raises:
            StreamsError: no broker answers, or there is no such topic.
        """
        if self._peek is None:
            await self._connect()
        assert self._peek is not None  # noqa: S101 # connected
        found: list[FetchedRecord] = []
        try:
            for (topic, partition), end in (await self._peek.ends(self._read)).items():
                begin = max(self._read[topic, partition], end - most, 0)
                if begin >= end:
                    continue
                async for records, position in self._peek.read(topic, partition, begin, end):
                    found += (one for one in records if read_mark(one) is None)
                    self._read[topic, partition] = position
        except (KafkaError, TimeoutError) as error:
            raise BrokerUnavailableError(
                f"the broker at {self._bootstrap} does not answer: {error}"
            ) from error
        return sorted(found, key=lambda one: one.timestamp)

    async def close(self) -> None:
        """Disconnect."""
        self._read = {}
        if self._peek is not None:
            peek, self._peek = self._peek, None
            await peek.stop()

    async def _connect(self) -> None:
        partitions = await asyncio.to_thread(self._partitions)
        peek = TopicPeek(self._bootstrap, security=self._security)
        await peek.start()
        self._peek = peek
        self._read = {(self.topic, number): 0 for number in range(partitions)}

    def _partitions(self) -> int:
        with admin_client(self._bootstrap, self._security) as admin:
            for topic in admin.describe_topics():
                if topic["name"] == self.topic:
                    return len(topic["partitions"])
        raise TopicMismatchError(
            f"topic {self.topic!r} does not exist; create it with: tidemark topics create"
        )
