"""Profiles less the items' mean, and turned so that texts differ alike in every direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.blas import one_blas_thread
from store.mean_vector import MeanVector, directions

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LEAST_VARIANCE", "Whitening", "mean_vector"]

#: Added to each direction's variance; of 384 directions that vary alike each has 1/384.
LEAST_VARIANCE = 1e-3
#: Share of the items that come or go before the turn is made anew: it is the work of a matrix's
#: eigenvectors, some 25 to 40 ms of 384 dimensions.
_CHANGED = 0.05


class Whitening(MeanVector):
    """A `MeanVector` whose profiles are ``(C + LEAST_VARIANCE)^(−power) · (p − m)``, at length 1.

    C is the covariance of the items' directions. A few directions, in which texts differ most, have
    most say in a cosine and tell little; so each is weighed down by how much texts differ in it. At
    power ½ profiles are whitened (Kessy, Lewin and Strimmer, "Optimal Whitening and Decorrelation",
    2018); what two whitened sides would give as ``(p − m)ᵀ C^(−2·power) v`` is reached by turning
    the one that is searched for twice as far, and no item is indexed anew.

    Args:
        dim: of the vectors; twice its square is held.
        power: above 0, at most 1.
    """

    def __init__(self, dim: int, power: float) -> None:
        super().__init__(dim)
        self._power = power
        self._squares = np.zeros((dim, dim))
        self._turn: NDArray[np.float32] | None = None
        self._changed = 0

    def add(self, rows: NDArray[np.float32]) -> None:
        """As `MeanVector.add`."""
        super().add(rows)
        self._follow(rows, 1.0)

    def remove(self, rows: NDArray[np.float32]) -> None:
        """As `MeanVector.remove`."""
        super().remove(rows)
        self._follow(rows, -1.0)

    def refresh(self) -> None:
        """Make the turn anew where items have changed enough since; without one there is none."""
        if not self.in_force:
            self._turn = None
        elif self._turn is None or self._changed > _CHANGED * self._count:
            self._turn, self._changed = self._turned(), 0

    def removed_from(self, profiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `MeanVector.removed_from`, and turned as the last `refresh` says."""
        moved = super().removed_from(profiles)
        if self._turn is None or not self.in_force:
            return moved
        with one_blas_thread():
            turned: NDArray[np.float32] = moved @ self._turn
        turned /= np.linalg.norm(turned, axis=-1, keepdims=True)
        return turned

    def _follow(self, rows: NDArray[np.float32], sign: float) -> None:
        unit = directions(rows).astype(np.float32)
        with one_blas_thread():
            self._squares += sign * (unit.T @ unit)
        self._changed += len(rows)

    def _turned(self) -> NDArray[np.float32]:
        mean = self._total / self._count
        covariance = self._squares / self._count - np.outer(mean, mean)
        with one_blas_thread():
            variances, axes = np.linalg.eigh(covariance)
            # rounding, where nothing varies, may leave less than nothing
            scale = (np.maximum(variances, 0.0) + LEAST_VARIANCE) ** -self._power
            turn: NDArray[np.float32] = ((axes * scale) @ axes.T).astype(np.float32)
        return turn


def mean_vector(dim: int, whitening: float) -> MeanVector:
    """By the setting `retrieval.whitening`: 0 for the mean alone."""
    return Whitening(dim, whitening) if whitening else MeanVector(dim)
