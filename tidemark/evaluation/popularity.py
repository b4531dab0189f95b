"""What everybody acts on, of all time or lately."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog

__all__ = ["DecayedPopularity", "Popularity"]

_DAY_MS = 86_400_000
#: Below the logarithm of every count: items that nobody acted on, which are all alike.
_NEVER = np.float32(-1e30)


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
    times and a sum need not be touched between two actions on its item: it is kept as of a fixed
    time.

    Args:
        log: what is replayed.
        half_life: days.
        name: in reports.
    """

    def __init__(self, log: ActionLog, half_life: float, name: str) -> None:
        self.name = name
        self._items, self._ts = log.items, log.ts
        self._half_life = half_life * _DAY_MS
        self._sums = np.zeros(len(log.catalogue))
        self._origin = np.array([log.ts[0]], np.int64)

    def learn(self, begin: int, end: int) -> None:
        """See `Recommender`."""
        _count(
            self._items[begin:end], self._ts[begin:end], self._half_life, self._sums, self._origin
        )

    def scores(self, place: int) -> NDArray[np.float32]:
        """See `Recommender`."""
        del place
        # As logarithms: in float32 the sums of a short half-life would all be zero.
        found = np.full(len(self._sums), _NEVER)
        np.log2(self._sums, out=found, where=self._sums > 0, casting="same_kind")
        return found


#: The sums are moved to a newer time before float64 overflows, at 2^1024.
_HALVINGS = 500.0


@compiled
def _count(
    items: NDArray[np.int32],
    ts: NDArray[np.int64],
    half_life: float,
    sums: NDArray[np.float64],
    origin: NDArray[np.int64],
) -> None:
    for i in range(items.shape[0]):
        item = items[i]
        if item < 0:
            continue
        halvings = (ts[i] - origin[0]) / half_life
        if halvings > _HALVINGS:
            factor = 2.0**-halvings
            for j in range(sums.shape[0]):
                sums[j] *= factor
            origin[0] = ts[i]
            halvings = 0.0
        sums[item] += 2.0**halvings
