"""The place of one item among all that a user has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["rank_and_top"]


def rank_and_top(
    scores: NDArray[np.float32],
    seen: NDArray[np.int32],
    target: int,
    top: NDArray[np.int32],
) -> float:
    """The rank of an item, 1 for the first; and the items that come first.

    Args:
        scores: ``(items,) float32``, no NaN; −inf is not shown. Not changed.
        seen: items left out; may repeat, and must not have the target.
        target: the item sought.
        top: ``(k,) int32``, filled with the k first, best first, −1 where there are not so many;
            of items with the same score the one with the lower number comes first.

    Returns:
        Of items with the same score each has the mean of their ranks, so a recommender that scores
        all alike gains nothing by it. Infinite where the target is not shown.
    """
    shown = np.array(scores, np.float32)
    shown[seen] = -np.inf
    best = np.empty(len(top), np.float32)
    better, ties = _count(shown, shown[target])
    _fill_top(shown, best, top)
    return float("inf") if shown[target] == -np.inf else 1.0 + better + ties / 2


@compiled
def _count(scores: NDArray[np.float32], score: float) -> tuple[int, int]:
    """Items above, and others beside, this score."""
    better, same = 0, 0
    for i in range(scores.shape[0]):
        better += scores[i] > score
        same += scores[i] == score
    return better, same - 1


@compiled
def _fill_top(
    scores: NDArray[np.float32], best: NDArray[np.float32], top: NDArray[np.int32]
) -> None:
    top[:] = -1
    best[:] = -np.inf
    last = top.shape[0] - 1
    for i in range(scores.shape[0]):
        score = scores[i]
        if score > best[last]:
            at = last
            while at > 0 and score > best[at - 1]:
                best[at], top[at] = best[at - 1], top[at - 1]
                at -= 1
            best[at], top[at] = score, i
