"""Intervals of means and of their differences, by resampling users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LEVEL", "RESAMPLES", "Estimate", "Resampling", "difference"]

#: So much of the resampled figures is within an interval.
LEVEL = 0.95
RESAMPLES = 2_000
#: Resamples whose weights are in memory at a time.
_CHUNK = 250


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, and the interval it would be in with other users.

    Attributes:
        value: as measured; None where there is nothing to measure.
        low, high: ends of the interval; None of fewer than two users.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def above_zero(self) -> bool:
        """All of the interval is."""
        return self.low is not None and self.low > 0

    @property
    def below_zero(self) -> bool:
        """All of the interval is."""
        return self.high is not None and self.high < 0


class Resampling:
    """Draws users with replacement, with all of their moments; the same draws for every figure.

    What one user does is alike, so moments are not independent and an interval that resamples them
    one by one would be too narrow: users are the clusters of a cluster bootstrap (Davison and
    Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). A difference of two
    recommenders is resampled as one figure, since both are measured at the same moments.

    Args:
        users: ``(m,)`` whose moments they are.
        seed: of the draws.
        resamples: how many.
    """

    def __init__(self, users: NDArray[np.int32], seed: int = 0, resamples: int = RESAMPLES) -> None:
        self._known, self._codes = np.unique(users, return_inverse=True)
        self._seed, self._resamples = seed, resamples

    def means(self, values: NDArray[np.float64]) -> tuple[list[Estimate], NDArray[np.float64]]:
        """The mean of each column, with its interval (percentile method), and all resampled means.

        Args:
            values: ``(m, columns) float64``; NaN is left out of its column.

        Returns:
            The estimates, and ``(resamples, columns)`` for `difference`; NaN where a resample has
            nothing in a column.
        """
        present = ~np.isnan(values)
        sums, counts = self._by_user(np.where(present, values, 0.0)), self._by_user(present)
        drawn = self._draw(sums, counts)
        users = (counts > 0).sum(axis=0)
        with np.errstate(invalid="ignore"):
            observed = sums.sum(axis=0) / counts.sum(axis=0)
        return [
            _estimate(float(observed[at]), drawn[:, at], int(users[at]))
            for at in range(values.shape[1])
        ], drawn

    def _by_user(self, values: NDArray[np.float64] | NDArray[np.bool_]) -> NDArray[np.float64]:
        found = np.zeros((len(self._known), values.shape[1]))
        np.add.at(found, self._codes, values)
        return found

    def _draw(self, sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
        draws, users = np.random.default_rng(self._seed), len(self._known)
        found = np.empty((self._resamples, sums.shape[1]))
        for start in range(0, self._resamples, _CHUNK):
            size = min(_CHUNK, self._resamples - start)
            drawn = draws.multinomial(users, np.full(users, 1 / users), size).astype(np.float64)
            with np.errstate(invalid="ignore"):
                found[start : start + size] = (drawn @ sums) / (drawn @ counts)
        return found


def difference(
    of: tuple[Estimate, NDArray[np.float64]], less: tuple[Estimate, NDArray[np.float64]]
) -> Estimate:
    """A mean less another of the same moments, from `Resampling.means` of both.

    Args:
        of: the estimate, and its column of resampled means.
        less: as above, of what is taken away.
    """
    if of[0].value is None or less[0].value is None:
        return Estimate(None)
    users = 1 if of[0].low is None or less[0].low is None else 2
    return _estimate(of[0].value - less[0].value, of[1] - less[1], users)


def _estimate(value: float, drawn: NDArray[np.float64], users: int) -> Estimate:
    if np.isnan(value):
        return Estimate(None)
    if users < 2:  # noqa: PLR2004 # of one user all resamples are the same
        return Estimate(value)
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))
