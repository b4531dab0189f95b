"""What two looks at counters, gauges and histograms say: rates, sums and quantiles.

Pure: no clock, no network, no Prometheus. A metric that nobody reports is None, never 0.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

__all__ = ["Labels", "Look", "Reading", "Window", "increase", "quantile"]

#: Names and values, sorted by name.
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Look:
    """A process' metrics at one moment.

    Attributes:
        at: seconds, from any beginning.
        families: metrics that are reported, also those that have no sample yet; counters without
            ``_total``.
        samples: values by the sample's name and labels, as Prometheus' text has them: histograms as
            ``_bucket``, ``_sum`` and ``_count``.
    """

    at: float
    families: frozenset[str] = frozenset()
    samples: Mapping[str, Mapping[Labels, float]] = field(default_factory=dict)

    def reports(self, name: str) -> bool:
        """Whether the process reports this metric."""
        return any(
            name.removesuffix(ending) in self.families for ending in ("_total", "_count", "_sum")
        )


class Reading(NamedTuple):
    """A gauge of one process."""

    process: str
    labels: dict[str, str]
    value: float


def increase(before: float | None, now: float) -> float:
    """By how much a counter grew; one that is smaller than before began anew in between."""
    if before is None or now < before:
        return now
    return now - before


def quantile(q: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """The q-quantile of a histogram, as Prometheus' ``histogram_quantile`` computes it.

    Within a bucket values are taken to be spread evenly. What is in the last bucket, whose bound is
    infinite, is given as the bound before it.

    Args:
        q: from 0 to 1.
        buckets: upper bounds, ascending, and how many values are at or below each.

    Returns:
        None of a histogram without values, or without a finite bound.
    """
    if len(buckets) < 2 or buckets[-1][1] <= 0:  # noqa: PLR2004 # one bound, and infinity
        return None
    rank = q * buckets[-1][1]
    place = next(
        (at for at, (_, count) in enumerate(buckets) if count >= rank and count > 0),
        len(buckets) - 1,
    )
    if place == len(buckets) - 1:
        return buckets[-2][0]
    bound, count = buckets[place]
    lower, below = (0.0, 0.0) if place == 0 else buckets[place - 1]
    if place == 0 and bound <= 0:
        return bound
    return lower + (bound - lower) * (rank - below) / (count - below)


class Window:
    """The time between two looks at each of several processes.

    Args:
        pairs: by the process' name an earlier look, or None where there is none, and the latest.
    """

    def __init__(self, pairs: Mapping[str, tuple[Look | None, Look]]) -> None:
        self._pairs = pairs

    def among(self, processes: Collection[str]) -> Window:
        """What these processes say."""
        return Window({name: pair for name, pair in self._pairs.items() if name in processes})

    def reported(self, name: str) -> bool:
        """Whether any process reports this metric."""
        return any(now.reports(name) for _, now in self._pairs.values())

    def readings(self, name: str) -> list[Reading]:
        """The latest values of a gauge, of every process and with every label."""
        return [
            Reading(process, dict(labels), value)
            for process, (_, now) in self._pairs.items()
            for labels, value in now.samples.get(name, {}).items()
        ]

    def total(self, name: str, **wanted: str) -> float | None:
        """The sum of a gauge or counter over processes and labels, of those that have these."""
        if not self.reported(name):
            return None
        found = self.readings(name)
        return sum(one.value for one in found if wanted.items() <= one.labels.items())

    def totals(self, name: str, label: str) -> dict[str, float] | None:
        """`total` by the values of a label; empty where nothing was counted yet."""
        if not self.reported(name):
            return None
        found: defaultdict[str, float] = defaultdict(float)
        for one in self.readings(name):
            found[one.labels.get(label, "")] += one.value
        return dict(sorted(found.items()))

    def highest(self, name: str) -> float | None:
        """The largest value of a gauge."""
        return max((one.value for one in self.readings(name)), default=None)

    def rate(self, name: str, **wanted: str) -> float | None:
        """By how much a counter grew, per second; None also before the second look."""
        if not self._measurable(name):
            return None
        return sum(self._rates(name, wanted).values())

    def rates(self, name: str, label: str) -> dict[str, float] | None:
        """`rate` by the values of a label; empty where nothing was counted yet."""
        if not self._measurable(name):
            return None
        found: defaultdict[str, float] = defaultdict(float)
        for labels, rate in self._rates(name, {}).items():
            found[dict(labels).get(label, "")] += rate
        return dict(sorted(found.items()))

    def share(self, name: str, *others: str) -> float | None:
        """How much of what these counters grew by is the first one's; None where none grew."""
        rates = [self.rate(one) for one in (name, *others)]
        known = [one for one in rates if one is not None]
        if len(known) < len(rates) or not sum(known):
            return None
        return known[0] / sum(known)

    def mean(self, name: str) -> float | None:
        """Of the values that a histogram took in; None where there was none."""
        if not self._measurable(name):
            return None
        count = sum(self._rates(f"{name}_count", {}).values())
        return sum(self._rates(f"{name}_sum", {}).values()) / count if count else None

    def quantile(self, name: str, q: float, **wanted: str) -> float | None:
        """Of the values that a histogram took in meanwhile; None where there was none."""
        counts: defaultdict[float, float] = defaultdict(float)
        for labels, grown in self._increases(f"{name}_bucket", wanted):
            bound = dict(labels).get("le", "")
            counts[float(bound)] += grown
        return quantile(q, sorted(counts.items()))

    def _measurable(self, name: str) -> bool:
        return any(
            before is not None and now.at > before.at and now.reports(name)
            for before, now in self._pairs.values()
        )

    def _rates(self, name: str, wanted: Mapping[str, str]) -> dict[Labels, float]:
        found: defaultdict[Labels, float] = defaultdict(float)
        for before, now in self._pairs.values():
            if before is not None and now.at > before.at:
                for labels, grown in _grown(before, now, name, wanted):
                    found[labels] += grown / (now.at - before.at)
        return found

    def _increases(self, name: str, wanted: Mapping[str, str]) -> Iterator[tuple[Labels, float]]:
        for before, now in self._pairs.values():
            if before is not None:
                yield from _grown(before, now, name, wanted)


def _grown(
    before: Look, now: Look, name: str, wanted: Mapping[str, str]
) -> Iterator[tuple[Labels, float]]:
    earlier = before.samples.get(name, {})
    for labels, value in now.samples.get(name, {}).items():
        if wanted.items() <= dict(labels).items():
            yield labels, increase(earlier.get(labels), value)
