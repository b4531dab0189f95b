"""The end of the topic of dead letters, for the dashboard."""

from __future__ import annotations

import asyncio
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError

from store.dashboard.letters import letter_of
from streams.admin import admin_client
from streams.errors import BrokerUnavailableError, TopicMismatchError
from streams.letters import read_mark
from streams.peek import TopicPeek

if TYPE_CHECKING:
    from collections.abc import Collection

    from streams.letters import Source
    from streams.security import Security

__all__ = ["LetterTail"]

#: Letters of a partition that are read at first at least, and offsets that are looked back.
_LEAST, _FURTHEST = 10, 2_000
#: Marks that are remembered: of the letters that are shown, and of many that are not.
_MARKS = 10_000


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
        self._replayed: dict[Source, None] = {}  # the oldest first

    @property
    def replayed(self) -> Collection[Source]:
        """See `LetterSource.replayed`."""
        return self._replayed.keys()

    async def poll(self, most: int) -> list[dict[str, Any]]:
        """See `LetterSource.poll`.

        Of each record no more is kept than is shown: one may have megabytes.

        Raises:
            StreamsError: no broker answers, or there is no such topic.
        """
        if self._peek is None:
            await self._connect()
        peek = self._peek
        assert peek is not None  # noqa: S101 # connected
        share = max(_LEAST, most // max(1, len(self._read)))
        found: list[dict[str, Any]] = []
        try:
            for (topic, partition), end in (await peek.ends(self._read)).items():
                begin, position = self._read[topic, partition], end
                width = share
                while begin < end:
                    first = max(begin, end - width)
                    letters, position = await self._letters(topic, partition, first, end)
                    # What was replayed has marks, which may fill the end of a partition.
                    if len(letters) >= share or first == begin or width >= _FURTHEST:
                        found += letters
                        break
                    width *= 4
                self._read[topic, partition] = max(begin, position)
        except (KafkaError, TimeoutError) as error:
            raise BrokerUnavailableError(
                f"the broker at {self._bootstrap} does not answer: {error}"
            ) from error
        return sorted(found, key=itemgetter("time"))

    async def close(self) -> None:
        """Disconnect."""
        self._read = {}
        self._replayed.clear()
        if self._peek is not None:
            peek, self._peek = self._peek, None
            await peek.stop()

    async def _letters(
        self, topic: str, partition: int, first: int, end: int
    ) -> tuple[list[dict[str, Any]], int]:
        """The letters from ``first`` to ``end``, and the offset up to which all were read."""
        assert self._peek is not None  # noqa: S101 # connected
        found: list[dict[str, Any]] = []
        reached = first
        async for records, position in self._peek.read(topic, partition, first, end):
            for record in records:
                mark = read_mark(record)
                if mark is None:
                    found.append(letter_of(record))
                else:
                    self._replayed[mark] = None
            reached = position
        while len(self._replayed) > _MARKS:
            del self._replayed[next(iter(self._replayed))]
        return found, reached

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
