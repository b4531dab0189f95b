"""What the indexes that keep a vector in a row have in common: all but the memory and the scan.

Rows lie in segments of equal size, of which the last one grows: a row never moves in memory
because others come, and little is allocated in advance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from store.blas import one_blas_thread
from store.errors import VectorIndexError
from store.indexes.checks import check_counts, check_part, check_vectors
from store.indexes.filters import NO_FILTER
from store.indexes.kernels import offer, put_rows, take_rows
from store.indexes.labels import Labels
from store.indexes.protocol import Hits, IndexPart
from store.indexes.slots import SlotMap
from store.processors import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

    from store.indexes.filters import Filter, Metadata

    #: Scores, descending, and rows, both ``(n, k)``; minus infinity and -1 where nothing was found.
    Best = tuple[NDArray[np.float32], NDArray[np.int64]]

__all__ = ["RowIndex", "best_of", "nothing", "sorted_best"]

_FIRST_ROWS, _STEP_ROWS = 64, 2_048
#: Up to here excluded keys are fetched with the others and dropped; a filter within the scan would
#: cost every row a look.
_MAX_OVERFETCH = 1_024
#: Below this share of the rows those that a filter leaves are scored one by one.
_FEW = 0.1
#: So many queries are one matrix product.
_MANY_QUERIES = 6
_PART_KEYS = 8_192
#: Rows to score that are more work than handing them to another thread.
_WORTH_SHARING = 2_048


class RowIndex(ABC):
    """Keys in rows, overwritten in place; see `VectorIndex`.

    Args:
        dim: length of the vectors.
        width, dtype: of a row as it is stored.
        threads: that scan; by default one for each processor to run on.
    """

    #: How vectors are stored.
    precision: str
    #: Rows of a segment.
    segment_rows = 16_384

    def __init__(
        self, dim: int, width: int, dtype: DTypeLike, *, threads: int | None = None
    ) -> None:
        if dim < 1:
            raise VectorIndexError(f"dim is {dim}; expected at least 1")
        self._dim, self._width, self._dtype = dim, width, np.dtype(dtype)
        self._slots = SlotMap()
        self._labels = Labels()
        #: ``(capacity, width)`` what each segment holds, and where that is in memory.
        self._segments: list[NDArray[Any]] = []
        self._addresses = np.zeros(0, np.int64)
        self._threads = threads or processors()
        self._pool: ThreadPoolExecutor | None = None

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

    @property
    def recall(self) -> float | None:
        """None: all rows are looked at."""
        return None

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, key: object) -> bool:
        return key in self._slots

    def upsert(
        self,
        keys: Sequence[str],
        vectors: NDArray[np.float32],
        metadata: Sequence[Metadata] | None = None,
    ) -> None:
        """Insert or replace; see `VectorIndex.upsert`."""
        check_vectors(vectors, self._dim)
        check_counts(keys, vectors, metadata)
        if len(keys):
            self._write(keys, self._encode(vectors), metadata)

    def delete(self, keys: Sequence[str]) -> int:
        """Remove keys; see `VectorIndex.delete`."""
        before = len(self)
        for key in keys:
            freed = self._slots.remove(key)
            if freed is not None:
                row, last = freed
                if row != last:
                    self._copy(np.array([row]), self._take(np.array([last])))
                self._labels.move(last, row)
                self._on_moved(last, row)
        if len(self) < before:
            self._labels.trim(len(self))
            self._resize()
        return before - len(self)

    def get(self, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Vectors as they are stored, of those of the keys that are held."""
        held = [key for key in keys if key in self._slots]
        return dict(zip(held, self._decode(self._take(self._slots.rows(held))), strict=True))

    def search(self, queries: NDArray[np.float32], k: int, where: Filter = NO_FILTER) -> list[Hits]:
        """The k best keys for each query; see `VectorIndex.search`."""
        check_vectors(queries, self._dim)
        if k < 1:
            raise VectorIndexError(f"k is {k}; expected at least 1")
        count = len(self)
        mask = self._labels.matching(where.fields, count)
        barred = self._slots.rows(where.exclude)
        if mask is None and len(barred) > _MAX_OVERFETCH:
            mask = np.ones(count, np.bool_)
        if mask is not None:
            mask[barred] = False
            barred = barred[:0]
        allowed = count if mask is None else int(np.count_nonzero(mask))
        fetch = min(k + len(barred), allowed)
        if fetch == 0 or len(queries) == 0:
            return [Hits([], np.empty(0, np.float32)) for _ in queries]
        with one_blas_thread():
            if mask is not None and allowed <= max(self.segment_rows // 4, _FEW * count):
                scores, rows = self._among(queries, fetch, np.flatnonzero(mask))
            else:
                scores, rows = self._best(queries, fetch, mask)
        return self._hits(k, scores, rows, set(barred.tolist()))

    def snapshot(self, keys: Sequence[str] | None = None) -> Iterator[IndexPart]:
        """All that is held, in parts; see `VectorIndex.snapshot`."""
        if keys is not None:
            yield self._part(keys)
            return
        keys = self._slots.keys()
        for start in range(0, len(keys), _PART_KEYS):
            yield self._part(keys[start : start + _PART_KEYS])

    def _part(self, keys: Sequence[str]) -> IndexPart:
        held = [key for key in keys if key in self._slots]
        rows = self._slots.rows(held)
        metadata = [self._labels.of(row) for row in rows.tolist()]
        return IndexPart(held, self._take(rows), self.precision, metadata)

    def restore(self, parts: Iterable[IndexPart]) -> None:
        """Upsert what a snapshot gave; see `VectorIndex.restore`."""
        for part in parts:
            check_part(part, self.precision, self._width, self._dtype)
            if part.keys:
                self._write(part.keys, np.ascontiguousarray(part.vectors), part.metadata)

    def maintain(self) -> bool:
        """Nothing is put off."""
        return False

    def close(self) -> None:
        """Let go of the threads. May be called again."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    @property
    @abstractmethod
    def kind(self) -> str:
        """What it is, for operators."""

    def _write(
        self, keys: Sequence[str], codes: NDArray[Any], metadata: Sequence[Metadata] | None
    ) -> None:
        before = len(self)
        rows = self._slots.place(keys)
        if len(self) > before:
            self._resize()
        new = rows >= before
        if len(np.unique(rows)) < len(rows):  # the last of equal keys stands
            last = {row: place for place, row in enumerate(rows.tolist())}
            chosen = np.fromiter(last.values(), np.int64, len(last))
            rows, codes, new = rows[chosen], codes[chosen], new[chosen]
            metadata = None if metadata is None else [metadata[place] for place in chosen]
        self._copy(rows, codes)
        if metadata is not None:
            self._labels.put(rows, metadata)
        elif new.any():
            self._labels.clear(rows[new])
        self._labels.trim(len(self))
        self._on_written(rows)

    def _resize(self) -> None:
        """Have as many rows as keys: in place, but for the last segment while it grows."""
        count = len(self)
        needed = -(-count // self.segment_rows)
        while len(self._segments) > needed:
            self._segments.pop()
        for number in range(max(0, len(self._segments) - 1), needed):
            rows = min(count - number * self.segment_rows, self.segment_rows)
            held = len(self._segments[number]) if number < len(self._segments) else 0
            if rows > held:
                step = _STEP_ROWS if count > _STEP_ROWS else _FIRST_ROWS
                capacity = min(-(-max(rows, held * 9 // 8) // step) * step, self.segment_rows)
                segment = self._allocate(number, capacity)
                self._segments[number : number + 1] = [segment]
        self._addresses = np.array([one.ctypes.data for one in self._segments], np.int64)
        self._on_resized(count)

    def _copy(self, rows: NDArray[np.int64], codes: NDArray[Any]) -> None:
        put_rows(self._addresses, self.segment_rows, rows, codes)

    def _take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The rows as they are stored, ``(n, width)``."""
        codes = np.empty((len(rows), self._width), self._dtype)
        take_rows(self._addresses, self.segment_rows, rows, codes)
        return codes

    def _used(self) -> list[tuple[int, NDArray[Any]]]:
        """Of each segment its first row's number and the rows in use."""
        count = len(self)
        return [
            (number * self.segment_rows, segment[: count - number * self.segment_rows])
            for number, segment in enumerate(self._segments)
        ]

    def _best(self, queries: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None) -> Best:
        """The k best of all rows, or of those in the mask."""
        return self._in_threads(
            queries,
            k,
            [
                (start, rows, None if mask is None else mask[start : start + len(rows)])
                for start, rows in self._used()
            ],
        )

    def _in_threads(self, queries: NDArray[np.float32], k: int, work: list[Any]) -> Best:
        """Scan these segments, in as many threads as there are."""
        scan = self._multiply if len(queries) >= _MANY_QUERIES else self._scan
        stripes = [work[first :: self._threads] for first in range(self._threads)]
        stripes = [stripe for stripe in stripes if stripe]
        if len(stripes) == 1:
            return sorted_best(*scan(queries, k, stripes[0]), k)
        found = list(self._threads_of().map(lambda stripe: scan(queries, k, stripe), stripes))
        return sorted_best(
            np.concatenate([scores for scores, _ in found], axis=1),
            np.concatenate([rows for _, rows in found], axis=1),
            k,
        )

    def _share(self, count: int, work: Callable[[int, int], None]) -> None:
        """Have threads do the work on 0 … count-1 in ranges, where it is worth it."""
        if count < _WORTH_SHARING or self._threads == 1:
            work(0, count)
            return
        ends = [count * part // self._threads for part in range(self._threads + 1)]
        for _ in self._threads_of().map(work, ends[:-1], ends[1:]):
            pass  # an error is raised here

    def _threads_of(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="index-scan")
        return self._pool

    def _multiply(self, queries: NDArray[np.float32], k: int, work: list[Any]) -> Best:
        """In a thread: many queries by matrix products."""
        best, best_rows = nothing(len(queries), k)
        for start, codes, mask in work:
            scores = queries @ self._decode(codes).T
            if mask is not None:
                scores[:, ~mask] = -np.inf
            offer(scores, np.arange(start, start + len(codes)), best, best_rows)
        return best, best_rows

    def _among(self, queries: NDArray[np.float32], k: int, rows: NDArray[np.int64]) -> Best:
        """The k best of these rows."""
        best, best_rows = nothing(len(queries), k)
        for start in range(0, len(rows), self.segment_rows):
            some = rows[start : start + self.segment_rows]
            scores = queries @ self._decode(self._take(some)).T
            offer(scores, some, best, best_rows)
        return sorted_best(best, best_rows)

    def _hits(
        self, k: int, scores: NDArray[np.float32], rows: NDArray[np.int64], dropped: set[int]
    ) -> list[Hits]:
        hits = []
        for one, found in zip(scores, rows.tolist(), strict=True):
            kept = [at for at, row in enumerate(found) if row >= 0 and row not in dropped][:k]
            hits.append(Hits([self._slots.key(found[at]) for at in kept], one[kept]))
        return hits

    @abstractmethod
    def _allocate(self, number: int, capacity: int) -> NDArray[Any]:
        """Make or enlarge a segment, keeping its rows; returns ``(capacity, width)``."""

    @abstractmethod
    def _encode(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        """``(n, dim) float32`` as the rows store them, a new contiguous array."""

    @abstractmethod
    def _decode(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """What rows stand for, ``(n, dim) float32``."""

    @abstractmethod
    def _scan(self, queries: NDArray[np.float32], k: int, work: list[Any]) -> Best:
        """In a thread: the k best of some segments, in any order.

        ``work`` holds of each its first row's number, its rows and a mask of these or None.
        """

    def _on_resized(self, count: int) -> None:  # noqa: B027 - not every index needs it
        """There are so many rows now."""

    def _on_written(self, rows: NDArray[np.int64]) -> None:  # noqa: B027
        """These rows are new, or have new vectors."""

    def _on_moved(self, source: int, target: int) -> None:  # noqa: B027
        """The last row took the place of a deleted one, which may be itself."""


def nothing(queries: int, k: int) -> Best:
    """What `store.indexes.kernels.offer` begins with."""
    return np.full((queries, k), -np.inf, np.float32), np.full((queries, k), -1, np.int64)


def best_of(scores: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> Best:
    """The k best of m rows with these scores, ``(n, m)`` and ``(m,)``."""
    best, best_rows = nothing(len(scores), k)
    offer(scores, rows, best, best_rows)
    return sorted_best(best, best_rows)


def sorted_best(scores: NDArray[np.float32], rows: NDArray[np.int64], k: int | None = None) -> Best:
    """Each query's in descending order, the first k."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
