"""How long it took from an action's publishing to its user's profile being retrievable."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

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

    def observe(self, seconds: NDArray[np.float64]) -> None:
        """Profiles became retrievable after ``(n,) seconds``."""
        self._seconds.extend(seconds.tolist())
        self.count += len(seconds)

    def quantile(self, q: float) -> float | None:
        """The q-quantile (0 … 1) of those kept, in seconds; None where there are none."""
        return float(np.quantile(np.array(self._seconds), q)) if self._seconds else None
