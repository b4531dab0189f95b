"""What the indexes that scan rows have in common: all but the scan and the memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from store.errors import VectorIndexError
from store.indexes.protocol import Hits
from store.indexes.slots import SlotMap

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

__all__ = ["RowIndex"]

_FIRST_CAPACITY = 64
# Up to here excluded keys are fetched with the others and dropped; a filter inside the scan would
# cost every row a look-up.
_MAX_OVERFETCH = 1024


class RowIndex(ABC):
    """Keys in the rows of one growing matrix, overwritten in place; see `VectorIndex`."""

    def __init__(self, dim: int) -> None:
        if dim < 1:
            raise VectorIndexError(f"dim is {dim}; expected at least 1")
        self._dim = dim
        self._slots = SlotMap()
        self._rows = self._allocate(_FIRST_CAPACITY)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, key: object) -> bool:
        return key in self._slots

    def upsert(self, keys: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Insert or replace; see `VectorIndex.upsert`."""
        self._check(vectors)
        if len(keys) != len(vectors):
            raise VectorIndexError(f"{len(keys)} keys came with {len(vectors)} vectors")
        if not keys:
            return
        last = {key: position for position, key in enumerate(keys)}
        if len(last) < len(keys):
            keys, vectors = list(last), vectors[list(last.values())]
        encoded = self._encode(vectors)
        needed = len(self._slots) + self._slots.missing(keys)
        if needed > len(self._rows):
            self._rows = self._allocate(max(needed, 2 * len(self._rows)))
        self._rows[self._slots.place(keys)] = encoded
        self._resized(needed)

    def delete(self, keys: Sequence[str]) -> int:
        """Remove keys; see `VectorIndex.delete`."""
        before = len(self._slots)
        for key in keys:
            freed = self._slots.remove(key)
            if freed is not None:
                row, last = freed
                self._rows[row] = self._rows[last]
        self._resized(len(self._slots))
        return before - len(self._slots)

    def get(self, key: str) -> NDArray[np.float32] | None:
        """The key's vector as it is stored, or None."""
        row = self._slots.row(key)
        return None if row is None else np.array(self._rows[row], dtype=np.float32)

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        exclude: Collection[str] = (),
        allow: Collection[str] | None = None,
    ) -> list[Hits]:
        """The k best keys for each query; see `VectorIndex.search`."""
        self._check(queries)
        if k < 1:
            raise VectorIndexError(f"k is {k}; expected at least 1")
        among: NDArray[np.int64] | None = None
        dropped: set[int] = set()
        if allow is not None:
            among = self._slots.rows(set(allow).difference(exclude))
        elif exclude:
            barred = self._slots.rows(set(exclude))
            if len(barred) > _MAX_OVERFETCH:
                among = np.delete(np.arange(len(self), dtype=np.int64), barred)
            else:
                dropped = set(barred.tolist())
        fetch = min(k + len(dropped), len(self) if among is None else len(among))
        if fetch == 0 or len(queries) == 0:
            return [Hits([], np.empty(0, dtype=np.float32)) for _ in queries]
        scores, rows = self._best(queries, fetch, among)
        return [
            self._hits(k, one, found.tolist(), dropped)
            for one, found in zip(scores, rows, strict=True)
        ]

    def _hits(
        self, k: int, scores: NDArray[np.float32], rows: list[int], dropped: set[int]
    ) -> Hits:
        kept = [place for place, row in enumerate(rows) if row >= 0 and row not in dropped][:k]
        return Hits([self._slots.key(rows[place]) for place in kept], scores[kept])

    def _check(self, vectors: NDArray[np.float32]) -> None:
        # callers outside mypy's reach pass lists and float64: the annotation is not a guarantee
        given: object = vectors
        if not isinstance(given, np.ndarray) or given.dtype != np.float32:
            kind = getattr(given, "dtype", type(given).__name__)
            raise VectorIndexError(f"vectors are {kind}; expected a float32 array")
        if vectors.ndim != 2 or vectors.shape[1] != self._dim:  # noqa: PLR2004 - rows and columns
            raise VectorIndexError(f"vectors are {vectors.shape}; expected (n, {self._dim})")
        if not np.isfinite(vectors).all():
            raise VectorIndexError("vectors hold NaN or infinity; expected finite values")

    def _encode(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        """``(n, dim) float32`` as the rows store them."""
        return vectors

    def _resized(self, count: int) -> None:  # noqa: B027 - not every index needs to know
        """Told after each write how many rows are in use."""

    @abstractmethod
    def _allocate(self, capacity: int) -> NDArray[Any]:
        """Make room for ``capacity`` rows, keeping those in use; returns ``(capacity, dim)``."""

    @abstractmethod
    def _best(
        self, queries: NDArray[np.float32], k: int, among: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores, descending, and rows, both ``(n, k)``; row -1 where nothing was found.

        ``k`` is no more than the rows searched, which are all or, if given, those in ``among``.
        """
