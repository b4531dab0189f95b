"""What keeps one user's excess, and actions unlike all else of a user, from counting in full.

- **Rate cap**: at most N actions of a user in a minute of event time, and N at once: the generic
  cell rate algorithm, a token bucket that is one number (ITU-T I.371). The clock is the latest
  event time of the user, so a late action is capped no sooner; it depends on the log alone, and
  travels with the profile.
- **Outlier gate**: of cos(v, p) a mean and a variance are kept. An action that is z > c deviations
  below the mean counts c/z of its strength (Huber's weight, 1964). What is far away goes into mean
  and variance as c deviations, so that a few do not make it usual; a user whose interest turns
  takes the profile along, since each still counts for something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from store.errors import PolicyError

__all__ = ["FEWEST", "LEAST_DEVIATION", "MEMORY", "MINUTE_MS", "Guards", "Robustness"]

MINUTE_MS = 60_000.0
#: Actions before the gate judges one: of fewer there is no deviation to speak of.
FEWEST = 10
#: So many actions back mean and variance remember, as an exponential mean.
MEMORY = 50
#: Whose actions are all alike is not held to that.
LEAST_DEVIATION = 0.05


class Guards(NamedTuple):
    """As the compiled loop needs it: ms from action to action, and deviations; 0: none."""

    interval_ms: float
    deviations: float


@dataclass(frozen=True, slots=True)
class Robustness:
    """Both, each 0 where it is not wanted.

    Attributes:
        actions_per_minute: N of the rate cap.
        outlier_deviations: c of the gate.

    Raises:
        PolicyError: one is below 0.
    """

    actions_per_minute: int = 0
    outlier_deviations: float = 0.0

    def __post_init__(self) -> None:
        for name in ("actions_per_minute", "outlier_deviations"):
            if not getattr(self, name) >= 0:
                raise PolicyError(f"{name} is {getattr(self, name)}; expected 0 or more")

    def guards(self) -> Guards:
        """For the loop."""
        every = MINUTE_MS / self.actions_per_minute if self.actions_per_minute else 0.0
        return Guards(every, float(self.outlier_deviations))
