"""Which offsets of a partition somebody else wrote: a pure state machine."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

__all__ = ["ForeignRanges"]


class ForeignRanges:
    """What of a partition is known, and what is there and not known.

    Known is what was read when the partition was restored, what the broker acknowledged to us, and
    what was read since. An end of the partition counts only when everything that we had begun to
    send before it was seen is acknowledged: until then the unknown may be our own.

    Args:
        start: everything before this offset is known.
    """

    def __init__(self, start: int) -> None:
        self._known = start
        # Known ranges beyond, [first, stop), sorted, apart from each other.
        self._firsts: list[int] = []
        self._stops: list[int] = []
        self._seen: tuple[float, int] | None = None

    @property
    def known(self) -> int:
        """Everything before this offset is known."""
        return self._known

    def explain(self, first: int, stop: int) -> None:
        """The offsets ``first <= offset < stop`` are known: our own, or read and dealt with."""
        if stop <= first:
            return
        begin = bisect_left(self._stops, first)
        end = bisect_right(self._firsts, stop)
        if begin < end:  # merge with the ranges that it touches
            first, stop = min(first, self._firsts[begin]), max(stop, self._stops[end - 1])
        self._firsts[begin:end] = [first]
        self._stops[begin:end] = [stop]
        while self._firsts and self._firsts[0] <= self._known:
            self._known = max(self._known, self._stops[0])
            del self._firsts[0], self._stops[0]

    def look(self, now: float, end: int, sending_since: float | None) -> list[tuple[int, int]]:
        """What must be read: ``(first, stop)`` in order.

        Args:
            now: seconds of a monotonic clock, when ``end`` was asked for or earlier.
            end: an offset that the partition has reached at least.
            sending_since: when the oldest of our sends that is not acknowledged was begun.
        """
        before = self._seen
        if before is not None and sending_since is not None and sending_since <= before[0]:
            return []  # what was begun before the end was seen may have written up to it
        self._seen = (now, end)
        return [] if before is None else self._unknown_before(before[1])

    def _unknown_before(self, end: int) -> list[tuple[int, int]]:
        unknown = []
        first = self._known
        for known_first, known_stop in zip(self._firsts, self._stops, strict=True):
            if known_first >= end:
                break
            unknown.append((first, known_first))
            first = known_stop
        if first < end:
            unknown.append((first, end))
        return unknown
