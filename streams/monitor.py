"""Shows the worker to its watchdog, once a second, and ends it where the watchdog says so."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from aiokafka.errors import KafkaError

from streams.errors import StalledError
from streams.lag import LagClock
from streams.sensor import Sensor
from streams.watchdog import Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from streams.activity import Activities
    from streams.health import Health
    from streams.watchdog import PartitionReading, Verdict, Watchdog

__all__ = ["GroupView", "Monitor", "PartitionEnds"]

logger = logging.getLogger(__name__)


class GroupView(Protocol):
    """The worker's part in its consumer group (`streams.transport.Consumer`)."""

    def is_member(self) -> bool: ...  # noqa: D102
    def readings(self) -> Sequence[PartitionReading]: ...  # noqa: D102


class PartitionEnds(Protocol):
    """Asks the broker where partitions end (`streams.peek.TopicPeek`)."""

    async def start(self) -> None: ...  # noqa: D102
    async def stop(self) -> None: ...  # noqa: D102
    async def ends(  # noqa: D102
        self, partitions: Collection[tuple[str, int]]
    ) -> Mapping[tuple[str, int], int]: ...


class Monitor:
    """See the module.

    The ends of the partitions are asked for on a connection of its own: a consumer that does not
    fetch does not learn of records either.

    Args:
        group: what the worker owns and how far it is.
        ends: says where the partitions end.
        activities: what goes on.
        health: is told, and knows whether the worker serves.
        watchdog: decides.
        clock: seconds, monotonic.
        interval: seconds between two looks.
        sensor: is told how far behind the worker is.
        now_ms: wall clock, ms since the epoch.
    """

    def __init__(
        self,
        group: Callable[[], GroupView],
        ends: PartitionEnds,
        activities: Activities,
        health: Health,
        watchdog: Watchdog,
        clock: Callable[[], float],
        interval: float = 1.0,
        sensor: Sensor | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._group = group
        self._source = ends
        self._activities = activities
        self._health = health
        self._watchdog = watchdog
        self._clock = clock
        self._interval = interval
        self._sensor = sensor or Sensor()
        self._now_ms = now_ms
        self._lag = LagClock()
        self._ends: Mapping[tuple[str, int], int] = {}
        self._was_healthy = True

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            BaseExceptionGroup: of a StalledError: the worker stood still for too long.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ask())
            tasks.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            self.look()

    def look(self) -> Verdict:
        """One look.

        Raises:
            StalledError: the worker has stood still for too long.
        """
        group, now = self._group(), self._clock()
        readings = [self._with_end(one) for one in group.readings()]
        self._sensor.on_lag(self._lag.observe(now, self._now_ms(), readings))
        verdict = self._watchdog.observe(
            now,
            Observation(
                member=group.is_member() and self._health.serving,
                readings=readings,
                activities=self._activities.current(),
                done=self._activities.done,
            ),
        )
        self._health.on_verdict(verdict)
        if verdict.expired:
            raise StalledError(
                f"{verdict.reason}. The worker ends, so that another takes over; what was not "
                "committed is read again"
            )
        if verdict.healthy != self._was_healthy:
            self._was_healthy = verdict.healthy
            if verdict.healthy:
                logger.info("the worker advances again")
            else:
                logger.error("the worker stands still: %s", verdict.reason)
        return verdict

    def _with_end(self, reading: PartitionReading) -> PartitionReading:
        known = (reading.end, self._ends.get((reading.topic, reading.partition)))
        return replace(reading, end=max((end for end in known if end is not None), default=None))

    async def _ask(self) -> None:
        await self._source.start()
        try:
            while True:
                await asyncio.sleep(self._interval)
                owned = [(one.topic, one.partition) for one in self._group().readings()]
                try:
                    self._ends = await self._source.ends(owned)
                except (KafkaError, TimeoutError) as error:
                    # What is known stays: a broker that is away is seen by what waits for it.
                    logger.info("the ends of the partitions are not known: %r", error)
        finally:
            await self._source.stop()
