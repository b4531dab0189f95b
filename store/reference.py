"""The rule in plain NumPy, one action at a time: the oracle of the tests, and a text to read.

The worker folds by the compiled loop in `store.fold`, which must agree with this to 1e-5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.policies import Policy

__all__ = ["ReferenceProfile", "fold_one"]


@dataclass
class ReferenceProfile:
    """A profile and the statistics that the policies keep (see `ProfileState`)."""

    vector: NDArray[np.float32]
    count: int = 0
    mass: float = 0.0
    sum_k: float = 0.0
    sum_k2: float = 0.0
    last_ts: int = 0

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
) -> float:
    """Fold one action into the profile, in place.

    Args:
        profile: changed.
        vector: v, ``(dim,) float32``, unit norm.
        strength: s in [-1, 1].
        weight: w > 0.
        ts: event time, ms.
        policy: chooses k.

    Returns:
        The k used.
    """
    k = _choose_k(profile, vector, weight, ts, policy)
    if policy.name == "decay":
        elapsed = max(0, ts - profile.last_ts) if profile.count else 0
        profile.mass = profile.mass * 2.0 ** (-elapsed / (policy.half_life_seconds * 1e3)) + weight
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
    if policy.name == "decay":
        elapsed = max(0, ts - profile.last_ts)
        kept: float = profile.mass * 2.0 ** (-elapsed / (policy.half_life_seconds * 1e3))
        return kept / (kept + weight)
    norm = float(np.linalg.norm(profile.vector)) * float(np.linalg.norm(vector))
    r = float(profile.vector @ vector) / norm if norm > 0.0 else 0.0
    spread = profile.sum_k / profile.sum_k2 if profile.sum_k2 > 0.0 else 1.0
    k = policy.alpha * r + (1.0 - policy.alpha) * spread
    return min(max(k, policy.k_min), policy.k_max)
