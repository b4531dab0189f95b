"""What was shown of late, for a page that is opened now."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["History", "Ledger"]

Values = dict[str, float | None]
#: Of these a coarse point has the worst, of others the mean.
_WORST = (".p99", "lag.records", "lag.seconds", "follower.lag")


class Point(NamedTuple):
    """Values of one moment; ``t`` in ms since the epoch."""

    t: int
    values: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Span:
    """How much is kept.

    Attributes:
        fine_ms: points are kept as they came for so long, then one for each ``coarse_ms``.
        kept_ms: and forgotten after so long.
    """

    fine_ms: int = 180_000
    coarse_ms: int = 5_000
    kept_ms: int = 900_000


class History:
    """Points of the last while, those further back fewer."""

    def __init__(self, span: Span | None = None) -> None:
        self._span = span or Span()
        self._fine: deque[Point] = deque()
        self._coarse: deque[Point] = deque()
        self._pending: list[Point] = []  # of one coarse point

    def add(self, t: int, values: Mapping[str, float | None]) -> None:
        """A point later than those before; an earlier one (a clock was set back) begins anew."""
        if self._fine and t < self._fine[-1].t:
            for points in (self._fine, self._coarse, self._pending):
                points.clear()
        self._fine.append(Point(t, values))
        while self._fine[0].t < t - self._span.fine_ms:
            self._retire(self._fine.popleft())
        while self._coarse and self._coarse[0].t < t - self._span.kept_ms:
            self._coarse.popleft()

    def columns(self) -> dict[str, list[float | None]]:
        """By name the values of all points, under ``t`` their times: all of one length."""
        pending = [_merged(self._pending)] if self._pending else []
        points = [*self._coarse, *pending, *self._fine]
        names = dict.fromkeys(name for point in points for name in point.values)
        columns: dict[str, list[float | None]] = {"t": [point.t for point in points]}
        for name in names:
            columns[name] = [_rounded(point.values.get(name)) for point in points]
        return columns

    def _retire(self, point: Point) -> None:
        size = self._span.coarse_ms
        if self._pending and self._pending[0].t // size != point.t // size:
            self._coarse.append(_merged(self._pending))
            self._pending = []
        self._pending.append(point)


class Ledger:
    """Counts that only grow, and by how much they did within the last while.

    Args:
        kept: seconds that are looked back.
        step: seconds between two counts that are remembered.
    """

    def __init__(self, kept: float = 900.0, step: float = 10.0) -> None:
        self._kept, self._step = kept, step
        self._entries: deque[tuple[float, Mapping[str, float]]] = deque()

    def add(self, at: float, counts: Mapping[str, float]) -> None:
        """The counts now; ``at`` in seconds, from any beginning."""
        if self._entries and at - self._entries[-1][0] < self._step:
            return
        self._entries.append((at, dict(counts)))
        # One at or before the beginning of what is looked back at stays.
        while len(self._entries) > 1 and self._entries[1][0] <= at - self._kept:
            self._entries.popleft()

    def grown(self, counts: Mapping[str, float]) -> dict[str, float]:
        """By how much each count is above what it was then; counts that are new count whole."""
        before = self._entries[0][1] if self._entries else {}
        return {name: count - before.get(name, 0.0) for name, count in counts.items()}


def _merged(points: list[Point]) -> Point:
    names = dict.fromkeys(name for point in points for name in point.values)
    values: Values = {}
    for name in names:
        known = [value for point in points if (value := point.values.get(name)) is not None]
        if not known:
            values[name] = None
        elif name.endswith(_WORST):
            values[name] = max(known)
        else:
            values[name] = sum(known) / len(known)
    return Point(points[-1].t, values)


def _rounded(value: float | None) -> float | None:
    """To five digits: a chart shows fewer."""
    return None if value is None else float(f"{value:.5g}")
