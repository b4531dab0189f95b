"""A Faust transport that hands each fetched partition batch to the agent as one message.

Stock Faust wraps every record in objects and tasks of its own (120-195 µs of CPU each). Here one
Faust message carries all records of one partition that a fetch returned (about 2 µs a record), so
the agent decides what a record costs. URL scheme: ``tidemark://host:port``.

Acknowledging such a message says that all its records' effects are durable. Offsets are committed
by `OffsetTracker`, in place of Faust's own gap accounting, which can commit past a batch that is
acknowledged out of order.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as stock
from faust.types.tuples import TP, ConsumerMessage

from streams.fetching import hand_over_chunks
from streams.offsets import Delivery, OffsetTracker
from streams.watchdog import PartitionReading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from aiokafka import AIOKafkaConsumer

    from streams.chunk import RecordChunk

__all__ = ["Consumer", "FetchedBatch", "Transport"]

logger = logging.getLogger(__name__)


#: How long a broker with nothing new holds a fetch; 1,500 in Faust. The embedded broker answers
#: only in the last part of the wait: after 660 ms of 1,500, 6 ms of 100 (medians).
_FETCH_WAIT_MS = 100
#: Chunks a poll: with little traffic a partition has one each.
_CHUNKS = 8


#: A commit that takes longer has failed. The client asks again for ever, ten times a second, and
#: says so to nobody; a move of the group's coordinator takes seconds, up to its session timeout.
_COMMIT_SECONDS = 30.0
#: What Faust is told of a batch's time; it does nothing with it.
_CREATE_TIME = 0


@dataclass(slots=True, frozen=True)
class FetchedBatch:
    """The value of a Faust message: records of one partition, in offset order, at least one.

    ``era``: see `streams.batches.Inbound`.
    """

    records: RecordChunk
    delivery: Delivery[TP]
    era: int


class ConsumerThread(stock.AIOKafkaConsumerThread):  # type: ignore[misc] # faust is untyped
    """The thread that owns the Kafka client."""

    logger = stock.logger

    async def rewind(self, firsts: Mapping[TP, int]) -> dict[TP, int]:
        """Go back to these offsets where the client has moved past them; returns those it did.

        A rebalance that ended meanwhile has reset the positions already, to what was committed or
        to the beginning: a position at or before the offset, or not known yet, is left alone.
        """
        rewound: dict[TP, int] = await self.call_thread(self._rewind, firsts)
        return rewound

    async def _rewind(self, firsts: Mapping[TP, int]) -> dict[TP, int]:
        # In the client's own thread and without an await: no rebalance comes between.
        consumer = self._ensure_consumer()
        subscription = consumer._subscription.subscription  # noqa: SLF001
        assignment = subscription.assignment if subscription is not None else None
        rewound = {}
        for tp, first in firsts.items():
            if assignment is None or tp not in assignment.tps:
                continue  # given up: its next owner reads from what was committed
            state = assignment.state_value(tp)
            if state.has_valid_position and state.position > first:
                consumer.seek(tp, first)
                rewound[tp] = first
        return rewound

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Whether they were committed; not, where that takes too long."""
        refusals = _Refusals(self._ensure_consumer()._coordinator)  # noqa: SLF001
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                with refusals.heard():
                    return bool(await super()._commit(offsets))
        except TimeoutError:
            logger.warning(
                "offsets are not committed, and tried again: partitions=%d for=%.0f s: %s",
                len(offsets),
                _COMMIT_SECONDS,
                refusals.last or "the group's coordinator is not found, or does not answer",
            )
            return False

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Have the profiles restored, and stay a member of the group meanwhile.

        aiokafka sends heartbeats again when this has returned: a restore longer than the session
        would cost the partitions, and begin anew.
        """
        self._ensure_consumer()._coordinator._start_heartbeat_task()  # noqa: SLF001 # does so once
        await super().on_partitions_assigned(assigned, generation_id)

    def check_group(self) -> None:
        """See `Consumer.check_group`."""
        coordinator = getattr(self._consumer, "_coordinator", None)
        if coordinator is not None:
            coordinator.check_errors()

    def is_member(self) -> bool:
        """See `Consumer.is_member`."""
        coordinator = getattr(self._consumer, "_coordinator", None)
        # Both are reset by the client when the membership or the coordinator is lost.
        return (
            coordinator is not None
            and coordinator.generation >= 0
            and coordinator.coordinator_id is not None
        )

    def fetch_positions(self) -> dict[TP, tuple[int | None, int | None]]:
        """By assigned partition: the offset to be fetched next, the high watermark; None: unknown.

        Read from another thread than the client's: each value may be a moment old.
        """
        consumer = self._consumer
        subscription = consumer._subscription.subscription if consumer is not None else None  # noqa: SLF001
        assignment = subscription.assignment if subscription is not None else None
        found: dict[TP, tuple[int | None, int | None]] = {}
        if assignment is None:
            return found
        for tp in tuple(assignment.tps):
            state = assignment.state_value(tp)
            if state is not None:
                position = state.position if state.has_valid_position else None
                found[TP(*tp)] = position, state.highwater
        return found

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust offers no setting for either.
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS  # noqa: SLF001
        # Range gives partition p of every topic to the same worker (the topics have the same
        # number of partitions), which a profile fed by several topics needs; round robin does not.
        consumer._partition_assignment_strategy = (RangePartitionAssignor,)  # noqa: SLF001
        hand_over_chunks(consumer, transport.app.conf.broker_max_poll_records, _CHUNKS)
        return consumer


class _Refusals:
    """What the coordinator answers to commits that the client asks for again by itself."""

    def __init__(self, coordinator: Any) -> None:
        self._coordinator = coordinator
        self.last: KafkaError | None = None

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen to the attempts of a commit; there is one at a time."""
        ask = self._coordinator._do_commit_offsets  # noqa: SLF001

        async def heard(*given: Any) -> None:
            try:
                await ask(*given)
            except KafkaError as error:
                self.last = error
                raise

        self._coordinator._do_commit_offsets = heard  # noqa: SLF001
        try:
            yield
        finally:
            self._coordinator._do_commit_offsets = ask  # noqa: SLF001


class Consumer(stock.Consumer):  # type: ignore[misc] # faust is untyped
    """Whole batches in, offsets out.

    Attributes:
        era: revocations so far.
    """

    logger = stock.logger

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offsets: OffsetTracker[TP] = OffsetTracker()
        self.era = 0

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 # the base's signature
        """Fetch once; yield one message for each chunk of records."""
        generation, era = self.app.consumer_generation_id, self.era
        fetched, active = await self._wait_next_records(timeout)
        pending = [(TP(*tp), chunk) for tp, chunks in (fetched or {}).items() for chunk in chunks]
        while pending and not self.should_stop:
            now = self.app.consumer_generation_id, self.era
            if not self.flow_active or now != (generation, era):
                # A rebalance began during the fetch. What came may be from positions before it:
                # handed over, later actions would go before earlier ones that are read again.
                firsts: dict[TP, int] = {}
                for tp, chunk in pending:
                    firsts.setdefault(tp, chunk[0].offset)
                await self._undo_fetch(firsts)
                return
            tp, chunk = pending.pop(0)
            if active is None or tp in active:
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                yield tp, self._batch_message(tp, chunk, generation, era)

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: what has no room waits in `getmany`, and so the next fetch does.

        Faust would fetch from the other partitions meanwhile, and wait for them for up to its
        whole second, also when there is room again: with a backlog, half of the time.
        """

    def on_buffer_drop(self, tp: TP) -> None:
        """Nothing; see `on_buffer_full`."""

    async def _undo_fetch(self, firsts: Mapping[TP, int]) -> None:
        """Have records read again that were fetched and are not handed over."""
        for tp, offset in (await self._thread.rewind(firsts)).items():
            self._read_offset[tp] = offset or None

    def check_group(self) -> None:
        """Nothing while the membership in the group can be kept or regained.

        Raises:
            KafkaError: it cannot. Faust does not look, and would wait for ever.
        """
        self._thread.check_group()

    def is_member(self) -> bool:
        """Whether the worker belongs to its consumer group, with partitions or without."""
        return bool(self._thread.is_member())

    def readings(self) -> list[PartitionReading]:
        """The assigned partitions, for the watchdog."""
        return [
            PartitionReading(
                tp.topic,
                tp.partition,
                position,
                highwater,
                self.offsets.acknowledged(tp),
                self.offsets.in_flight(tp),
                self.offsets.overtaken(tp),
                self.offsets.oldest_ms(tp),
                self.offsets.oldest_offset(tp),
            )
            for tp, (position, highwater) in self._thread.fetch_positions().items()
        ]

    def _batch_message(
        self, tp: TP, records: RecordChunk, generation: int, era: int
    ) -> ConsumerMessage:
        last = records[-1]
        first = records[0]
        delivery = self.offsets.deliver(tp, last.offset, first.timestamp, first.offset)
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            _CREATE_TIME,
            None,  # headers, key and checksum are each record's own
            None,
            FetchedBatch(records, delivery, era),
            None,
            0,
            len(records),
            tp,
            generation_id=generation,
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: a batch covers its gaps (compaction, transaction markers) by its last offset."""

    def ack(self, message: ConsumerMessage) -> bool:
        """Mark a batch as durable."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        self.offsets.done(message.value.delivery)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (
            tp
            for tp in self.offsets.partitions()
            if topics is None or tp in topics or tp.topic in topics
        )

    def _new_offset(self, tp: TP) -> int | None:
        return self.offsets.committable(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        """What the tracker gives was not committed. Faust also counts what was refused as done."""
        del tp, offset
        return True

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit all that is acknowledged now.

        Where a commit is under way Faust waits for it and does no more: what was acknowledged
        since it began would be left, also by the last commit before a worker ends.
        """
        while await self.maybe_wait_for_commit_to_finish():
            pass
        return bool(await super().commit(topics, start_new_transaction))

    async def _commit(self, offsets: Any) -> bool:
        begun = time.perf_counter()
        took = bool(await super()._commit(offsets))
        self.app.on_commit(time.perf_counter() - begun, ok=took)
        if took:
            for tp, offset in offsets.items():
                self.offsets.committed(tp, offset)
        return took

    async def on_partitions_revoked(self, revoked: Iterable[TP]) -> None:
        """What is fetched from now on belongs to the next era."""
        try:
            await super().on_partitions_revoked(revoked)
        finally:
            self.era += 1

    async def on_partitions_assigned(self, assigned: Iterable[TP], generation_id: int = 0) -> None:
        """Reading starts again at the committed offsets, so what was in flight no longer counts."""
        self.offsets.forget(set(self.assignment()) | set(assigned))
        await super().on_partitions_assigned(assigned, generation_id)


class Transport(stock.Transport):  # type: ignore[misc] # faust is untyped
    """Named by the entry point ``faust.transports: tidemark``."""

    Consumer: ClassVar[type[Consumer]] = Consumer
