"""A look at partitions without following them: where they end, and a range of their records."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.closing import close
from streams.errors import BrokerUnavailableError
from streams.fetching import hand_over_light
from streams.security import PLAINTEXT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from streams.fetching import FetchedRecord
    from streams.security import Security

__all__ = ["TopicPeek"]

_ANSWER_SECONDS = 10.0
_POLL_MS = 200


class TopicPeek:
    """Asks and reads now and then; costs nothing in between. One caller at a time.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        security: of the connections.
    """

    def __init__(self, bootstrap: str, *, security: Security = PLAINTEXT) -> None:
        self._bootstrap = bootstrap
        self._security = security
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            **self._security.for_aiokafka(),
        )
        hand_over_light(consumer)
        try:
            await consumer.start()
        except KafkaError as error:
            await close(consumer)
            raise BrokerUnavailableError(
                f"no broker answers at {self._bootstrap}: {error}"
            ) from error
        except BaseException:  # cancelled: what is connected is let go of
            await close(consumer)
            raise
        self._consumer = consumer

    async def stop(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await close(consumer)

    async def ends(self, partitions: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """An offset by partition that its end has reached at least.

        ListOffsets says the end itself; on the embedded broker the base of the last batch + 1.

        Raises:
            KafkaError, TimeoutError: no answer.
        """
        assert self._consumer is not None, "start() first"  # noqa: S101 # a programming error
        if not partitions:
            return {}
        found = await asyncio.wait_for(
            self._consumer.end_offsets([TopicPartition(*one) for one in partitions]),
            _ANSWER_SECONDS,
        )
        return {(tp.topic, tp.partition): end for tp, end in found.items()}

    async def read(
        self, topic: str, partition: int, first: int, stop: int
    ) -> AsyncIterator[tuple[list[FetchedRecord], int]]:
        """The records from ``first`` to ``stop``, and those that end the batch ``stop`` is in.

        A batch may have more records than the least that `ends` says of its end.

        Yields:
            Records left by compaction, perhaps none, and the offset up to which all were given.

        Raises:
            KafkaError, TimeoutError: nothing comes.
        """
        assert self._consumer is not None, "start() first"  # noqa: S101 # a programming error
        consumer, tp = self._consumer, TopicPartition(topic, partition)
        consumer.assign([tp])
        try:
            consumer.seek(tp, first)
            position = first
            waited = 0.0
            while position < stop:
                records = (await consumer.getmany(tp, timeout_ms=_POLL_MS)).get(tp, [])
                # Where all that is left of a range was compacted, only the position tells.
                before, position = position, await consumer.position(tp)
                if position > before:
                    waited = 0.0
                    yield records, position
                    continue
                waited += _POLL_MS / 1000
                if waited >= _ANSWER_SECONDS:
                    raise TimeoutError(
                        f"{topic}-{partition} gave nothing from offset {position} on, though its "
                        f"end is at least {stop}"
                    )
        finally:
            consumer.unsubscribe()
