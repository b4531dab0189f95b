"""How far behind a worker is, in records and in seconds: a pure state machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.sensor import Lag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.watchdog import PartitionReading

__all__ = ["LagClock"]


class LagClock:
    """Shown the owned partitions about once a second.

    The age of the oldest record that is not done is told by the record itself once it is fetched.
    Of records that were not fetched yet it is at most the time since the partition was last seen
    without any.
    """

    def __init__(self) -> None:
        self._idle_at: dict[tuple[str, int], float] = {}

    def observe(
        self, now: float, now_ms: int, readings: Sequence[PartitionReading]
    ) -> dict[tuple[str, int], Lag]:
        """The lag of each partition.

        Args:
            now: seconds, monotonic.
            now_ms: wall clock, ms since the epoch, as the records' times are.
            readings: of all partitions that are owned.
        """
        owned = {(one.topic, one.partition) for one in readings}
        self._idle_at = {place: at for place, at in self._idle_at.items() if place in owned}
        found = {}
        for one in readings:
            place = one.topic, one.partition
            records = one.undone
            if records == 0:
                self._idle_at[place] = now
            since = self._idle_at.setdefault(place, now)
            if records == 0:
                seconds = 0.0
            elif one.oldest_ms is not None:
                # a producer's clock may run ahead of ours
                seconds = max(0.0, (now_ms - one.oldest_ms) / 1000)
            else:
                seconds = now - since
            found[place] = Lag(records, seconds)
        return found
