"""How good rankings are: recall, NDCG, MRR, coverage and novelty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tidemark.evaluation.replay import Replayed

__all__ = ["MEANS", "coverage", "mrr", "ndcg", "of_moments", "recall"]

#: The metrics that are means over moments, as reports name them.
MEANS = ("recall@10", "recall@20", "ndcg@10", "mrr", "novelty@10")


def recall(ranks: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """``(m,)`` 1 where the one item sought is among the first k, else 0."""
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """``(m,)`` 1 / log₂(1 + rank) where the rank is at most k, else 0.

    Normalised discounted cumulative gain of one item sought: the ideal gain is 1 (Järvelin and
    Kekäläinen, 2002).
    """
    return np.where(ranks <= k, 1 / np.log2(1 + ranks), 0.0)


def mrr(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(m,)`` 1 / rank; 0 where it is infinite."""
    return 1 / ranks


def coverage(top: NDArray[np.int32], items: int) -> float:
    """The share of a catalogue's items that stand in one of these lists; −1 is no item."""
    return len(np.unique(top[top >= 0])) / items


def of_moments(replayed: Replayed) -> Mapping[str, NDArray[np.float64]]:
    """Each of `MEANS`, ``(m,)``; NaN where a moment has none: the novelty of an empty list."""
    ranks = replayed.ranks
    found = (recall(ranks, 10), recall(ranks, 20), ndcg(ranks, 10), mrr(ranks), replayed.novelty)
    return dict(zip(MEANS, found, strict=True))
