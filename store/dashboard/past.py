"""How a profile came to be what it is, as far back as its latest actions are kept with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from store.profile import contribution_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from store.profile import Contribution

__all__ = ["Step", "steps_of"]

#: So much of what an action left to see may have been folded over by later ones: each step back
#: divides by its k, and the rounding of float32 with it.
_LEAST_KEPT = 1e-3


@dataclass(slots=True)
class Step:
    """One of the latest actions, and the profile right after it.

    Attributes:
        k: how much of the profile before it the action left.
        strength: how much the user liked it, −1 to 1.
        weight: the factor of its vector in the profile as it is now.
        norm: of the profile right after it.
        drift: 1 − cos of the profiles before and after it.
        likeness: cos of the profile right after it and the profile now.

    The last three are None where they cannot be told.
    """

    action: str
    item_id: str | None
    k: float
    strength: float
    weight: float
    norm: float | None = None
    drift: float | None = None
    likeness: float | None = None


def steps_of(
    profile: NDArray[np.float32],
    contributions: Sequence[Contribution],
    vector_of: Callable[[str], NDArray[np.float32] | None],
) -> list[Step]:
    """The rule, ``p' = k·p + (1−k)·s·v``, taken back from the profile as it is now.

    An action's v is taken to be the vector of its item, which it is unless the action brought words
    of its own. Where an action has no item, or one that is not held, or left nothing of what was
    before it, what lies before it cannot be told.

    Args:
        profile: p as it is now, ``(dim,) float32``.
        contributions: oldest first.
        vector_of: an item's unit vector, ``(dim,) float32``, or None.
    """
    weights = contribution_weights(contributions)
    steps = [
        Step(one.action, one.item_id, one.k, one.strength, weight)
        for one, weight in zip(contributions, weights, strict=True)
    ]
    now = profile.astype(np.float64)
    after: NDArray[np.float64] | None = now
    kept = 1.0
    for step in reversed(steps):
        if after is None:
            break
        step.norm = float(np.linalg.norm(after))
        step.likeness = _cosine(after, now)
        vector = None if step.item_id is None else vector_of(step.item_id)
        kept *= step.k
        before = None
        if vector is not None and kept >= _LEAST_KEPT:
            before = (after - (1 - step.k) * step.strength * vector.astype(np.float64)) / step.k
        if before is not None:
            likeness = _cosine(before, after)
            step.drift = None if likeness is None else max(0.0, 1 - likeness)
        after = before
    return steps


def _cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """None where one of them is 0, or as good as that."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths > 1e-12 else None  # noqa: PLR2004 # rounding
