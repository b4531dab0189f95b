"""From fetched batches to durable profiles: the worker's three stages.

1. ``prepare``: decode, weigh, render and encode a micro-batch made of several partitions' batches.
2. ``fold``: in the order of arrival and partition by partition, fold the actions into the
   profiles, and write down states, tombstones and dead letters.
3. ``publish``: one after the other, so that no state goes before an earlier one; when the broker
   has all of a micro-batch, acknowledge its batches, so that their offsets may be committed.

What comes meanwhile waits in the inbox for the next micro-batch (see `streams.inbox`). What the
inbox cannot take stays in Kafka, where it is visible as lag.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.errors import StoreError
from store.profile import FENCE_HEADER
from streams.batch_id import batch_id
from streams.dead_letters import dead_letter
from streams.errors import StreamsError
from streams.inbox import Inbox
from streams.partitions import RestoreAbandonedError
from streams.records import OutPairs, OutRecord
from streams.sensor import BatchFigures
from streams.traces import Stages, traced_actions, with_headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from store.batch import ActionBatch
    from streams.batches import Inbound, TopicPartition
    from streams.partitions import OwnedPartitions
    from streams.preparing import Part, Prepared, Preparer
    from streams.records import Outbox
    from streams.sensor import Sensor
    from streams.topic_names import TopicNames
    from streams.traces import OpenTraces, Traces

__all__ = ["Pipeline"]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Folded:
    """A micro-batch that is in the profiles and is to be published."""

    out: list[OutRecord | OutPairs]
    prepared: Prepared
    parts: list[Part]
    actions: int
    began: float
    seconds: float
    traces: OpenTraces | None


class Pipeline:
    """See the module.

    Args:
        names: topics.
        preparer: the first stage.
        owned: the profiles.
        outbox: publishes.
        sensor: is told what happens.
        clock: milliseconds since the epoch.
        batch_actions: a micro-batch takes no further batch at this many records.
        traces: follows the actions that carry a header for it; None: none are.
    """

    def __init__(
        self,
        *,
        names: TopicNames,
        preparer: Preparer,
        owned: OwnedPartitions,
        outbox: Outbox,
        sensor: Sensor,
        clock: Callable[[], int],
        batch_actions: int = 20_000,
        traces: Traces | None = None,
    ) -> None:
        self._names = names
        self._preparer = preparer
        self._owned = owned
        self._outbox = outbox
        self._sensor = sensor
        self._clock = clock
        self._traces = traces
        self._inbox = Inbox(batch_actions)
        self._prepared: asyncio.Queue[Prepared] = asyncio.Queue(maxsize=1)
        self._trouble: asyncio.Queue[Exception] = asyncio.Queue()
        self._folded: asyncio.Queue[_Folded] = asyncio.Queue(maxsize=1)
        self._applying = asyncio.Lock()  # held by whoever changes profiles
        self._draining = False
        self._unpublished = 0  # micro-batches and changes that are in the profiles alone
        self._revoked: set[int] = set()  # eras whose batches are no longer ours

    async def put(self, inbound: Inbound) -> None:
        """Take a batch; waits while the pipeline is full."""
        await self._inbox.put(inbound)

    async def on_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Restore what is owned now, so that the first action does not wait for it.

        States that were overtaken by older ones are published again here: a partition without
        traffic would leave it to compaction, which keeps the last one written.

        What goes wrong is raised by `run`: Faust, which calls this, would log it with its own
        traceback and go on.
        """
        actions = {one.partition for one in assigned if one.topic != self._names.items}
        async with self.settled():
            try:
                await self._owned.restore(actions)
                await self._publish_changes(actions)
            except RestoreAbandonedError:
                logger.info("stopping: the restore is abandoned")
            except (StoreError, StreamsError) as error:
                self.fail(error)
            else:
                self._sensor.on_assigned(len(assigned))

    def fail(self, error: Exception) -> None:
        """Begin nothing more, also with the partitions that are well; `run` raises the error."""
        self._draining = True
        self._trouble.put_nowait(error)

    async def on_revoked(self, era: int) -> None:
        """Finish what is being published, then own nothing.

        What was fetched in this era but not applied is dropped
        unacknowledged: the partition's next owner reads it again.
        """
        self._revoked.add(era)
        self._sensor.on_revoked()
        async with self.settled() as published:
            self._owned.drop_all(save=published)

    async def drain(self) -> None:
        """Finish what is being published, and begin nothing more."""
        self._draining = True
        self._owned.stop()
        async with self.settled() as published:
            self._owned.drop_all(save=published)

    async def run(self) -> None:
        """Process until cancelled.

        Raises:
            BaseExceptionGroup: of a StreamsError, StoreError or EncoderError: it cannot go on;
                what was not acknowledged is read again by the next start.
        """
        try:
            async with asyncio.TaskGroup() as stages:
                stages.create_task(_until_cancelled(self._prepare_stage()))
                stages.create_task(_until_cancelled(self._fold_stage()))
                stages.create_task(_until_cancelled(self._publish_stage()))
                stages.create_task(self._raise_trouble())
        finally:
            # Nobody publishes these any more, so nobody need wait for them.
            while not self._folded.empty():
                self._folded.get_nowait()
                self._folded.task_done()

    async def _prepare_stage(self) -> None:
        while True:
            batches = await self._inbox.take()
            current = [batch for batch in batches if batch.era not in self._revoked]
            if current:
                await self._prepared.put(await self._preparer.prepare(current))
            else:
                await self._inbox.finished()

    async def _raise_trouble(self) -> None:
        raise await self._trouble.get()

    async def _fold_stage(self) -> None:
        while True:
            prepared = await self._prepared.get()
            async with self._applying:
                folded = await self.fold(prepared)
                if folded is not None:
                    await self._folded.put(folded)
                else:
                    await self._inbox.finished()

    async def _publish_stage(self) -> None:
        while True:
            folded = await self._folded.get()
            try:
                await self.publish(folded)
            finally:
                self._folded.task_done()
            await self._inbox.finished()

    async def fold(self, prepared: Prepared) -> _Folded | None:
        """Stage 2 for a micro-batch; None where it is dropped, for its next owner to read."""
        batch_id.set(prepared.number)
        # A partition given up since belongs to another worker: its batches are dropped.
        parts = [
            part for part in prepared.parts if not self._draining and part.era not in self._revoked
        ]
        partitions = {part.partition for part in parts if part.actions is not None}
        try:
            await self._owned.restore(partitions)
        except RestoreAbandonedError:
            return None
        started = time.perf_counter()
        out: list[OutRecord | OutPairs] = []
        actions = 0
        self._unpublished += 1
        for part in parts:
            out += part.ready
            if part.ready:
                self._sensor.on_items("published", len(part.ready))
            if part.actions is not None:
                actions += self._fold(part, part.actions, prepared.vectors)
            now = self._clock()
            for record, error in part.rejected:
                out.append(dead_letter(self._names.dead_letters, part, record, error, now))
                self._sensor.on_dead_letter(error.reason.value)
        traces = self._follow(prepared.number, parts)
        # One record a user and micro-batch, however many actions it had.
        for changes in self._changes(partitions):
            if traces is not None and isinstance(changes, OutPairs):
                out += with_headers(changes, traces.headers)
            else:
                out.append(changes)
        seconds = time.perf_counter() - started
        return _Folded(out, prepared, parts, actions, started, seconds, traces)

    async def publish(self, folded: _Folded) -> None:
        """Stage 3 for a micro-batch."""
        batch_id.set(folded.prepared.number)
        started = time.perf_counter()
        await self._outbox.publish(folded.out)
        self._unpublished -= 1
        for part in folded.parts:
            part.acknowledge()
        prepared, seconds = folded.prepared, time.perf_counter() - started
        logger.debug(
            "published: batch=%d actions=%d prepare_seconds=%.4f fold_seconds=%.4f "
            "publish_seconds=%.4f",
            prepared.number, folded.actions, prepared.seconds, folded.seconds, seconds,
        )  # fmt: skip
        if folded.traces is not None:
            folded.traces.end(
                Stages(
                    prepare=(prepared.begun, prepared.begun + prepared.seconds),
                    fold=(folded.began, folded.began + folded.seconds),
                    publish=(started, started + seconds),
                ),
                {
                    (part.topic, part.partition, record.offset): error
                    for part in folded.parts
                    for record, error in part.rejected
                },
            )
        self._sensor.on_batch(
            BatchFigures(
                actions=folded.actions,
                fill_seconds=prepared.fill_seconds,
                prepare_seconds=prepared.seconds,
                encode_seconds=prepared.encode_seconds,
                fold_seconds=folded.seconds,
                publish_seconds=seconds,
            )
        )

    async def publish_changes(self) -> None:
        """Publish every profile that counts as changed, also where no action comes any more."""
        async with self.settled():
            await self._publish_changes(list(self._owned.watched()))

    async def _publish_changes(self, partitions: Collection[int]) -> None:
        self._unpublished += 1
        await self._outbox.publish(self._changes(partitions))
        self._unpublished -= 1

    @asynccontextmanager
    async def settled(self) -> AsyncIterator[bool]:
        """Within it nothing is folded. Gives whether all that was is published and acknowledged.

        It is not where a publication failed: then the worker is about to end.
        """
        async with self._applying:
            await self._folded.join()
            yield self._unpublished == 0

    def _fold(self, part: Part, actions: ActionBatch, vectors: NDArray[np.float32]) -> int:
        """Apply actions to their partition's profiles; returns how many there were."""
        counts = self._owned.table(part.partition).apply(part.topic, actions, vectors)
        for (action, outcome), count in counts.items():
            self._sensor.on_actions(action, outcome, count)
        return sum(counts.values())

    def _follow(self, number: int, parts: Sequence[Part]) -> OpenTraces | None:
        """Begin the traces of those actions that somebody follows; as a rule there are none."""
        if self._traces is None:
            return None
        followed = [one for part in parts for one in traced_actions(part.fetched)]
        return self._traces.begin(number, followed) if followed else None

    def _changes(self, partitions: Collection[int]) -> list[OutRecord | OutPairs]:
        """The newest version of every profile changed since it was last published."""
        out: list[OutRecord | OutPairs] = []
        topic = self._names.profiles
        for partition in partitions:
            changes = self._owned.table(partition).take_changes()
            out += (OutPairs(topic, partition, pairs) for pairs in changes.states)
            for key, fence in changes.forgotten:
                out.append(OutRecord(topic, partition, key, None, ((FENCE_HEADER, fence),)))
        return out


async def _until_cancelled(stage: Awaitable[None]) -> None:
    """A stage ends when it is told to, and at nothing else.

    A task group takes any cancellation for a wanted end. One that comes out of a client's call
    would leave a worker that is alive and does nothing.
    """
    try:
        await stage
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            raise StreamsError("a client's call was cancelled, and nobody asked for it") from error
        raise
