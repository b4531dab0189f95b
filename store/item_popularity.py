"""Popularity as one more coordinate of the items' vectors: one inner product ranks by both.

An item's coordinate is its popularity, ``log(1 + users) / log(1 + users of the most popular)``, in
steps; a query's is how much that is to count, 0 as a rule. So a blend is searched for, and not
what is near sorted again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from store.popularity import Popularity

__all__ = ["EXTRA", "PopularityCoordinate"]

#: Coordinates beside the vector's own. One is used; with the others, which are 0, rows are of a
#: length that FAISS has quick loops for.
EXTRA = 16
#: The coordinate of the most popular, at most; queries make up for it. Rows of `int8` reach to six
#: standard deviations of a unit vector's numbers.
_MOST_REACH, _DEVIATIONS = 0.25, 6.0
#: Steps from 0 to there, so that a vector is written again now and then, not with every count.
_LEVELS = 32
#: Items looked at in one go: a fraction of a millisecond.
_AT_ONCE = 512


class PopularityCoordinate:
    """What each item's coordinate is, and which are to change.

    Args:
        dim: of the items' vectors, without it.
    """

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._reach = min(_MOST_REACH, _DEVIATIONS / math.sqrt(dim + EXTRA))
        self._levels: dict[str, int] = {}  # those above 0
        self._most = 0
        self._seen = -1  # what a snapshot said is looked at once in any case
        self._left: list[str] = []

    def rows(self, item_ids: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(n, dim + EXTRA)`` to be indexed, of ``(n, dim)``."""
        rows = np.zeros((len(vectors), self._dim + EXTRA), np.float32)
        rows[:, : self._dim] = vectors
        levels = [self._levels.get(item_id, 0) for item_id in item_ids]
        rows[:, self._dim] = np.array(levels, np.float32) * np.float32(self._reach / _LEVELS)
        return rows

    def query(self, vector: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
        """``(…, dim + EXTRA)`` to be searched for, of ``(…, dim)`` and what popularity counts."""
        query = np.zeros((*vector.shape[:-1], self._dim + EXTRA), np.float32)
        query[..., : self._dim] = vector
        query[..., self._dim] = weight / self._reach
        return query

    def learn(self, rows: Mapping[str, NDArray[np.float32]]) -> None:
        """These rows are indexed, from a snapshot."""
        for item_id, row in rows.items():
            self._set(item_id, round(float(row[self._dim]) / self._reach * _LEVELS))

    def arrived(self, item_ids: Iterable[str]) -> None:
        """These are new: they may have been seen before they came."""
        self._left.extend(item_ids)

    def forget(self, item_id: str) -> None:
        """The item is no more."""
        self._levels.pop(item_id, None)

    def due(self, items: Collection[str], popularity: Popularity) -> list[str]:
        """Items whose rows are to be made anew: of the next few, those that rose or fell."""
        if not self._left and popularity.changes != self._seen:
            self._seen, self._most = popularity.changes, popularity.most()
            self._left = list(items)
        some = self._left[-_AT_ONCE:]
        del self._left[-_AT_ONCE:]
        return [
            item_id
            for item_id in some
            if item_id in items and self._set(item_id, self._level(popularity.count(item_id)))
        ]

    def _level(self, users: int) -> int:
        if not users:
            return 0
        return min(_LEVELS, round(_LEVELS * math.log1p(users) / math.log1p(max(self._most, 1))))

    def _set(self, item_id: str, level: int) -> bool:
        """Whether it was another."""
        if self._levels.get(item_id, 0) == level:
            return False
        if level:
            self._levels[item_id] = level
        else:
            del self._levels[item_id]
        return True
