"""Exact search in NumPy: the reference for the other indexes, and enough for small numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.indexes.rows import RowIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ExactIndex"]


class ExactIndex(RowIndex):
    """Every row scored by one matrix product; float32, exact. Needs nothing but NumPy."""

    def _allocate(self, capacity: int) -> NDArray[np.float32]:
        grown = np.zeros((capacity, self._dim), dtype=np.float32)
        if len(self._slots):
            grown[: len(self._slots)] = self._rows[: len(self._slots)]
        return grown

    def _best(
        self, queries: NDArray[np.float32], k: int, among: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        matrix = self._rows[: len(self)] if among is None else self._rows[among]
        scores = queries @ matrix.T
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        best = np.take_along_axis(best, order, axis=1)
        found = np.take_along_axis(scores, best, axis=1)
        return found, best if among is None else among[best]
