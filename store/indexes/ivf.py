"""An inverted file over rows that stay where they are: lists of row numbers, by nearest centroid.

A written row is moved to another list at once, so a search needs no second place to look at. It
goes from its list to the nearest one by way of centroids that are neighbours: what changes a
little, as profiles do, is at most a step from where it belongs. What such a walk leaves far
from every centroid that it met, and what is new, waits in a list that every search looks at, and
is compared with all centroids a few rows at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from store.indexes.faiss_library import faiss, one_thread
from store.indexes.lists import RowLists

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from store.indexes.accelerator import Rows
    from store.indexes.rows import Best

__all__ = ["InvertedFile", "build_inverted_file"]

#: Rows of a list on average, at a million; the number of lists grows with the root of the rows.
_LISTS_PER_ROOT = 2
#: Drawn for training, for each list.
_SAMPLE_PER_LIST, _ITERATIONS = 40, 10
_NEIGHBOURS = 24
#: Share of a list's rows that are less like its centroid than what a walk may leave there.
_FAR = 0.02
_CHUNK = 8_192
#: Rows compared with all centroids in one go: about a millisecond.
_PLACED_AT_ONCE = 32
_FIRST_PROBES = 16


class InvertedFile:
    """See the module and `store.indexes.accelerator.Accelerator`.

    Args:
        centroids: ``(lists, dim) float32``, unit rows.
        of: ``(n,) int32`` the list of each row.
        floors: ``(lists,) float32`` the inner product with the centroid, below which a row that
            walks there is far.
    """

    def __init__(
        self, centroids: NDArray[np.float32], of: NDArray[np.int32], floors: NDArray[np.float32]
    ) -> None:
        count = len(centroids)
        self.kind = f"ivf of {count} lists"
        self._centroids = centroids
        self._floors = floors
        near = np.argsort(-(centroids @ centroids.T), axis=1)[:, : _NEIGHBOURS + 1]
        self._neighbours = np.ascontiguousarray(near, np.int32)
        #: The last list is of rows that are to be placed.
        self._lists = RowLists(count + 1, of)
        self._to_place = count
        self._built_for = len(of)
        self.effort = min(_FIRST_PROBES, count)

    @property
    def least_effort(self) -> int:
        """Lists that a search looks into."""
        return min(4, self._to_place)

    @property
    def most_effort(self) -> int:
        """All lists."""
        return self._to_place

    @property
    def worn(self) -> bool:
        """Whether there are twice the rows of then, or a tenth of them waits."""
        rows = int(np.count_nonzero(self._lists.of >= 0))
        waiting = self._lists.length(self._to_place)
        return rows > 2 * self._built_for or waiting > max(4 * _CHUNK, rows // 10)

    def catch_up(self, rows: Rows, changed: NDArray[np.int64]) -> None:
        """While it is built: these rows were written since."""
        self._lists.reach(rows.count)
        for start in range(0, len(changed), _CHUNK):
            some = changed[start : start + _CHUNK]
            self.on_written(some, rows.vectors(some))

    def on_written(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Move these rows to where they belong now."""
        self._lists.reach(int(rows.max(initial=-1)) + 1)
        numbers = self._lists.of[rows].astype(np.int64)
        _walk(vectors, numbers, self._centroids, self._neighbours, self._floors)
        self._lists.put(rows, numbers)

    def on_moved(self, source: int, target: int) -> None:
        """The last row is no more, and what it was is now at ``target``."""
        if source >= len(self._lists.of):
            return
        number = -1 if source == target else int(self._lists.of[source])
        self._lists.put(np.array([target, source]), np.array([number, -1]))

    def maintain(self, vectors: Callable[[NDArray[np.int64]], NDArray[np.float32]]) -> bool:
        """Place some of the rows that wait."""
        waiting = self._lists.rows(np.array([self._to_place]))
        if not len(waiting):
            return False
        some = waiting[:_PLACED_AT_ONCE]
        nearest = (vectors(some) @ self._centroids.T).argmax(axis=1)
        self._lists.put(some, nearest)
        return len(waiting) > len(some)

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        mask: NDArray[np.bool_] | None,
        score: Callable[[NDArray[np.float32], int, NDArray[np.int64]], Best],
        share: Callable[[int, Callable[[int, int], None]], None],
    ) -> Best:
        """Look into the lists whose centroids are nearest."""
        del share
        probes = min(self.effort, self._to_place)
        near = np.argpartition(-(queries @ self._centroids.T), probes - 1, axis=1)[:, :probes]
        found = []
        for query, numbers in zip(queries, near, strict=True):
            rows = self._lists.rows(np.append(numbers, self._to_place))
            if mask is not None:
                rows = rows[mask[rows]]
            found.append(score(query[np.newaxis], k, rows))
        return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])


def build_inverted_file(rows: Rows) -> InvertedFile:
    """Train centroids and place all rows; takes a minute for a million, of one core."""
    one_thread()
    lists = max(16, int(_LISTS_PER_ROOT * np.sqrt(rows.count)))
    chosen = np.random.default_rng(0).permutation(rows.count)[: _SAMPLE_PER_LIST * lists]
    chosen.sort()
    kmeans = faiss.Kmeans(
        rows.dim, lists, niter=_ITERATIONS, spherical=True, seed=1, min_points_per_centroid=1
    )
    kmeans.train(rows.vectors(chosen))
    centroids: NDArray[np.float32] = kmeans.centroids
    of, likeness = np.empty(rows.count, np.int32), np.empty(rows.count, np.float32)
    for start in range(0, rows.count, _CHUNK):
        some = np.arange(start, min(start + _CHUNK, rows.count))
        products, nearest = kmeans.index.search(rows.vectors(some), 1)
        of[some], likeness[some] = nearest[:, 0], products[:, 0]
    return InvertedFile(centroids, of, _floors(of, likeness, lists))


def _floors(
    of: NDArray[np.int32], likeness: NDArray[np.float32], lists: int
) -> NDArray[np.float32]:
    order = np.lexsort((likeness, of))
    length = np.bincount(of, minlength=lists)
    at = np.cumsum(length) - length + (length * _FAR).astype(np.int64)
    floors: NDArray[np.float32] = likeness[order][np.minimum(at, len(of) - 1)]
    floors[length == 0] = np.inf  # nothing is known to belong there
    return floors


@numba.njit(  # type: ignore[untyped-decorator]
    cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
)
def _walk(
    vectors: NDArray[np.float32],
    numbers: NDArray[np.int64],
    centroids: NDArray[np.float32],
    neighbours: NDArray[np.int32],
    floors: NDArray[np.float32],
) -> None:
    """From each row's list to a nearer one, while there is one; the last list where it is far."""
    waiting = centroids.shape[0]
    for i in range(vectors.shape[0]):
        at = numbers[i]
        if at < 0 or at >= waiting:
            numbers[i] = waiting
            continue
        best = np.float32(-np.inf)
        while True:
            here = at
            for j in range(neighbours.shape[1]):
                other = neighbours[here, j]
                product = np.float32(0.0)
                for d in range(np.uint64(vectors.shape[1])):
                    product += vectors[i, d] * centroids[other, d]
                if product > best:
                    best, at = product, np.int64(other)
            if at == here:
                break
        numbers[i] = at if best >= floors[at] else waiting
