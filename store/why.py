"""What a profile's nearness to an item is made of: the user's latest actions, each by its part.

That is the nearness of the profile as it is kept; what is searched for is without the items' mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.profile import contribution_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from store.profile import Contribution

__all__ = ["Part", "parts_of"]


class Part(NamedTuple):
    """An action's part in the inner product of a profile and an item.

    Attributes:
        weight: of the action's vector in the profile p (`contribution_weights`).
        cosine: of the action's item and the item.
        part: weight × cosine.
        share: part / Σ|part|; 0 where all are 0.
    """

    contribution: Contribution
    weight: float
    cosine: float | None
    part: float | None
    share: float | None


def parts_of(
    contributions: Sequence[Contribution],
    vector_of: Callable[[str], NDArray[np.float32] | None],
    items: NDArray[np.float32],
) -> list[list[Part]]:
    """For each item the parts of these actions in it, the largest first.

    p is the sum of weight × v over all actions that were ever folded; an action's v is taken to be
    the vector of its item, which it is unless the action brought words of its own. Actions without
    an item, or of one that is not held, have no part that could be told, and come last.

    Args:
        contributions: oldest first, all that are known.
        vector_of: an item's unit vector, ``(dim,) float32``, or None.
        items: ``(n, dim) float32``, unit vectors.
    """
    weights = contribution_weights(contributions)
    vectors = [None if one.item_id is None else vector_of(one.item_id) for one in contributions]
    known = [at for at, vector in enumerate(vectors) if vector is not None]
    held = np.array([vectors[at] for at in known], np.float32).reshape(len(known), items.shape[1])
    cosines = items @ held.T
    parts = cosines * np.array([weights[at] for at in known])
    totals = np.abs(parts).sum(axis=1, keepdims=True)
    shares = parts / np.where(totals > 0, totals, 1.0)
    # Of equals the latest first: both lists are turned before a sort that keeps the order.
    untold = [
        Part(contributions[at], weights[at], None, None, None)
        for at in reversed(range(len(vectors)))
        if vectors[at] is None
    ]
    explained = []
    for row in range(len(items)):
        told = [
            Part(
                contributions[at],
                weights[at],
                float(cosines[row, place]),
                float(parts[row, place]),
                float(shares[row, place]),
            )
            for place, at in reversed(list(enumerate(known)))
        ]
        told.sort(key=lambda one: -(one.part or 0.0))
        explained.append(told + untold)
    return explained
