"""Exact search in NumPy: the reference for the other indexes, and enough for small numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from store.indexes.rows import RowIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.indexes.rows import Best

__all__ = ["ExactIndex"]


class ExactIndex(RowIndex):
    """Every row scored by matrix products; float32, exact. Needs no FAISS."""

    precision = "float32"

    def __init__(self, dim: int, *, threads: int | None = None) -> None:
        super().__init__(dim, dim, np.float32, threads=threads)

    @property
    def kind(self) -> str:
        """What it is, for operators."""
        return "exact float32"

    def _allocate(self, number: int, capacity: int) -> NDArray[Any]:
        grown = np.empty((capacity, self._dim), np.float32)
        if number < len(self._segments):
            held = self._segments[number]
            grown[: len(held)] = held
        return grown

    def _encode(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        return np.ascontiguousarray(vectors)

    def _decode(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        return codes

    def _scan(self, queries: NDArray[np.float32], k: int, work: list[Any]) -> Best:
        return self._multiply(queries, k, work)
