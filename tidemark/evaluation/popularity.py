"""What everybody acts on, of all time or lately."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from store.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog

__all__ = ["DecayedPopularity", "Popularity"]

_DAY_MS = 86_400_000
#: Below the logarithm of every count: items that nobody acted on, which are all alike.
_NEVER = -1e30


class Popularity:
    """How many actions an item has."""

    def __init__(self, log: ActionLog, name: str = "popularity") -> None:
        self.name = name
        self._items = log.items
        self._counts = np.zeros(len(log.catalogue), np.int64)

    def learn(self, begin: int, end: int) -> None:
        """See `Recommender`."""
        items = self._items[begin:end]
        self._counts += np.bincount(items[items >= 0], minlength=len(self._counts))

    def scores(self, place: int) -> NDArray[np.float32]:
        """See `Recommender`."""
        del place
        return self._counts.astype(np.float32)


class DecayedPopularity:
    """How many actions an item has, each counted by how long ago it was.

    An action counts 2^(−age / half-life). All ages grow alike, so the order is the same at all
    times and a sum need not be touched between two actions on its item: it is kept as of the log's
    first action, and as a logarithm, since there are logs of thousands of half-lives.

    Args:
        log: what is replayed.
        half_life: days.
        name: in reports.
    """

    def __init__(self, log: ActionLog, half_life: float, name: str) -> None:
        self.name = name
        self._items, self._ts = log.items, log.ts
        self._half_life = half_life * _DAY_MS
        self._logs = np.full(len(log.catalogue), _NEVER)

    def learn(self, begin: int, end: int) -> None:
        """See `Recommender`."""
        halvings = (self._ts[begin:end] - self._ts[0]) / self._half_life
        _count(self._items[begin:end], halvings, self._logs)

    def scores(self, place: int) -> NDArray[np.float32]:
        """See `Recommender`."""
        del place
        # Held against the greatest, near which float32 must tell one from another.
        found: NDArray[np.float32] = (self._logs - self._logs.max()).astype(np.float32)
        return found


@compiled
def _count(
    items: NDArray[np.int32], halvings: NDArray[np.float64], logs: NDArray[np.float64]
) -> None:
    """Add ``2^halvings`` to what ``logs`` are the logarithms of."""
    for i in range(items.shape[0]):
        item = items[i]
        if item >= 0:
            more, less = max(logs[item], halvings[i]), min(logs[item], halvings[i])
            logs[item] = more + math.log2(1.0 + 2.0 ** (less - more))
