"""The worker's outbox on Kafka: published means acknowledged by all in-sync replicas."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from streams.activity import Activities
from streams.closing import close
from streams.errors import PublishError
from streams.records import OutPairs, OutRecord, count_of
from streams.security import PLAINTEXT
from streams.written_batch import write_batches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from streams.security import Security

__all__ = ["KafkaOutbox"]

logger = logging.getLogger(__name__)

#: Of one partition's batch; Kafka takes 1 MiB by default.
_BATCH_BYTES = 900 * 1024


class KafkaOutbox:
    """Publishes with acks=all, whole batches to known partitions.

    aiokafka keeps one request in flight a partition, so order holds over its retries. A batch that
    failed is sent again whole: a state published twice is the same state.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        on_acknowledged: is told where the broker put records: topic, partition, first offset and
            how many.
        activities: is told what is being published, and what was.
        retry_seconds: how long to try before `PublishError`.
        clock: milliseconds since the epoch.
        security: of the connections.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        activities: Activities | None = None,
        on_acknowledged: Callable[[str, int, int, int], object] = lambda *_: None,
        retry_seconds: float = 120.0,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        security: Security = PLAINTEXT,
    ) -> None:
        self._bootstrap = bootstrap
        self._on_acknowledged = on_acknowledged
        self._activities = activities or Activities(time.monotonic)
        self._security = security
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            KafkaError: no broker answers.
        """
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            max_batch_size=_BATCH_BYTES,
            max_request_size=64 * 1024 * 1024,
            request_timeout_ms=20_000,
            **self._security.for_aiokafka(),
        )
        try:
            await producer.start()
        except BaseException:  # cancelled, too: what is connected is let go of
            await close(producer)
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            await close(self._producer)

    async def publish(self, records: Sequence[OutRecord | OutPairs]) -> None:
        """See `streams.records.Outbox`."""
        count = count_of(records)
        if count:
            with self._activities.during("publish", f"{count:,} records"):
                await self._publish(records)
            self._activities.advance(count)

    async def _publish(self, records: Sequence[OutRecord | OutPairs]) -> None:
        deadline = time.monotonic() + self._retry_seconds
        pause = 0.1
        while True:
            try:
                await self._send(records)
            except MessageSizeTooLargeError as error:
                shorter = [_shortened(record) for record in records]
                if all(one is other for one, other in zip(shorter, records, strict=True)):
                    raise PublishError(
                        f"the broker finds a record too large: {error}; "
                        "raise max.message.bytes of its topic"
                    ) from error
                records = shorter
            except KafkaError as error:
                if time.monotonic() > deadline:
                    raise PublishError(
                        f"{count_of(records)} records were not acknowledged within "
                        f"{self._retry_seconds:.0f} s: {error!r}"
                    ) from error
                logger.warning("publishing failed, trying again in %.1f s: %r", pause, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 5.0)
            else:
                return

    async def _send(self, records: Sequence[OutRecord | OutPairs]) -> None:
        assert self._producer is not None, "start() first"  # noqa: S101 # a programming error
        by_partition: dict[tuple[str, int], list[OutRecord | OutPairs]] = {}
        for record in records:
            by_partition.setdefault((record.topic, record.partition), []).append(record)
        # A partition takes one batch after the other; the partitions go on side by side, unless
        # their batches in one request could be more than a broker reads (100 MiB).
        sending = asyncio.Semaphore(1 if any(map(_is_large, records)) else len(by_partition))

        async def send(place: tuple[str, int], group: list[OutRecord | OutPairs]) -> None:
            async with sending:
                await self._send_to(*place, group)

        outcomes = await asyncio.gather(
            *(send(*one) for one in by_partition.items()), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _send_to(
        self, topic: str, partition: int, records: Sequence[OutRecord | OutPairs]
    ) -> None:
        sent = [
            (batch.record_count(), await self._send_batch(batch, topic, partition))
            for batch in self._batches_of(records)
        ]
        outcomes = await asyncio.gather(*(one for _, one in sent), return_exceptions=True)
        for (number, _), outcome in zip(sent, outcomes, strict=True):
            if not isinstance(outcome, BaseException) and outcome.offset >= 0:
                self._on_acknowledged(topic, partition, outcome.offset, number)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _batches_of(self, records: Sequence[OutRecord | OutPairs]) -> Iterator[Any]:
        """Batches for one partition, made when they are asked for."""
        assert self._producer is not None  # noqa: S101 # the caller has it
        batch = self._producer.create_batch()
        for record in records:
            if isinstance(record, OutPairs):
                if batch.record_count():
                    yield batch
                    batch = self._producer.create_batch()
                yield from write_batches(record.pairs, self._clock(), _BATCH_BYTES)
            elif _append(batch.append, record) is None:
                yield batch
                batch = self._producer.create_batch()
                _append(batch.append, record)  # an empty batch takes any record
        if batch.record_count():
            yield batch

    async def _send_batch(self, batch: Any, topic: str, partition: int) -> Awaitable[Any]:
        assert self._producer is not None  # noqa: S101 # the caller has it
        acknowledged: Awaitable[Any] = await self._producer.send_batch(
            batch, topic, partition=partition
        )
        return acknowledged


def _append(append: Callable[..., object], record: OutRecord) -> object:
    return append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers))


def _shortened(record: OutRecord | OutPairs) -> OutRecord | OutPairs:
    if isinstance(record, OutPairs) or not record.may_shorten:
        return record
    return record.shortened()


def _is_large(record: OutRecord | OutPairs) -> bool:
    """Whether it is more than a batch of its partition should be."""
    return isinstance(record, OutRecord) and len(record.value or b"") > _BATCH_BYTES
