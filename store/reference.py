"""The rule in plain NumPy, one action at a time: the oracle of the tests, and a text to read.

The worker folds by the compiled loop in `store.fold`, which must agree with this to 1e-5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from store.robustness import FEWEST, LEAST_DEVIATION, MEMORY, MINUTE_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.policies import Policy
    from store.robustness import Robustness

__all__ = ["ReferenceProfile", "fold_one", "part_that_counts", "passes"]


@dataclass
class ReferenceProfile:
    """A profile and the statistics that the policies keep (see `ProfileState`)."""

    vector: NDArray[np.float32]
    count: int = 0
    mass: float = 0.0
    sum_k: float = 0.0
    sum_k2: float = 0.0
    last_ts: int = 0
    paced: float = 0.0
    cos_mean: float = 0.0
    cos_var: float = 0.0

    @classmethod
    def empty(cls, dim: int) -> ReferenceProfile:
        """A user of whom nothing is known."""
        return cls(np.zeros(dim, np.float32))


def fold_one(
    profile: ReferenceProfile,
    vector: NDArray[np.float32],
    *,
    strength: float,
    weight: float,
    ts: int,
    policy: Policy,
    repeated: bool = False,
) -> float:
    """Fold one action into the profile, in place.

    Args:
        profile: changed.
        vector: v, ``(dim,) float32``, unit norm.
        strength: s in [-1, 1].
        weight: w > 0.
        ts: event time, ms.
        policy: chooses k.
        repeated: whether the action's item is among those recently seen (policy ``influence``).

    Returns:
        The k used.
    """
    if repeated and policy.name == "influence" and policy.influence is not None:
        weight *= policy.influence.repeated
    k = _choose_k(profile, vector, weight, ts, policy)
    half_life = _half_life_ms(policy)
    if half_life is not None:
        elapsed = max(0, ts - profile.last_ts) if profile.count else 0
        profile.mass = profile.mass * 2.0 ** (-elapsed / half_life) + weight
    profile.vector = (k * profile.vector + (1.0 - k) * strength * vector).astype(np.float32)
    profile.count += 1
    profile.sum_k += k
    profile.sum_k2 += k * k
    profile.last_ts = max(profile.last_ts, ts)
    return k


def _choose_k(
    profile: ReferenceProfile, vector: NDArray[np.float32], weight: float, ts: int, policy: Policy
) -> float:
    n = profile.count
    if n == 0:
        return 0.0
    if policy.name == "constant":
        return min(policy.k, n / (n + 1))
    half_life = _half_life_ms(policy)
    if half_life is not None:
        elapsed = max(0, ts - profile.last_ts)
        kept: float = profile.mass * 2.0 ** (-elapsed / half_life)
        return kept / (kept + weight)
    norm = float(np.linalg.norm(profile.vector)) * float(np.linalg.norm(vector))
    r = float(profile.vector @ vector) / norm if norm > 0.0 else 0.0
    spread = profile.sum_k / profile.sum_k2 if profile.sum_k2 > 0.0 else 1.0
    k = policy.alpha * r + (1.0 - policy.alpha) * spread
    return min(max(k, policy.k_min), policy.k_max)


def _half_life_ms(policy: Policy) -> float | None:
    """Of the policies that decay with time."""
    if policy.name == "influence" and policy.influence is not None:
        return policy.influence.half_life_seconds * 1e3
    return policy.half_life_seconds * 1e3 if policy.name == "decay" else None


def passes(profile: ReferenceProfile, ts: int, robustness: Robustness) -> bool:
    """Whether the user may have one more action now; if so, it is counted."""
    if not robustness.actions_per_minute:
        return True
    interval = MINUTE_MS / robustness.actions_per_minute
    now = float(max(ts, profile.last_ts))
    paced = max(profile.paced, now) + interval
    if paced - now > MINUTE_MS + interval / 2:
        return False
    profile.paced = paced
    return True


def part_that_counts(
    profile: ReferenceProfile, vector: NDArray[np.float32], robustness: Robustness
) -> float:
    """How much of its strength an action keeps, and learns how near it is."""
    norm = float(np.linalg.norm(profile.vector))
    if not (robustness.outlier_deviations and profile.count and norm > 0.0):
        return 1.0
    below = profile.cos_mean - float(profile.vector @ vector) / norm
    most = robustness.outlier_deviations * max(profile.cos_var**0.5, LEAST_DEVIATION)
    kept = 1.0
    if profile.count >= FEWEST and below > most:
        kept, below = most / below, most
    rate = 1.0 / min(profile.count, MEMORY)
    profile.cos_mean -= rate * below
    profile.cos_var = (1.0 - rate) * (profile.cos_var + rate * below * below)
    return kept
