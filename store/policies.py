"""How much of the old profile stays when a new action comes: k of ``p' = k·p + (1−k)·s·v``.

Every policy begins with k = 0 for the first action, so a profile starts as its first vector.

- ``constant``: ``k = min(k, n/(n+1))``: a running mean until n/(n+1) reaches k, then an
  exponential mean.
- ``decay``: a time-decayed weighted mean. ``m' = m·2^(−Δt/half_life) + w``; ``k = (m'−w)/m'``.
  A late action (Δt < 0) counts as Δt = 0.
- ``influence``: as ``decay``, with w from a model of what each kind of action foretells (see
  `store.influence`), which brings its half-life along.
- ``adaptive``: ``k = a·r + (1−a)·Σk_i/Σk_i²`` with ``r = cos(v, p)``, clamped to
  ``[k_min, k_max]``. The second term is at least 1 for k in (0, 1], hence the clamp; while no
  k > 0 was used yet it counts as 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from store.errors import PolicyError

if TYPE_CHECKING:
    from store.influence import Influence

__all__ = ["ADAPTIVE", "CONSTANT", "DECAY", "INFLUENCE", "Policy", "PolicyName"]

PolicyName = Literal["constant", "decay", "adaptive", "influence"]

# Codes for the compiled loop, which knows no strings.
CONSTANT, DECAY, ADAPTIVE, INFLUENCE = 0, 1, 2, 3
_CODES: dict[str, int] = {
    "constant": CONSTANT, "decay": DECAY, "adaptive": ADAPTIVE, "influence": INFLUENCE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy and its parameters; those of the other policies are not used.

    Attributes:
        name: which rule.
        k: of ``constant``, in [0, 1).
        half_life_seconds: of ``decay``, above 0.
        alpha: of ``adaptive``, in [0, 1].
        k_min, k_max: of ``adaptive``, 0 ≤ k_min ≤ k_max < 1.
        influence: the model of ``influence``.

    Raises:
        PolicyError: a parameter is out of range, or ``influence`` has no model.
    """

    name: PolicyName = "constant"
    k: float = 0.7
    half_life_seconds: float = 30 * 86_400.0
    alpha: float = 0.5
    k_min: float = 0.5
    k_max: float = 0.98
    influence: Influence | None = None

    def __post_init__(self) -> None:
        if self.name not in _CODES:
            raise PolicyError(f"policy {self.name!r} is unknown; known: {', '.join(_CODES)}")
        if not 0.0 <= self.k < 1.0:
            raise PolicyError(f"k is {self.k}; expected 0 ≤ k < 1")
        if not self.half_life_seconds > 0.0:
            raise PolicyError(f"half_life_seconds is {self.half_life_seconds}; expected above 0")
        if not 0.0 <= self.alpha <= 1.0:
            raise PolicyError(f"alpha is {self.alpha}; expected 0 to 1")
        if not 0.0 <= self.k_min <= self.k_max < 1.0:
            raise PolicyError(
                f"k_min is {self.k_min} and k_max {self.k_max}; expected 0 ≤ k_min ≤ k_max < 1"
            )
        if self.name == "influence" and self.influence is None:
            raise PolicyError(
                "policy influence has no model; expected one made by: tidemark train influence"
            )

    @property
    def code(self) -> int:
        """The policy's number in the compiled loop."""
        return _CODES[self.name]

    @property
    def identity(self) -> str:
        """Name and parameters in use; stored with every profile, so that two are never mixed."""
        if self.name == "constant":
            return f"constant(k={self.k:.15g})"
        if self.name == "decay":
            return f"decay(half_life_seconds={self.half_life_seconds:.15g})"
        if self.name == "influence" and self.influence is not None:
            return f"influence({self.influence.version})"
        bounds = f"k_min={self.k_min:.15g}, k_max={self.k_max:.15g}"
        return f"adaptive(alpha={self.alpha:.15g}, {bounds})"

    def parameters(self) -> tuple[float, float, float]:
        """Three numbers for the compiled loop, which reads those its policy has."""
        if self.name == "constant":
            return self.k, 0.0, 0.0
        if self.name == "decay":
            return self.half_life_seconds * 1000.0, 0.0, 0.0
        if self.name == "influence" and self.influence is not None:
            return self.influence.half_life_seconds * 1000.0, self.influence.repeated, 0.0
        return self.alpha, self.k_min, self.k_max
