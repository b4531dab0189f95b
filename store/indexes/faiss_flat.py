"""Exact search in FAISS over rows of several precisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from store.errors import VectorIndexError
from store.indexes.faiss_library import faiss, one_thread
from store.indexes.kernels import decode_bfloat16, encode_bfloat16
from store.indexes.rows import RowIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.indexes.rows import Best

__all__ = ["PRECISIONS", "FaissFlatIndex", "Precision"]

Precision = Literal["float32", "bfloat16", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float16", "int8")

_HALF_MAX = float(np.finfo(np.float16).max)
#: Of a unit vector's numbers, in standard deviations of one drawn at random: what int8 reaches to.
_REACH = 6.0


class FaissFlatIndex(RowIndex):
    """FAISS scans the rows; we write them, in place, through views of its storage.

    ``add`` and ``remove_ids`` are never called: the latter shifts the whole array. Overwritten
    rows give results bit-identical to those of a fresh index (the contract test).

    Args:
        dim: length of the vectors.
        precision: ``bfloat16`` and ``float16`` halve the memory and the time of a scan, at a
            relative error of 2⁻⁹ and 2⁻¹² a number; ``int8`` quarters the memory, for unit vectors:
            255 steps over ±6/√dim, to which numbers beyond are cut.
        threads: that scan.
    """

    def __init__(
        self, dim: int, precision: Precision = "bfloat16", *, threads: int | None = None
    ) -> None:
        if precision not in PRECISIONS:
            raise VectorIndexError(
                f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}"
            )
        self.precision = precision
        #: A segment's rows are the codes of one of these.
        self._faiss: list[Any] = []
        dtype = {"float32": np.float32, "int8": np.uint8}.get(precision, np.uint16)
        super().__init__(dim, dim, dtype, threads=threads)
        self._pattern = self._empty()

    @property
    def kind(self) -> str:
        """What it is, for operators."""
        return f"faiss-flat {self.precision}"

    def _empty(self) -> Any:
        """A FAISS index of this precision."""
        if self.precision == "float32":
            return faiss.IndexFlatIP(self._dim)
        codes = {
            "bfloat16": faiss.ScalarQuantizer.QT_bf16,
            "float16": faiss.ScalarQuantizer.QT_fp16,
            "int8": faiss.ScalarQuantizer.QT_8bit_uniform,
        }
        index = faiss.IndexScalarQuantizer(
            self._dim, codes[self.precision], faiss.METRIC_INNER_PRODUCT
        )
        if self.precision == "int8":
            reach = np.float32(_REACH / np.sqrt(self._dim))
            ends = np.array([[-reach], [reach]], np.float32)
            index.train(ends.repeat(self._dim, axis=1))
        return index

    def _allocate(self, number: int, capacity: int) -> NDArray[Any]:
        if number == len(self._faiss):
            self._faiss.append(self._empty())
        # Resizing moves the storage, so the view of before dangles: the caller replaces it.
        index = self._faiss[number]
        index.codes.resize(capacity * index.code_size)
        flat = faiss.rev_swig_ptr(index.codes.data(), capacity * index.code_size)
        rows: NDArray[Any] = flat.view(self._dtype)
        return rows.reshape(capacity, self._width)

    def _on_resized(self, count: int) -> None:
        del self._faiss[len(self._segments) :]
        for number, index in enumerate(self._faiss):
            # FAISS scans the first ntotal rows; what lies beyond is spare capacity.
            index.ntotal = min(count - number * self.segment_rows, self.segment_rows)

    def _encode(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        if self.precision == "float32":
            return np.ascontiguousarray(vectors)
        if self.precision == "bfloat16":
            codes = np.empty(vectors.shape, np.uint16)
            encode_bfloat16(np.ascontiguousarray(vectors), codes)
            return codes
        if self.precision == "float16" and np.abs(vectors).max(initial=0) > _HALF_MAX:
            raise VectorIndexError(f"a value is beyond ±{_HALF_MAX:.0f}, the range of float16")
        one_thread()
        encoded: NDArray[Any] = self._pattern.sa_encode(vectors).view(self._dtype)
        return encoded

    def _decode(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        if self.precision == "float32":
            return codes
        if self.precision == "bfloat16":
            vectors = np.empty(codes.shape, np.float32)
            decode_bfloat16(np.ascontiguousarray(codes), vectors)
            return vectors
        if self.precision == "float16":
            return codes.view(np.float16).astype(np.float32)
        decoded: NDArray[np.float32] = self._pattern.sa_decode(codes)
        return decoded

    def _scan(self, queries: NDArray[np.float32], k: int, work: list[Any]) -> Best:
        found = [
            self._search(queries, k, start // self.segment_rows, mask) for start, _, mask in work
        ]
        return (
            np.concatenate([scores for scores, _ in found], axis=1),
            np.concatenate([rows for _, rows in found], axis=1),
        )

    def _search(
        self, queries: NDArray[np.float32], k: int, number: int, mask: NDArray[np.bool_] | None
    ) -> Best:
        index = self._faiss[number]
        params = None
        if mask is not None:
            bits = np.packbits(mask, bitorder="little")
            params = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        one_thread()  # ours do; FAISS's wait for each other, and long beside a busy process
        scores, rows = index.search(queries, min(k, index.ntotal), params=params)
        return scores, np.where(rows < 0, -1, rows + number * self.segment_rows)
