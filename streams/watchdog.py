"""Tells a worker that is alive from one that advances: a pure state machine.

It is shown the worker about once a second and adds up for how long something was there to do and
nothing was done. Time between two looks counts for a few seconds at most: a process that was
stopped, or a machine that slept, has not stalled.

Two ways to stand still:

1. The whole worker: it has something to do (records to read, batches in flight, a partition to
   restore, a group to join) and nothing advances.
2. One partition, while others go on: it has records that are never fetched though the worker is
   idle, or its batch in flight was overtaken by far more batches than fit between a fetch and an
   acknowledgement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.activity import Activity

__all__ = ["HEALTHY", "Observation", "PartitionReading", "Verdict", "Watchdog"]

#: Time between two looks counts for this many seconds at most.
_LONGEST_STEP = 5.0
#: Batches that may overtake one: several times what all queues from fetch to publication hold.
_OVERTAKEN = 256
#: So many partitions are named; the others are counted.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class PartitionReading:
    """One assigned partition at the moment of a look.

    Attributes:
        topic, partition: which.
        position: the offset to be fetched next; None until it is known.
        end: the partition's end as far as it is known; may be too low, never too high.
        acknowledged: the offset after the last batch whose effects are durable; None before one.
        in_flight: batches fetched whose effects are not durable.
        overtaken: batches fetched after its oldest in flight that are durable already.
        oldest_ms: when the first record of the oldest in flight was written, ms since the epoch.
        oldest_offset: of that record.
    """

    topic: str
    partition: int
    position: int | None
    end: int | None
    acknowledged: int | None = None
    in_flight: int = 0
    overtaken: int = 0
    oldest_ms: int | None = None
    oldest_offset: int | None = None

    @property
    def lag(self) -> int:
        """Records to fetch, as far as it is known."""
        if self.position is None or self.end is None:
            return 0
        return max(0, self.end - self.position)

    @property
    def undone(self) -> int:
        """Records whose effects are not durable, as far as it is known."""
        if self.end is None:
            return 0
        # With nothing in flight all before the position is done, also what is no record.
        begin = self.acknowledged if self.in_flight else self.position
        if begin is None:  # nothing was done yet since the partition was assigned
            begin = self.position if self.oldest_offset is None else self.oldest_offset
        return 0 if begin is None else max(0, self.end - begin)

    @property
    def has_work(self) -> bool:
        """Whether there is something to do, and be it to find out where to begin."""
        return bool(self.position is None or self.lag or self.in_flight)


@dataclass(frozen=True, slots=True)
class Observation:
    """The worker at the moment of a look.

    Attributes:
        member: whether it belongs to the consumer group; without partitions too.
        readings: of the assigned partitions.
        activities: what goes on, the longest first.
        done: grows with every advance (`streams.activity.Activities.done`).
    """

    member: bool
    readings: Sequence[PartitionReading] = ()
    activities: Sequence[Activity] = ()
    done: int = 0


class Verdict(NamedTuple):
    """Whether the worker advances.

    Attributes:
        stalled_seconds: how long it has stood still; 0 while it advances or has nothing to do.
        healthy: it has not stood still for too long.
        expired: it has stood still for so long that it must end.
        reason: what stands still, in one line; empty where it is healthy.
    """

    stalled_seconds: float
    healthy: bool
    expired: bool
    reason: str


HEALTHY = Verdict(0.0, True, False, "")


class Watchdog:
    """See the module.

    Args:
        stall_seconds: standing still for so long is unhealthy.
        exit_seconds: and for so long, a reason to end.
    """

    def __init__(self, stall_seconds: float, exit_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._exit_seconds = exit_seconds
        self._looked: float | None = None
        self._progress: tuple[object, ...] | None = None
        self._still = 0.0
        self._passed_over: dict[tuple[str, int], tuple[int | None, float]] = {}

    def observe(self, now: float, seen: Observation) -> Verdict:
        """Look at the worker.

        Args:
            now: seconds of a monotonic clock.
            seen: what there is to see.
        """
        step = 0.0 if self._looked is None else min(now - self._looked, _LONGEST_STEP)
        self._looked = now
        progress = (
            seen.done,
            seen.member,
            frozenset((one.topic, one.partition, one.acknowledged) for one in seen.readings),
        )
        busy = (
            not seen.member or bool(seen.activities) or any(one.has_work for one in seen.readings)
        )
        self._still = self._still + step if busy and progress == self._progress else 0.0
        self._progress = progress
        passed_over = self._look_for_passed_over(step, seen)
        longest = max((seconds for _, seconds in passed_over), default=0.0)
        seconds = max(self._still, longest)
        if seconds < self._stall_seconds:
            return Verdict(seconds, True, False, "")
        if self._still >= self._stall_seconds:
            reason = _whole(seen, self._still, now)
        else:
            standing = [one for one, waited in passed_over if waited >= self._stall_seconds]
            reason = (
                f"{_named(standing)} passed over for {longest:.0f} s while other partitions advance"
            )
        return Verdict(seconds, False, seconds >= self._exit_seconds, reason)

    def _look_for_passed_over(
        self, step: float, seen: Observation
    ) -> list[tuple[PartitionReading, float]]:
        idle = not any(one.in_flight for one in seen.readings)
        before, self._passed_over = self._passed_over, {}
        result = []
        for one in seen.readings:
            key = (one.topic, one.partition)
            acknowledged, waited = before.get(key, (one.acknowledged, 0.0))
            if not one.has_work or acknowledged != one.acknowledged:
                waited = 0.0
            elif (one.in_flight == 0 and idle) or one.overtaken > _OVERTAKEN:
                waited += step
            self._passed_over[key] = one.acknowledged, waited
            if waited:
                result.append((one, waited))
        return result


def _whole(seen: Observation, seconds: float, now: float) -> str:
    if not seen.member:
        return f"not a member of the consumer group for {seconds:.0f} s"
    waiting = [one for one in seen.readings if one.has_work]
    if seen.activities:
        stage = "; ".join(
            f"{one.stage} ({one.what}) runs for {now - one.since:.0f} s" for one in seen.activities
        )
    elif any(one.in_flight for one in waiting):
        stage = "apply: batches are in flight and nothing works on them"
    else:
        stage = "fetch: there are records and none comes"
    where = f" {_named(waiting)};" if waiting else ""
    return f"nothing advanced for {seconds:.0f} s:{where} stage {stage}"


def _named(readings: Sequence[PartitionReading]) -> str:
    worst = sorted(readings, key=lambda one: (-one.lag, one.topic, one.partition))
    named = [
        f"{one.topic}-{one.partition} at offset {_first(one)} "
        f"({one.in_flight} batches in flight, {one.lag:,} records to fetch)"
        for one in worst[:_NAMED]
    ]
    if len(worst) > _NAMED:
        named.append(f"{len(worst) - _NAMED} more")
    return ", ".join(named)


def _first(one: PartitionReading) -> str:
    """The first offset that is not durable, as far as it is known."""
    offset = one.position if one.acknowledged is None else one.acknowledged
    return "unknown" if offset is None else f"{offset:,}"
