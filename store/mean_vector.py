"""The mean of the items' vectors, kept up to date as they come and go, and profiles without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LEAST_ITEMS", "MeanVector", "directions"]

#: The mean of fewer is not what a kind of text has in common, but what these few say.
LEAST_ITEMS = 100
#: Shorter than this is what rounding leaves of a profile that is the mean itself.
_LEAST_NORM = 1e-4


class MeanVector:
    """What the texts of a catalogue have in common, which tells none of its items from another.

    Without the mean, cosines tell texts apart better (Mu and Viswanath, "All-but-the-Top: Simple
    and Effective Postprocessing for Word Representations", 2018). It is taken from the profile that
    is searched for and not from the items, so that nothing is indexed anew when it moves; what is
    found is nearly the same (`nearest-centred` in docs/evaluation.md).

    Args:
        dim: of the vectors.
    """

    def __init__(self, dim: int) -> None:
        self._total = np.zeros(dim)
        self._count = 0

    def add(self, rows: NDArray[np.float32]) -> None:
        """Items came, ``(n, dim)``. Each counts by its direction, however long its vector is."""
        self._total += directions(rows).sum(axis=0)
        self._count += len(rows)

    def remove(self, rows: NDArray[np.float32]) -> None:
        """Items went, or have other vectors now; these were added, to the bit."""
        self._total -= directions(rows).sum(axis=0)
        self._count -= len(rows)

    def refresh(self) -> None:
        """Do what is put off while items come and go: of a mean, nothing."""

    @property
    def in_force(self) -> bool:
        """Whether there are items enough for a mean."""
        return self._count >= LEAST_ITEMS

    def removed_from(self, profiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Profiles without the mean m, ``(p − m) / |p − m|``; as they are with too few items.

        Args:
            profiles: ``(…, dim) float32`` unit vectors.
        """
        if not self.in_force:
            return profiles
        moved = profiles - (self._total / self._count).astype(np.float32)
        norms = np.linalg.norm(moved, axis=-1, keepdims=True)
        # of one that is the mean nothing would be left to search for
        left: NDArray[np.float32] = np.where(norms > _LEAST_NORM, moved, profiles)
        left /= np.where(norms > _LEAST_NORM, norms, np.float32(1.0))
        return left


def directions(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """``(n, dim)`` the rows at length 1; zeros stay zeros."""
    found = rows.astype(np.float64)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    unit: NDArray[np.float64] = found / np.where(norms > 0, norms, 1.0)
    return unit
