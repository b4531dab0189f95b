"""Exact search in FAISS, float32 or float16; the one module that imports faiss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import faiss as _faiss
import numpy as np

from store.errors import VectorIndexError
from store.indexes.rows import RowIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FaissFlatIndex"]

# Some builds of FAISS carry (partly wrong) types and some none: untyped, it is the same everywhere.
faiss: Any = _faiss

_HALF_MAX = float(np.finfo(np.float16).max)


class FaissFlatIndex(RowIndex):
    """FAISS scans the rows; we write them, in place, through a view of its storage.

    ``add`` and ``remove_ids`` are never called: the latter shifts the whole array. Overwritten
    rows give results bit-identical to those of a fresh index (notes-store.md; the contract test).

    Args:
        dim: length of the vectors.
        precision: ``float16`` halves the memory and the time of a scan, at a relative error of
            2⁻¹¹ per value; values beyond ±65,504 are refused.
    """

    def __init__(self, dim: int, precision: Literal["float32", "float16"] = "float32") -> None:
        self._half = precision == "float16"
        self._index: Any
        if self._half:
            self._index = faiss.IndexScalarQuantizer(
                dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
        elif precision == "float32":
            self._index = faiss.IndexFlatIP(dim)
        else:
            raise VectorIndexError(f"precision is {precision!r}; expected float32 or float16")
        super().__init__(dim)

    def _allocate(self, capacity: int) -> NDArray[Any]:
        # Resizing moves the storage, so the view of before dangles: the caller replaces it.
        codes = self._index.codes
        codes.resize(capacity * self._index.code_size)
        flat = faiss.rev_swig_ptr(codes.data(), capacity * self._index.code_size)
        rows: NDArray[Any] = flat.view(np.float16 if self._half else np.float32)
        return rows.reshape(capacity, self._dim)

    def _encode(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        if not self._half:
            return vectors
        if np.abs(vectors).max() > _HALF_MAX:
            raise VectorIndexError(f"a value is beyond ±{_HALF_MAX:.0f}, the range of float16")
        encoded: NDArray[Any] = self._index.sa_encode(vectors).view(np.float16)
        return encoded

    def _resized(self, count: int) -> None:
        # FAISS scans the first ntotal rows; what lies beyond is spare capacity.
        self._index.ntotal = count

    def _best(
        self, queries: NDArray[np.float32], k: int, among: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        params = None
        if among is not None:
            allowed = np.zeros(len(self), dtype=bool)
            allowed[among] = True
            selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
            params = faiss.SearchParameters(sel=selector)
        scores, rows = self._index.search(queries, k, params=params)
        return scores, rows
