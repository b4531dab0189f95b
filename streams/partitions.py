"""The profiles of the partitions a worker owns, restored when they are assigned."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from store.table import ProfileTable
from streams.ranges import ForeignRanges
from streams.restore import Restore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

    from store.record import Record
    from store.robustness import Robustness
    from store.table import Identity, Memory, Vocabulary
    from streams.activity import Activities, Activity
    from streams.health import Health
    from streams.sensor import Sensor

__all__ = ["OwnedPartitions", "ProfileSource", "RestoreAbandonedError", "Snapshots"]

logger = logging.getLogger(__name__)
_REPORT_SECONDS = 1.0


class RestoreAbandonedError(Exception):
    """The worker stops: what was being restored is not owned."""


class ProfileSource(Protocol):
    """Reads one partition of ``profiles`` (`streams.tail.PartitionTail`)."""

    async def start(self) -> None: ...  # noqa: D102
    async def stop(self) -> None: ...  # noqa: D102
    async def bounds(self) -> tuple[int, int]: ...  # noqa: D102
    def chunks(self, begin: int) -> AsyncIterator[tuple[Sequence[Record], int]]: ...  # noqa: D102


class Snapshots(Protocol):
    """Tables as they stood earlier (`streams.snapshots.LocalSnapshots`)."""

    def load(self, partition: int, first: int, end: int) -> tuple[ProfileTable, int] | None:
        """A table, and the offset of ``profiles`` up to which it holds everything.

        None where there is none that may be used; why is logged.

        Args:
            partition: which.
            first: the first offset that the topic has.
            end: the offset after its last.
        """
        ...

    def save(self, table: ProfileTable, offset: int) -> object:
        """Write a table that does not change any more, later and elsewhere."""
        ...


@dataclass(frozen=True, slots=True)
class _Owned:
    table: ProfileTable
    written: ForeignRanges


class OwnedPartitions:
    """Tables by partition.

    Args:
        read: a source of one partition of ``profiles``.
        identity: of every profile.
        memory: how much of a user's past to keep.
        vocabulary: codes of actions and items.
        sensor: is told of restores.
        health: is told how far they are.
        activities: likewise.
        snapshots: to begin from; None: from the topic's beginning.
        verify: raises where a restored table must not be gone on from.
        robustness: what is capped, and what counts less; by default nothing.
    """

    def __init__(
        self,
        read: Callable[[int], ProfileSource],
        identity: Identity,
        memory: Memory,
        vocabulary: Vocabulary,
        sensor: Sensor,
        *,
        health: Health,
        activities: Activities,
        snapshots: Snapshots | None = None,
        verify: Callable[[ProfileTable], Awaitable[None]] | None = None,
        robustness: Robustness | None = None,
    ) -> None:
        self._read = read
        self._identity = identity
        self._memory = memory
        self._vocabulary = vocabulary
        self._sensor = sensor
        self._health = health
        self._activities = activities
        self._snapshots = snapshots
        self._verify = verify
        self._robustness = robustness
        self._owned: dict[int, _Owned] = {}
        self._restoring: asyncio.Future[list[None]] | None = None
        self._stopping = False

    async def restore(self, partitions: Iterable[int]) -> None:
        """Make sure that these partitions' tables are there.

        Users whose last record is not their newest version count as changed: theirs must be
        published again.

        Raises:
            StoreError: what is in the topic cannot be taken over.
            StreamsError: the topic cannot be read.
            RestoreAbandonedError: `stop` was called.
        """
        missing = sorted(set(partitions) - self._owned.keys())
        if not missing:
            return
        if self._stopping:
            raise RestoreAbandonedError
        self._restoring = asyncio.gather(*(self._restore(partition) for partition in missing))
        try:
            await self._restoring
        except asyncio.CancelledError:
            if self._stopping:
                raise RestoreAbandonedError from None
            raise
        finally:
            self._restoring = None

    def stop(self) -> None:
        """Restore nothing more: a worker that ends has no use for it, and no time."""
        self._stopping = True
        if self._restoring is not None:
            self._restoring.cancel()

    def table(self, partition: int) -> ProfileTable:
        """A restored partition's table."""
        return self._owned[partition].table

    def watched(self) -> Mapping[int, tuple[ProfileTable, ForeignRanges]]:
        """By partition its table, and what of the topic is known."""
        return {number: (one.table, one.written) for number, one in self._owned.items()}

    def on_acknowledged(self, partition: int, first: int, count: int) -> None:
        """The broker put so many of our records at these offsets of ``profiles``."""
        if partition in self._owned:
            self._owned[partition].written.explain(first, first + count)

    def drop_all(self, *, save: bool = False) -> None:
        """Give every partition up: another worker may write to it from now on.

        Args:
            save: write snapshots of them, for when they come back. Only where every state in
                the tables is published: one that is not never would be.
        """
        if save and self._snapshots is not None:
            for one in self._owned.values():
                self._snapshots.save(one.table, one.written.known)
        self._owned.clear()

    async def _restore(self, partition: int) -> None:
        # Seen from the first moment on: a partition that waits for its connection restores, too.
        self._health.on_restoring(partition, 0, 0)
        source = self._read(partition)
        try:
            with self._activities.during("restore", f"partition {partition}") as activity:
                await source.start()
                self._owned[partition] = await self._read_back(partition, source, activity)
        finally:
            self._health.on_restored(partition)
            await source.stop()

    async def _read_back(self, partition: int, source: ProfileSource, activity: Activity) -> _Owned:
        started = reported = time.perf_counter()
        first, end = await source.bounds()
        loaded = self._snapshots.load(partition, first, end) if self._snapshots else None
        table, begin = loaded or (
            ProfileTable(
                partition, self._identity, self._memory, self._vocabulary, self._robustness
            ),
            first,
        )
        restore, read, position = Restore(table), 0, begin
        async for records, position in source.chunks(begin):
            restore.take(records)
            read += len(records)
            self._activities.advance(len(records))
            # Compaction leaves gaps: how many records are to come is guessed from those that came.
            passed = position - begin
            expected = round(read * max(1.0, (end - begin) / passed)) if passed else end - begin
            self._health.on_restoring(partition, read, expected)
            activity.what = f"partition {partition}, {read:,} of ~{expected:,} profiles"
            now = time.perf_counter()
            if now - reported >= _REPORT_SECONDS:
                reported = now
                logger.info(
                    "restoring profiles: partition=%d read=%d of=%d seconds=%.1f",
                    partition, read, expected, now - started,
                )  # fmt: skip
        overtaken = restore.finish()
        if self._verify is not None:
            await self._verify(table)
        seconds = time.perf_counter() - started
        self._sensor.on_restored(partition, len(table), seconds)
        logger.info(
            "profiles restored: partition=%d profiles=%d from_snapshot=%s read=%d republish=%d "
            "seconds=%.2f",
            partition, len(table), "yes" if loaded else "no", read, overtaken, seconds,
        )  # fmt: skip
        return _Owned(table, ForeignRanges(position))
