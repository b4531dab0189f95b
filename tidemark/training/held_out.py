"""Two ways to make a query vector, judged at the same moments of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tidemark.evaluation.bootstrap import Resampling
from tidemark.evaluation.moments import earlier_actions, first_of_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog

__all__ = ["Interval", "choices_between", "discounted", "ndcg", "paired", "ranks_of", "recall"]

K = 10
#: Moments that are scored together.
_AT_ONCE = 512


class Interval(NamedTuple):
    """A mean difference, and where 95% of its resamples are."""

    mean: float
    low: float
    high: float


def choices_between(
    log: ActionLog, positive: NDArray[np.bool_], begin: int, end: int, fewest: int = 1
) -> NDArray[np.int64]:
    """Places, ascending, of the positive actions on items that are new to users.

    Args:
        log: in time order.
        positive: ``(n,)`` which actions show what a user wanted.
        begin: the first place of the log that counts.
        end: the first behind it that does not.
        fewest: actions with an item that the user must have had before.
    """
    has_item = log.items >= 0
    earlier = earlier_actions(log.users, has_item)
    there = np.arange(len(log))
    return np.flatnonzero(
        has_item
        & positive
        & first_of_pair(log)
        & (earlier >= fewest)
        & (there >= begin)
        & (there < end)
    )


def ranks_of(
    log: ActionLog,
    places: NDArray[np.int64],
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
) -> NDArray[np.float64]:
    """``(m,)`` ranks, from 1, of what was chosen among the items that are new to the user.

    Of equals it takes the middle.

    Args:
        log: in time order.
        places: ``(m,)`` of the choices, ascending.
        queries: ``(m, dim) float32``.
        vectors: ``(items, dim) float32``.
    """
    order = np.argsort(log.users, kind="stable")
    edges = np.searchsorted(log.users[order], np.arange(len(log.user_ids) + 1))
    found = np.empty(len(places))
    for start in range(0, len(places), _AT_ONCE):
        scores = queries[start : start + _AT_ONCE] @ vectors.T
        for row, place in enumerate(places[start : start + _AT_ONCE].tolist()):
            user, of_row = log.users[place], scores[row]
            of_user = order[edges[user] : edges[user + 1]]
            own = of_row[log.items[place]]
            seen = log.items[of_user[: np.searchsorted(of_user, place)]]
            of_row[seen[seen >= 0]] = -np.inf
            above, equal = int((of_row > own).sum()), int((of_row == own).sum())
            found[start + row] = 1 + above + (equal - 1) / 2
    return found


def recall(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each moment: whether what was chosen is among the first `K`."""
    return (ranks <= K).astype(np.float64)


def ndcg(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each moment: 1 / log₂(rank + 1) among the first `K`, else 0."""
    return np.where(ranks <= K, 1 / np.log2(ranks + 1), 0.0)


def discounted(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """As `ndcg`, of all ranks: it sees smaller differences."""
    gained: NDArray[np.float64] = 1 / np.log2(1 + ranks)
    return gained


def paired(
    one: NDArray[np.float64], other: NDArray[np.float64], users: NDArray[np.int32], seed: int
) -> Interval:
    """The mean of ``one − other`` with a 95% bootstrap interval; users are drawn, not moments.

    Args:
        one: ``(m,)`` of each moment.
        other: ``(m,)`` of the same moments.
        users: ``(m,)`` whose they are.
        seed: of the drawing.
    """
    (found,), _ = Resampling(users, seed).means((one - other)[:, np.newaxis])
    mean = float((one - other).mean())
    # of one user all resamples are the same
    return Interval(mean, *(mean if end is None else end for end in (found.low, found.high)))
