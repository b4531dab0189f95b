"""A graph (HNSW) of how rows were at one time, for sets that change slowly.

Nothing can be taken out of such a graph. Rows written since are looked at one by one beside it,
and what the graph says of them is not believed; when they are many, the graph is worn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from store.indexes.faiss_library import faiss, one_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from store.indexes.accelerator import Rows
    from store.indexes.rows import Best

__all__ = ["RowGraph", "build_graph"]

_LINKS, _BUILD_EFFORT = 32, 120
_CHUNK = 4_096
_FIRST_EFFORT = 256
_LEAST_EFFORT, _MOST_EFFORT = 64, 4_096
#: Share of the rows, and least number, that are looked at one by one before it is worn.
_WORN_SHARE, _WORN_LEAST = 0.05, 2_048


class RowGraph:
    """See the module and `store.indexes.accelerator.Accelerator`.

    Args:
        graph: of FAISS; entry i is row i as it was.
        count: entries.
    """

    def __init__(self, graph: Any, count: int) -> None:
        self.kind = "hnsw"
        self.effort = _FIRST_EFFORT
        self._graph = graph
        self._count = count
        #: Whether a row is not what the graph says, of all rows so far.
        self._changed = np.zeros(count, np.bool_)
        self._changed_rows: NDArray[np.int64] | None = None

    @property
    def least_effort(self) -> int:
        """Rows that a search compares, about (efSearch)."""
        return _LEAST_EFFORT

    @property
    def most_effort(self) -> int:
        """Beyond this a graph takes as long as looking at all."""
        return _MOST_EFFORT

    @property
    def worn(self) -> bool:
        """Whether too many rows are looked at one by one."""
        return len(self._rows_changed()) > max(_WORN_LEAST, _WORN_SHARE * self._count)

    def catch_up(self, rows: Rows, changed: NDArray[np.int64]) -> None:
        """While it is built: these rows were written since."""
        del rows
        self._mark(changed)

    def on_written(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """These rows are new, or have other vectors."""
        del vectors
        self._mark(rows)

    def on_moved(self, source: int, target: int) -> None:
        """The last row is no more, and what it was is now at ``target``."""
        self._mark(np.array([source, target]))
        self._changed = self._changed[:source]  # of a later row with this number all is new
        self._changed_rows = None

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
        share: Callable[[int, Callable[[int, int], None]], None],
    ) -> Best:
        """Walk the graph; the rows it finds are scored as they are now."""
        del share
        changed = self._rows_changed()
        effort = max(self.effort, k)
        # What it finds of changed rows is dropped: of these there are few, and fewer near by.
        parameters = faiss.SearchParametersHNSW(efSearch=effort)
        _, near = self._graph.search(queries, min(effort, self._count), params=parameters)
        found = []
        for query, one in zip(queries, near, strict=True):
            rows = one[one >= 0]
            rows = rows[rows < len(self._changed)]
            rows = np.concatenate([rows[~self._changed[rows]], changed])
            if mask is not None:
                rows = rows[mask[rows]]
            found.append(score(query[np.newaxis], k, rows))
        return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])

    def _mark(self, rows: NDArray[np.int64]) -> None:
        highest = int(rows.max(initial=-1)) + 1
        if highest > len(self._changed):
            new = np.ones(highest - len(self._changed), np.bool_)
            self._changed = np.concatenate([self._changed, new])
            self._changed_rows = None
        if not self._changed[rows].all():
            self._changed[rows] = True
            self._changed_rows = None

    def _rows_changed(self) -> NDArray[np.int64]:
        if self._changed_rows is None:
            self._changed_rows = np.flatnonzero(self._changed)
        return self._changed_rows


def build_graph(rows: Rows) -> RowGraph:
    """Takes minutes for a hundred thousand, of one core."""
    one_thread()
    graph = faiss.IndexHNSWSQ(
        rows.dim, faiss.ScalarQuantizer.QT_bf16, _LINKS, faiss.METRIC_INNER_PRODUCT
    )
    graph.hnsw.efConstruction = _BUILD_EFFORT
    for start in range(0, rows.count, _CHUNK):
        vectors = rows.vectors(np.arange(start, min(start + _CHUNK, rows.count)))
        if not start:
            graph.train(vectors)
        graph.add(vectors)
    return RowGraph(graph, rows.count)
