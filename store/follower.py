"""Follows ``profiles`` and ``item-vectors`` and keeps a `RetrievalView` up to date."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

from store.sensor import Sensor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from store.record import Record
    from store.view import RetrievalView
    from store.view_snapshots import ViewSnapshots

__all__ = ["Condition", "Follower", "RecordSource"]

logger = logging.getLogger(__name__)

_FIRST_BACKOFF_S = 0.5
_LAST_BACKOFF_S = 10.0


class RecordSource(Protocol):
    """A tail of the two topics, from their beginning on, and never behind a consumer group."""

    @property
    def waiting_for(self) -> str | None:
        """What keeps `poll` from returning records: brokers that are away. None as a rule."""
        ...

    async def start(self) -> None:
        """Connect. An error here is the caller's to handle."""
        ...

    async def stop(self) -> None:
        """Disconnect; also after a failed `start`."""
        ...

    async def poll(self) -> Sequence[Record]:
        """The next records of any partition; waits at most about 0.1 s, and may return none."""
        ...

    def positions(self) -> Mapping[tuple[str, int], int]:
        """The offset of the next record to be returned, by topic and partition."""
        ...

    def lag(self) -> int | None:
        """Records not yet returned by `poll`; None until every partition's end is known."""
        ...


class Condition(NamedTuple):
    """Whether something holds, and if not, why; the reason is empty where it does."""

    ok: bool
    reason: str = ""


class _Awaited(NamedTuple):
    user_id: str
    topic: str
    partition: int
    offset: int


class Follower:
    """Polls the tail and applies what comes in the owner thread, where the searches run too.

    An error of the tail is transient: it is logged, and polled again after 0.5 s, doubling to
    10 s. An error in applying is a defect: the follower stops for good and `health` says so.

    Args:
        tail: where the records come from.
        view: where they go.
        owner: an executor of one thread; nothing else may touch the view.
        profiles_topic: records of this topic are profiles.
        item_vectors_topic: records of this topic are items.
        max_lag: more records behind than this and the service is not ready.
        sensor: told the lag.
        snapshots: where the view is written once it is complete; None for nowhere.
        snapshot_seconds: how often.
        now_ms: wall clock, ms since the epoch.
        on_retrievable: told of records of profiles that were just applied, once the view is
            complete.
        on_restoring: told, until the view is complete, how many records were read and of about
            how many.
        sleep: waits a number of seconds.
    """

    def __init__(
        self,
        tail: RecordSource,
        view: RetrievalView,
        owner: Executor,
        *,
        profiles_topic: str = "profiles",
        item_vectors_topic: str = "item-vectors",
        max_lag: int = 10_000,
        sensor: Sensor | None = None,
        snapshots: ViewSnapshots | None = None,
        snapshot_seconds: float = 300.0,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        on_retrievable: Callable[[Sequence[Record]], None] | None = None,
        on_restoring: Callable[[int, int], None] = lambda *_: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._on_retrievable = on_retrievable
        self._on_restoring = on_restoring
        self._read = 0
        self._tail = tail
        self._view = view
        self._owner = owner
        self._profiles_topic = profiles_topic
        self._item_vectors_topic = item_vectors_topic
        self._max_lag = max_lag
        self._sensor: Sensor = Sensor() if sensor is None else sensor
        self._now_ms = now_ms
        self._sleep = sleep
        self._snapshots = snapshots
        self._snapshot_seconds = snapshot_seconds
        self._saving: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._trouble: str | None = None
        self._failure: str | None = None
        self._waiters: dict[asyncio.Future[None], _Awaited] = {}
        self.caught_up = False
        self.lag: int | None = None
        #: Of the next record to be applied, by topic and partition.
        self.positions: Mapping[tuple[str, int], int] = {}

    async def start(self) -> None:
        """Start the tail, then follow it in a task. Raises what the tail's start raises."""
        await self._tail.start()
        self._task = asyncio.create_task(self._run(), name="tidemark-follower")

    async def stop(self) -> None:
        """Stop following, then the tail. What is being applied is finished first."""
        self._stopping = True
        for task in (self._saving, self._task):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await self._tail.stop()

    async def ended(self) -> None:
        """Wait until the follower no longer runs: it failed (see `failure`) or was stopped."""
        if self._task is not None:
            await asyncio.wait([self._task])

    @property
    def failure(self) -> str | None:
        """Why the follower has stopped for good: only a restart helps. None while it has not."""
        return self._failure

    def health(self) -> Condition:
        """Whether records are being followed right now."""
        reason = self._failure or self._trouble or self._tail.waiting_for
        return Condition(True) if reason is None else Condition(False, reason)

    def serving(self) -> Condition:
        """Whether the view may be asked: it was complete once and is not known to be wrong."""
        if self._failure is not None:
            return Condition(False, self._failure)
        if self._view.mismatch is not None:
            return Condition(False, self._view.mismatch)
        if not self.caught_up:
            behind = "an unknown number of" if self.lag is None else str(self.lag)
            trouble = self._trouble or self._tail.waiting_for
            trouble = f"; {trouble}" if trouble else ""
            return Condition(False, f"reading the history, {behind} records behind{trouble}")
        return Condition(True)

    def ready(self) -> Condition:
        """Whether the view may be asked and is no more than ``max_lag`` records behind."""
        serving = self.serving()
        if serving.ok and self.lag is not None and self.lag > self._max_lag:
            return Condition(False, f"{self.lag} records behind; at most {self._max_lag} allowed")
        return serving

    async def wait_forgotten(
        self, user_id: str, topic: str, partition: int, offset: int, *, within: float
    ) -> bool:
        """Wait for a ``forget`` to reach the view.

        Args:
            user_id: who is to be forgotten.
            topic: source topic that the ``forget`` was published to.
            partition: its partition.
            offset: its offset.
            within: seconds to wait at most.

        Returns:
            Whether the user's tombstone with this offset or a later one (or a newer state, begun
            after it) was applied in time.
        """
        awaited = _Awaited(user_id, topic, partition, offset)
        loop = asyncio.get_running_loop()
        reached: asyncio.Future[None] = loop.create_future()
        # Waiting begins before looking: what is applied between the two is not missed.
        self._waiters[reached] = awaited
        try:
            if await loop.run_in_executor(self._owner, self._view.has_applied, *awaited):
                return True
            await asyncio.wait([reached], timeout=within)
            return reached.done()
        finally:
            del self._waiters[reached]
            reached.cancel()

    async def _run(self) -> None:
        backoff = _FIRST_BACKOFF_S
        try:
            while True:
                try:
                    records = await self._tail.poll()
                except Exception as error:
                    self._trouble = f"the topics cannot be read: {error!r}"
                    # What the streams raise says what is wrong; another error is a defect.
                    logger.warning(
                        "polling failed, trying again in %.1f s: %s",
                        backoff, error, exc_info=not hasattr(error, "retriable"),
                    )  # fmt: skip
                    await self._sleep(backoff)
                    backoff = min(2 * backoff, _LAST_BACKOFF_S)
                    continue
                backoff, self._trouble = _FIRST_BACKOFF_S, None
                await self._apply(records)
                self._read += len(records)
                self.positions = self._tail.positions()
                self._observe_lag()
        except Exception as error:
            self._failure = f"the follower failed: {error!r}"
            logger.critical("the follower failed for good; restart the service", exc_info=True)
        finally:
            if self._failure is None and not self._stopping:
                self._failure = "the follower's task was cancelled"

    def _observe_lag(self) -> None:
        self.lag = self._tail.lag()
        if self.lag is None:
            return
        self._sensor.on_lag(self.lag)
        if not self.caught_up:
            self._on_restoring(self._read, self._read + self.lag)
        if self.lag == 0 and not self.caught_up:
            # nothing is being applied now: the owner thread sees the flag at the next batch
            self._view.live = True
            self.caught_up = True
            logger.info("caught up with the topics")
            if self._snapshots is not None:
                saving = self._snapshots.run(
                    self._view, self._owner, lambda: self.positions, self._snapshot_seconds
                )
                self._saving = asyncio.create_task(saving, name="tidemark-view-snapshots")

    async def _apply(self, records: Sequence[Record]) -> None:
        loop = asyncio.get_running_loop()
        if not records:
            await loop.run_in_executor(self._owner, self._view.maintain)
            return
        waiting = dict(self._waiters)
        reached = await loop.run_in_executor(self._owner, self._write, records, waiting)
        for future in reached:
            if not future.done():
                future.set_result(None)

    def _write(
        self, records: Sequence[Record], waiting: dict[asyncio.Future[None], _Awaited]
    ) -> list[asyncio.Future[None]]:
        """In the owner thread: apply the records; returns the futures whose wait is over."""
        profiles: list[Record] = []
        items: list[Record] = []
        for record in records:
            if record.topic == self._profiles_topic:
                profiles.append(record)
            elif record.topic == self._item_vectors_topic:
                items.append(record)
            else:
                raise RuntimeError(
                    f"a record of topic {record.topic!r} came; expected "
                    f"{self._profiles_topic!r} or {self._item_vectors_topic!r}"
                )
        if items:
            self._view.apply_items(items)
        if profiles:
            self._view.apply_profiles(profiles, self._now_ms)
            if self._on_retrievable is not None and self._view.live:
                self._on_retrievable(profiles)
        self._view.maintain()
        return [future for future, one in waiting.items() if self._view.has_applied(*one)]
