"""How long it took from an action's publishing to its user's profile being retrievable."""

from __future__ import annotations

from collections import deque

import numpy as np

__all__ = ["Freshness"]

_KEPT = 100_000


class Freshness:
    """The latest 100,000 observations, for quantiles.

    Attributes:
        count: observations ever made.
    """

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_KEPT)
        self.count = 0

    def observe(self, seconds: float) -> None:
        """One profile became retrievable after ``seconds``."""
        self._seconds.append(seconds)
        self.count += 1

    def quantile(self, q: float) -> float | None:
        """The q-quantile (0 … 1) of those kept, in seconds; None where there are none."""
        return float(np.quantile(np.array(self._seconds), q)) if self._seconds else None
