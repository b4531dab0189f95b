"""Takes a user's coming to an item into the columns of items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.compiled import compiled, dot, part
from store.ranking.columns import FOLLOWED, HALF_LIVES_DAYS, NEAR
from store.ranking.pairs import add_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.ranking.columns import ItemColumns

__all__ = ["count_choice", "put_lengths"]

_DAY_MS = 86_400_000.0
_SHORTEST, _DAYS_4, _DAYS_30, _DAYS_365 = HALF_LIVES_DAYS
#: Popularity is put on a new origin after so many of its half-lives: 2^300 is a number yet.
_MOST_HALVINGS = 300.0
_FOLLOWING = 0.8


@part
def _half_life(horizon: int) -> float:
    if horizon == 0:
        return _SHORTEST
    if horizon == 1:
        return _DAYS_4
    return _DAYS_30 if horizon == 2 else _DAYS_365


@part
def _come_to(items: ItemColumns, ts: int) -> None:
    """Have the origin of popularity near enough to ``ts``."""
    if items.origin[0] == 0:
        items.origin[0] = ts
    days = (ts - items.origin[0]) / _DAY_MS
    if days < _MOST_HALVINGS * _SHORTEST:
        return
    for horizon in range(items.popularity.shape[0]):
        share = 2.0 ** (-days / _half_life(horizon))
        for item in range(items.popularity.shape[1]):
            items.popularity[horizon, item] *= share
    items.origin[0] = ts


@part
def count_choice(
    items: ItemColumns, recent: NDArray[np.int32], count: int, item: int, ts: int, strength: float
) -> None:
    """A user came to an item that is new to that user.

    So no user counts twice for an item, or for two items together, however often the user acts.

    Args:
        items: changed.
        recent: ``(≥ count,) int32`` items that the user had seen before, the latest first.
        count: how many of these.
        item: the one that is new.
        ts: when, ms.
        strength: s of the action; NaN where it is not known.
    """
    _come_to(items, ts)
    items.latest[0] = max(items.latest[0], ts)
    days = (ts - items.origin[0]) / _DAY_MS
    for horizon in range(items.popularity.shape[0]):
        items.popularity[horizon, item] += 2.0 ** (days / _half_life(horizon))
    if items.first[item] == 0 or ts < items.first[item]:
        items.first[item] = ts
    items.users[item] += 1.0
    if strength == strength:  # noqa: PLR0124 # no NaN
        items.liked[item] += strength
        items.rated[item] += 1.0
    weight = 1.0
    near: int = min(np.int64(NEAR), count)
    for back in range(near):
        other = recent[back]
        add_pair(items.together, item, other, 1.0)
        add_pair(items.together, other, item, 1.0)
        if back < FOLLOWED:
            add_pair(items.follows, other, item, weight)
            weight *= _FOLLOWING


@compiled
def put_lengths(items: ItemColumns, begin: int, end: int) -> None:
    """Fill in `along` and `lengths` of items from their vectors and the mean."""
    of_mean = dot(items.mean, items.mean)
    for item in range(begin, end):
        vector = items.vectors[item]
        along, square = dot(vector, items.mean), dot(vector, vector)
        items.along[item] = along
        rest = square - np.float32(2.0) * along + of_mean
        # a vector that is the mean has no direction of its own
        items.lengths[item] = np.sqrt(max(rest, np.float32(1e-6)))
