"""Following whole topics without a consumer group: for the catalogue, restores and retrieval."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.closing import close
from streams.errors import BrokerUnavailableError, StreamsError, TopicMismatchError
from streams.fetching import hand_over_light
from streams.reach import require_access
from streams.security import PLAINTEXT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from streams.fetching import FetchedRecord
    from streams.security import Security

__all__ = ["PartitionTail", "TopicTail"]

logger = logging.getLogger(__name__)
#: How often a tail without its brokers asks why.
_ASK_SECONDS = 2.0
#: And how often the same answer is logged.
_SAY_SECONDS = 10.0


class TopicTail:
    """Reads partitions from their beginning, and knows how far behind their ends it is.

    The end is the high watermark of the fetch responses: it is right on every broker, while
    ListOffsets on the embedded one names the base of the last batch (454 for 512), so a reader
    that trusts it stops short.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        topics: what to follow; for each, which partitions (None: all that exist at the start).
        poll_records: at most this many records a poll.
        poll_seconds: how long a poll waits for records.
        security: of the connections.
        begin: where to begin, by topic and partition; at the beginning where it does not say, or
            the offset is not there.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Mapping[str, Sequence[int] | None],
        *,
        poll_records: int = 2_000,
        poll_seconds: float = 0.1,
        security: Security = PLAINTEXT,
        begin: Mapping[tuple[str, int], int] | None = None,
    ) -> None:
        self._bootstrap = bootstrap
        self._security = security
        self._topics = topics
        self._begin = begin or {}
        self._poll_records = poll_records
        self._poll_ms = int(poll_seconds * 1000)
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: list[TopicPartition] = []
        self._next_question = 0.0
        self._said: tuple[str, float] | None = None
        #: Why nothing can be read at the moment; None as far as is known.
        self.waiting_for: str | None = None

    async def start(self) -> None:
        """Connect and begin at the beginning.

        Raises:
            BrokerUnavailableError: no broker answers.
            AccessRefusedError: the brokers do not let us in, or are not trusted.
            TopicMismatchError: a topic does not exist.
        """
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # A broker with nothing new answers after this long: how soon an empty fetch says
            # that the end was reached.
            fetch_max_wait_ms=min(100, self._poll_ms),
            max_partition_fetch_bytes=4 * 1024 * 1024,
            **self._security.for_aiokafka(),
        )
        hand_over_light(consumer)
        try:
            await consumer.start()
        except KafkaError as error:
            await close(consumer)
            await asyncio.to_thread(require_access, self._bootstrap, self._security)
            raise BrokerUnavailableError(
                f"no broker answers at {self._bootstrap}: {error}"
            ) from error
        except BaseException:  # cancelled: what is connected is let go of
            await close(consumer)
            raise
        try:
            for topic, wanted in self._topics.items():
                existing = consumer.partitions_for_topic(topic)
                if existing is None:
                    # Topics that nobody subscribed to yet come with the next metadata.
                    existing = await _partitions_of(consumer, topic)
                if existing is None:
                    await asyncio.to_thread(require_access, self._bootstrap, self._security)
                    raise BrokerUnavailableError(  # noqa: TRY301 # the consumer is stopped below
                        f"the broker at {self._bootstrap} went away while its topics were read"
                    )
                if not existing:
                    raise TopicMismatchError(  # noqa: TRY301 # the consumer is stopped below
                        f"topic {topic!r} does not exist; create it with: tidemark topics create"
                    )
                chosen = sorted(existing) if wanted is None else wanted
                self._partitions += [TopicPartition(topic, number) for number in chosen]
            consumer.assign(self._partitions)
            # aiokafka would look for committed offsets first; there is no group.
            await consumer.seek_to_beginning(*self._partitions)
            for (topic, number), offset in self._begin.items():
                if (place := TopicPartition(topic, number)) in self._partitions:
                    consumer.seek(place, offset)
        except BaseException:
            await close(consumer)
            raise
        self._consumer = consumer
        self._next_question = time.monotonic() + _ASK_SECONDS  # the leaders are connected to now

    async def stop(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await close(consumer)

    async def poll(self) -> list[FetchedRecord]:
        """Records that came, in offset order by partition; none after ``poll_seconds``.

        Raises:
            AccessRefusedError: a lost connection cannot be made again: a password was changed, or
                a certificate. A broker that is merely away is waited for.
        """
        assert self._consumer is not None, "start() first"  # noqa: S101 # a programming error
        await self._ask_why_disconnected()
        batches = await self._consumer.getmany(
            timeout_ms=self._poll_ms, max_records=self._poll_records
        )
        return [record for records in batches.values() for record in records]

    def lag(self) -> int | None:
        """Records between what was polled and the ends; None until every end is known."""
        if self._consumer is None:
            return None
        behind = 0
        for partition in self._partitions:
            end, position = self._consumer.highwater(partition), self._position(partition)
            if end is None or position is None:
                return None
            behind += max(0, end - position)
        return behind

    async def read_to_end(self) -> list[FetchedRecord]:
        """All records that were there when this was called, and perhaps a few later ones.

        It ends however fast the topic grows: each partition's end is fixed once it is known for
        sure. ListOffsets says the end at the call; on the embedded broker only the base of the
        last batch + 1, so the fetch that reaches that offset, and brings the whole batch, says the
        true one.
        """
        return [record async for chunk in self.chunks() for record in chunk]

    async def chunks(self) -> AsyncIterator[list[FetchedRecord]]:
        """What `read_to_end` returns, a poll at a time; some may be empty."""
        assert self._consumer is not None, "start() first"  # noqa: S101 # a programming error
        least = await self._consumer.end_offsets(self._partitions)
        ends: dict[TopicPartition, int] = {}
        while True:
            for partition in self._partitions:
                position, end = self._position(partition), self._consumer.highwater(partition)
                reached = position is not None and position >= least[partition]
                if partition not in ends and end is not None and reached:
                    ends[partition] = end
            if len(ends) == len(self._partitions) and all(
                (self._position(partition) or 0) >= end for partition, end in ends.items()
            ):
                return
            yield await self.poll()

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The offset of the first record, and the end; reading goes on at the first.

        The end is that of a fetch of the last batch, as in `read_to_end`.
        """
        assert self._consumer is not None, "start() first"  # noqa: S101 # a programming error
        place = TopicPartition(topic, partition)
        first = (await self._consumer.beginning_offsets([place]))[place]
        end: int = (await self._consumer.end_offsets([place]))[place]
        if end > first:
            self._consumer.seek(place, end - 1)
            while (self._position(place) or 0) < end:
                await self.poll()
            end = max(end, self._consumer.highwater(place) or 0)
            self._consumer.seek(place, first)
        return first, end

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Go on from this offset."""
        assert self._consumer is not None, "start() first"  # noqa: S101 # a programming error
        self._consumer.seek(TopicPartition(topic, partition), offset)

    def positions(self) -> dict[tuple[str, int], int]:
        """The offset to be polled next of each partition of which it is known."""
        found = ((place, self._position(place)) for place in self._partitions)
        return {
            (place.topic, place.partition): offset for place, offset in found if offset is not None
        }

    def position(self, topic: str, partition: int) -> int | None:
        """The offset to be polled next; None until it is known."""
        return self._position(TopicPartition(topic, partition))

    async def _ask_why_disconnected(self) -> None:
        """The client connects again and again, also where it is refused for good."""
        assert self._consumer is not None  # noqa: S101 # the caller has it
        client = self._consumer._client  # noqa: SLF001 # there is no public way
        if time.monotonic() < self._next_question:
            return
        self._next_question = time.monotonic() + _ASK_SECONDS
        if _connected(client, self._partitions):
            self.waiting_for = self._said = None
            return
        try:
            await asyncio.to_thread(require_access, self._bootstrap, self._security)
        except BrokerUnavailableError as error:
            self.waiting_for = str(error)
            self._say(self.waiting_for)
        except StreamsError:
            self._next_question = 0.0  # who polls again is told again
            raise
        else:
            self.waiting_for = "the leader of a partition does not answer; other brokers do"

    def _say(self, why: str) -> None:
        now = time.monotonic()
        if self._said is None or self._said[0] != why or now - self._said[1] >= _SAY_SECONDS:
            self._said = why, now
            logger.warning("waiting for the brokers: %s", why)

    def _position(self, partition: TopicPartition) -> int | None:
        """The offset to be polled next; None until it is known."""
        assert self._consumer is not None  # noqa: S101 # the callers have it
        # The client's position() is a coroutine that may wait.
        subscription = self._consumer._subscription.subscription  # noqa: SLF001
        state = subscription.assignment.state_value(partition)
        return state.position if state.has_valid_position else None


class PartitionTail:
    """One partition of a topic, read to its end a chunk at a time.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        topic, partition: which.
        security: of the connections.
    """

    def __init__(
        self, bootstrap: str, topic: str, partition: int, *, security: Security = PLAINTEXT
    ) -> None:
        self._tail = TopicTail(bootstrap, {topic: [partition]}, security=security)
        self._place = topic, partition

    async def start(self) -> None:
        """Connect. Raises as `TopicTail.start`."""
        await self._tail.start()

    async def stop(self) -> None:
        """Close the connection."""
        await self._tail.stop()

    async def bounds(self) -> tuple[int, int]:
        """The offset of the first record, and the end."""
        return await self._tail.bounds(*self._place)

    async def chunks(self, begin: int) -> AsyncIterator[tuple[list[FetchedRecord], int]]:
        """All that is there from ``begin`` on, at the first call.

        Yields:
            Records in offset order, perhaps none, and the offset after them.
        """
        self._tail.seek(*self._place, begin)
        position = begin
        async for chunk in self._tail.chunks():
            position = self._tail.position(*self._place) or position
            yield chunk, position


def _connected(client: Any, partitions: Sequence[TopicPartition]) -> bool:
    """Whether there is a connection to the leader of each partition, as far as it is known.

    A broker that shuts down gives its leadership up first: then none is known, and the connection
    goes.
    """
    leaders = {client.cluster.leader_for_partition(partition) for partition in partitions}
    connected = {node for (node, _), conn in client._conns.items() if conn.connected()}  # noqa: SLF001
    return bool(connected) and leaders - {None, -1} <= connected


async def _partitions_of(consumer: AIOKafkaConsumer, topic: str) -> set[int] | None:
    """None where no broker told: that is not to say that there are none."""
    client = consumer._client  # noqa: SLF001 # the public way needs a subscription
    client.add_topic(topic)
    told = False
    for _ in range(10):
        told = await client.force_metadata_update()
        found = client.cluster.partitions_for_topic(topic)
        if found:
            return set(found)
        await asyncio.sleep(0.2)
    return set() if told else None
