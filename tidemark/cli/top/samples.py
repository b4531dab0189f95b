"""Figures from two looks at Prometheus metrics: rates, shares and quantiles. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Look", "Looks", "parse"]

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What one process showed.

    Attributes:
        at: when, in seconds of a clock that does not jump.
        samples: values by sample name and labels, sorted by name.
    """

    at: float
    samples: Mapping[tuple[str, Labels], float]


def parse(text: str, at: float) -> Look:
    """What ``/metrics`` said.

    Raises:
        ValueError: that is not how metrics look.
    """
    from prometheus_client.parser import (  # noqa: PLC0415 # only where something is to be parsed
        text_string_to_metric_families,
    )

    return Look(
        at,
        {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        },
    )


class Looks:
    """Some processes of a kind, each looked at once or twice; figures are sums over them.

    A process that was started anew in between counts from its start. A figure that cannot be told
    is None.

    Args:
        pairs: of each process the look before, None where there is none, and the newest.
    """

    def __init__(self, pairs: Sequence[tuple[Look | None, Look]]) -> None:
        self._pairs = pairs

    def value(self, name: str, **labels: str) -> float | None:
        """The sum of a gauge or counter."""
        found = [value for _, now in self._pairs for value in _matching(now, name, labels).values()]
        return sum(found) if found else None

    def largest(self, name: str, **labels: str) -> float | None:
        """The largest of a gauge."""
        found = [value for _, now in self._pairs for value in _matching(now, name, labels).values()]
        return max(found, default=None)

    def label_values(self, name: str, label: str) -> list[str]:
        """What values a label has."""
        return sorted(
            {
                dict(labels)[label]
                for _, now in self._pairs
                for labels in _matching(now, name, {})
                if label in dict(labels)
            }
        )

    def increase(self, name: str, **labels: str) -> float | None:
        """By how much a counter grew between the looks."""
        grown = [
            one
            for before, now in self._pairs
            if before is not None
            for one in _growth(before, now, name, labels).values()
        ]
        return sum(grown) if grown else None

    def rate(self, name: str, **labels: str) -> float | None:
        """The same a second; of several processes the sum of their rates."""
        rates = [
            sum(_growth(before, now, name, labels).values()) / (now.at - before.at)
            for before, now in self._pairs
            if before is not None and now.at > before.at and _matching(now, name, labels)
        ]
        return sum(rates) if rates else None

    def share(self, part: str, *others: str) -> float | None:
        """Of the growth of some counters, the share of the first; None where none grew."""
        grown = [self.increase(name) or 0.0 for name in (part, *others)]
        return grown[0] / sum(grown) if sum(grown) else None

    def quantile(self, q: float, name: str, **labels: str) -> float | None:
        """Of a histogram's observations between the looks; within a bucket, linear.

        None where there were none; of those beyond the last bound, that bound.
        """
        counts: dict[float, float] = {}
        for before, now in self._pairs:
            if before is None:
                continue
            for found, grown in _growth(before, now, f"{name}_bucket", labels).items():
                bound = float(dict(found)["le"])
                counts[bound] = counts.get(bound, 0.0) + grown
        return _quantile(q, sorted(counts.items()))


def _matching(look: Look, name: str, labels: Mapping[str, str]) -> dict[Labels, float]:
    wanted = set(labels.items())
    return {
        found: value
        for (one, found), value in look.samples.items()
        if one == name and wanted <= set(found)
    }


def _growth(before: Look, now: Look, name: str, labels: Mapping[str, str]) -> dict[Labels, float]:
    earlier = _matching(before, name, labels)
    return {
        # Less than before: the process began anew, and its counters at 0.
        found: value - earlier.get(found, 0.0) if value >= earlier.get(found, 0.0) else value
        for found, value in _matching(now, name, labels).items()
    }


def _quantile(q: float, cumulative: Sequence[tuple[float, float]]) -> float | None:
    if not cumulative or not cumulative[-1][1]:
        return None
    wanted = q * cumulative[-1][1]
    low, below = 0.0, 0.0
    for bound, count in cumulative:
        if count >= wanted:
            if math.isinf(bound):
                return low
            return (
                low + (bound - low) * (wanted - below) / (count - below) if count > below else low
            )
        low, below = bound, count
    return low
