"""Short sketches of all rows: each is looked at quickly, and the best are looked at closely.

A sketch is a row's principal components, one byte each: a tenth of the row's memory, so that a
million are looked at in milliseconds. Unlike lists and graphs they ask nothing of how rows lie:
sums of many texts' vectors, as profiles are, form no clusters. What is written is sketched at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from store.blas import one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from store.indexes.accelerator import Rows
    from store.indexes.rows import Best

    #: Has threads do work on parts of 0 … n-1, from and to.
    Share = Callable[[int, Callable[[int, int], None]], None]

__all__ = ["RowSketches", "build_sketches"]

#: Components: as many as hold this share of the variance, in steps, within bounds.
_VARIANCE, _STEP, _FEWEST, _MOST = 0.72, 16, 32, 96
_SAMPLE = 10_000
#: Standard deviations of the first component that a byte reaches to.
_REACH = 4.0
_CHUNK = 2_048
#: Rows looked at closely, for each that is wanted.
_FIRST_EFFORT, _LEAST_EFFORT, _MOST_EFFORT = 3_000, 500, 30_000
#: Rows of which it is learned what score so many reach.
_SAMPLED = 16_384
_LARGEST = 127
_NONE = np.iinfo(np.int32).min
#: What a query's largest component becomes: 96 products with 127 stay within 32 bits.
_QUERY_REACH = 8_000


class RowSketches:
    """See the module and `store.indexes.accelerator.Accelerator`.

    Args:
        mean: ``(dim,) float32`` of the rows.
        components: ``(dim, m) float32``, orthonormal columns.
        step: what one of a sketch stands for.
        sketches: ``(n, m) int8``.
    """

    def __init__(
        self,
        mean: NDArray[np.float32],
        components: NDArray[np.float32],
        step: float,
        sketches: NDArray[np.int8],
    ) -> None:
        self.kind = f"sketches of {sketches.shape[1]} bytes"
        self.effort = _FIRST_EFFORT
        self._mean = mean
        self._components = components
        self._step = np.float32(step)
        self._sketches = sketches
        self._count = self._built_for = len(sketches)

    @property
    def least_effort(self) -> int:
        """Rows looked at closely."""
        return _LEAST_EFFORT

    @property
    def most_effort(self) -> int:
        """Beyond this it takes as long as looking at all rows."""
        return _MOST_EFFORT

    @property
    def worn(self) -> bool:
        """Whether the rows that the components are of are a quarter of all."""
        return self._count > 4 * self._built_for

    def catch_up(self, rows: Rows, changed: NDArray[np.int64]) -> None:
        """While it is built: these rows were written since."""
        for start in range(0, len(changed), _CHUNK):
            some = changed[start : start + _CHUNK]
            self.on_written(some, rows.vectors(some))

    def on_written(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Sketch these rows."""
        highest = int(rows.max(initial=-1)) + 1
        if highest > len(self._sketches):
            # In place where the system moves pages: nothing refers to the memory between calls.
            grown = max(highest, len(self._sketches) * 17 // 16)
            self._sketches.resize((grown, self._sketches.shape[1]), refcheck=False)
        self._count = max(self._count, highest)
        with one_blas_thread():
            self._sketches[rows] = _sketch(vectors, self._mean, self._components, self._step)

    def on_moved(self, source: int, target: int) -> None:
        """The last row is no more, and what it was is now at ``target``."""
        if source < self._count:
            self._sketches[target] = self._sketches[source]
            self._count = source

    def maintain(self, vectors: Callable[[NDArray[np.int64]], NDArray[np.float32]]) -> bool:
        """Nothing is put off."""
        del vectors
        return False

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        mask: NDArray[np.bool_] | None,
        score: Callable[[NDArray[np.float32], int, NDArray[np.int64]], Best],
        share: Share,
    ) -> Best:
        """Compare all sketches, and score the rows of the best."""
        found = []
        for query in queries:
            rows = self._best(query, max(self.effort, 2 * k), mask, share)
            found.append(score(query[np.newaxis], k, rows))
        return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])

    def _best(
        self, query: NDArray[np.float32], wanted: int, mask: NDArray[np.bool_] | None, share: Share
    ) -> NDArray[np.int64]:
        """About as many rows as are wanted, or all that there are, in no order."""
        exact = query @ self._components
        largest = max(float(np.abs(exact).max()), 1e-30)
        # Whole numbers: a fifth faster, and no less exact than the sketches are.
        direction = np.rint(exact * (_QUERY_REACH / largest)).astype(np.int16)
        allowed = np.empty(0, np.bool_) if mask is None else mask
        count = self._count
        # What so many reach is learned of some first: all scores are then neither kept nor sorted.
        sample = np.empty(min(count, _SAMPLED), np.int32)
        _score_some(self._sketches, count, direction, allowed, sample)
        rank = min(len(sample), max(1, round(wanted * len(sample) / count)))
        least = np.partition(sample, len(sample) - rank)[len(sample) - rank]
        found: list[NDArray[np.int64]] = []

        def collect(start: int, end: int) -> None:
            rows = np.empty(end - start, np.int64)
            found.append(
                rows[: _reaching(self._sketches, start, end, direction, allowed, least, rows)]
            )

        share(count, collect)
        return np.concatenate(found)


def build_sketches(rows: Rows) -> RowSketches:
    """Find the principal components and sketch all rows; seconds for a million, of one core."""
    random = np.random.default_rng(0)
    sample = rows.vectors(np.sort(random.permutation(rows.count)[:_SAMPLE]))
    mean = sample.mean(axis=0)
    sample -= mean
    with one_blas_thread():
        variances, directions = np.linalg.eigh(sample.T @ sample / len(sample))
    variances, directions = variances[::-1], directions[:, ::-1]
    held = np.cumsum(variances) / max(float(variances.sum()), 1e-30)
    wanted = -(-int(np.searchsorted(held, _VARIANCE) + 1) // _STEP) * _STEP
    count = min(max(wanted, _FEWEST), _MOST, rows.dim)
    components = np.ascontiguousarray(directions[:, :count], np.float32)
    step = max(_REACH * float(np.sqrt(max(variances[0], 0.0))) / _LARGEST, 1e-12)
    sketches = np.empty((rows.count, count), np.int8)
    for start in range(0, rows.count, _CHUNK):
        some = np.arange(start, min(start + _CHUNK, rows.count))
        with one_blas_thread():
            sketches[some] = _sketch(rows.vectors(some), mean, components, np.float32(step))
    return RowSketches(mean, components, step, sketches)


def _sketch(
    vectors: NDArray[np.float32],
    mean: NDArray[np.float32],
    components: NDArray[np.float32],
    step: np.float32,
) -> NDArray[np.int8]:
    steps = np.rint((vectors - mean) @ components / step)
    return np.asarray(np.clip(steps, -_LARGEST, _LARGEST), np.int8)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _product(sketches: NDArray[np.int8], row: int, direction: NDArray[np.int16]) -> np.int32:
    total = np.int32(0)
    for j in range(np.uint64(direction.shape[0])):
        total = np.int32(total + np.int32(direction[j]) * np.int32(sketches[row, j]))
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _score_some(
    sketches: NDArray[np.int8],
    count: int,
    direction: NDArray[np.int16],
    allowed: NDArray[np.bool_],
    scores: NDArray[np.int32],
) -> None:
    """Inner products of rows at equal distances; of those not allowed the least there is."""
    masked = allowed.shape[0] > 0
    some = scores.shape[0]
    for i in range(some):
        row = np.uint64(i * count // some)
        if masked and not allowed[row]:
            scores[i] = _NONE
        else:
            scores[i] = _product(sketches, row, direction)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _reaching(
    sketches: NDArray[np.int8],
    start: int,
    end: int,
    direction: NDArray[np.int16],
    allowed: NDArray[np.bool_],
    least: int,
    rows: NDArray[np.int64],
) -> int:
    """Write which of the rows from start to end are allowed and score the least; how many."""
    masked = allowed.shape[0] > 0
    found = 0
    for row in range(np.uint64(start), np.uint64(end)):
        reaches = _product(sketches, row, direction) >= least
        if reaches and (not masked or allowed[row]):
            rows[found] = row
            found += 1
    return found
