"""The worker's tables on its own disk, so that a restore needs the end of the topic only.

A snapshot is a shortcut and no more: where it may not be used (too old, of another topic, encoder
or policy, damaged) the partition is read from the beginning, and why is logged. Where it cannot be
written, the work goes on and the one before stays.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from store.errors import SnapshotError
from store.snapshot import load_table, save_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from store.robustness import Robustness
    from store.table import Identity, Memory, ProfileTable, TableCopy, Vocabulary
    from streams.ranges import ForeignRanges
    from streams.sensor import Sensor
    from streams.topics import TopicIdentity

__all__ = ["LocalSnapshots", "Snapshotter"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Task:
    """A table to write, and what is resolved when nobody need wait for it any more."""

    table: ProfileTable | TableCopy
    offset: int
    created_ms: int
    done: Future[None] = field(default_factory=Future)


class LocalSnapshots:
    """One file a partition: ``FOLDER/TOPIC-PARTITION.tms``.

    Args:
        folder: made where it is not there.
        topic: whose profiles they are.
        identity, memory, vocabulary: of the tables.
        clock: milliseconds since the epoch.
        sensor: is told of each one written, or not.
        clock_skew_ms: how far the clock that a snapshot was written by may have been ahead.
        robustness: of the tables; see `OwnedPartitions`.
    """

    def __init__(
        self,
        folder: Path,
        topic: TopicIdentity,
        identity: Identity,
        memory: Memory,
        vocabulary: Vocabulary,
        clock: Callable[[], int],
        sensor: Sensor,
        *,
        clock_skew_ms: int,
        robustness: Robustness | None = None,
    ) -> None:
        self._folder = folder
        self._topic = topic
        self._identity = identity
        self._memory = memory
        self._vocabulary = vocabulary
        self._clock = clock
        self._sensor = sensor
        self._clock_skew_ms = clock_skew_ms
        self._robustness = robustness
        # One table a partition waits at most: behind a slow disk they would fill the memory.
        self._waiting: dict[int, _Task] = {}
        self._waiting_lock = threading.Lock()
        #: Partitions that wait, each once; None: no more come.
        self._turns: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        # One thread, so that a later table is never replaced by an earlier; and one that does not
        # keep the process: a disk that hangs must not delay its end.
        self._writer = threading.Thread(target=self._work, name="snapshots", daemon=True)
        self._writer.start()

    def path(self, partition: int) -> Path:
        """Where the partition's snapshot is, if there is one."""
        return self._folder / f"{self._topic.name}-{partition}.tms"

    def load(self, partition: int, first: int, end: int) -> tuple[ProfileTable, int] | None:
        """See `streams.partitions.Snapshots`."""
        path = self.path(partition)
        if not path.exists():
            return None
        try:
            # Not in a thread: the vocabulary it adds to belongs to the event loop.
            table, meta = load_table(
                path, partition, self._identity, self._memory, self._vocabulary, self._robustness
            )
        except (SnapshotError, OSError) as error:
            return self._refuse(path, str(error))
        problem = self._problem(meta, first, end)
        return self._refuse(path, problem) if problem else (table, meta["offset"])

    def _problem(self, meta: Mapping[str, Any], first: int, end: int) -> str | None:
        if meta["topic_id"] != self._topic.topic_id:
            return f"topic {self._topic.name!r} was made anew since"
        # A user deleted since may have neither a record nor a tombstone left in the topic. Half of
        # the time that tombstones have is for its age, the other for the clock that says its age.
        age, half = self._clock() - meta["created_ms"], self._topic.tombstone_ms // 2
        if age > half:
            return "it is older than half of the topic's delete.retention.ms"
        if -age > min(self._clock_skew_ms, half):
            return (
                f"it is from {-age / 1000:.1f} s in the future, so its age is not known; a clock "
                "may be ahead by limits.clock_skew_seconds, and by half of the topic's "
                "delete.retention.ms"
            )
        if not first <= meta["offset"] <= end:
            return f"the topic has offsets {first} to {end}, it ends at {meta['offset']}"
        return None

    @staticmethod
    def _refuse(path: Path, why: str) -> None:
        logger.warning("the snapshot %s is not used: %s; reading from the beginning", path, why)

    def save(self, table: ProfileTable | TableCopy, offset: int) -> Future[None]:
        """Write a table that holds everything before ``offset``, in a thread; never raises.

        It takes the place of the partition's table that still waits, if one does. The table must
        not change until it is written.

        Returns:
            Resolved when the table is written, cannot be written, or was replaced.
        """
        task = _Task(table, offset, self._clock())
        # It cannot be cancelled: who waits may leave, it is written all the same.
        task.done.set_running_or_notify_cancel()
        with self._waiting_lock:
            replaced = self._waiting.get(table.partition)
            self._waiting[table.partition] = task
        if replaced is None:
            self._turns.put(table.partition)
        else:
            replaced.done.set_result(None)
        return task.done

    def close(self, seconds: float) -> None:
        """Write what was given, for so long at most."""
        self._turns.put(None)
        self._writer.join(seconds)
        if self._writer.is_alive():
            logger.warning("not all snapshots were written within %.1f s", seconds)

    def _work(self) -> None:
        while (partition := self._turns.get()) is not None:
            self._write(self._take(partition))

    def _take(self, partition: int) -> _Task:
        with self._waiting_lock:
            return self._waiting.pop(partition)

    def _write(self, task: _Task) -> None:
        path = self.path(task.table.partition)
        started = time.perf_counter()
        meta: dict[str, Any] = {
            "offset": task.offset,
            "created_ms": task.created_ms,
            "topic_id": self._topic.topic_id,
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_table(task.table, path, meta)
        except Exception as error:  # of any kind: without this thread none is ever written again
            foreseen = isinstance(error, (SnapshotError, OSError))
            logger.warning(
                "the snapshot %s cannot be written: %s: %s; the one before stays, and a restore "
                "reads more of the topic", path, type(error).__name__, error,
                exc_info=not foreseen,
            )  # fmt: skip
            self._sensor.on_snapshot(None)
        else:
            self._sensor.on_snapshot(time.perf_counter() - started)
        finally:
            task.done.set_result(None)


class _Owned(Protocol):
    def watched(self) -> Mapping[int, tuple[ProfileTable, ForeignRanges]]: ...


class Snapshotter:
    """Writes every owned partition every so often, one at a time.

    Args:
        snapshots: where to.
        owned: the tables.
        settled: within it nothing is applied; gives whether all that was is published. A state
            that is in a snapshot and not in the topic would never be published.
        interval: seconds between two rounds.
    """

    def __init__(
        self,
        snapshots: LocalSnapshots,
        owned: _Owned,
        settled: Callable[[], AbstractAsyncContextManager[bool]],
        interval: float,
    ) -> None:
        self._snapshots = snapshots
        self._owned = owned
        self._settled = settled
        self._interval = interval

    async def run(self) -> None:
        """Write until cancelled."""
        written: dict[int, int] = {}
        while True:
            await asyncio.sleep(self._interval)
            for partition in sorted(self._owned.watched()):
                copied = await self._copy(partition, written.get(partition))
                if copied is not None:
                    table, offset = copied
                    await asyncio.wrap_future(self._snapshots.save(table, offset))
                    written[partition] = offset

    async def _copy(self, partition: int, written: int | None) -> tuple[TableCopy, int] | None:
        """A copy of the table, unless nothing was written to its topic since the last one."""
        async with self._settled() as settled:
            watched = self._owned.watched().get(partition)
            if watched is None or not settled:
                return None
            table, ranges = watched
            return None if ranges.known == written else (table.copy(), ranges.known)
