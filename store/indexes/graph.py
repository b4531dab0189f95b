"""A graph (HNSW) of rows that change slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from store.indexes.faiss_library import faiss, one_thread
from store.indexes.frozen import FrozenCopy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.indexes.accelerator import Rows

__all__ = ["RowGraph", "build_graph"]

_LINKS, _BUILD_EFFORT = 32, 120
_CHUNK = 4_096
_FIRST_EFFORT, _LEAST_EFFORT, _MOST_EFFORT = 512, 64, 4_096


class RowGraph(FrozenCopy):
    """Effort is the number of rows that a search compares, about (efSearch).

    Args:
        graph: of FAISS; entry i is row i as it was.
        count: entries.
    """

    def __init__(self, graph: Any, count: int) -> None:
        super().__init__("hnsw", count, _FIRST_EFFORT)
        self._graph = graph

    @property
    def least_effort(self) -> int:
        """Rows that are compared."""
        return _LEAST_EFFORT

    @property
    def most_effort(self) -> int:
        """Beyond this it takes as long as looking at all."""
        return _MOST_EFFORT

    def _held(self, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        vectors: NDArray[np.float32] = self._graph.reconstruct_batch(rows)
        return vectors

    def _near(self, queries: NDArray[np.float32], wanted: int) -> NDArray[np.int64]:
        parameters = faiss.SearchParametersHNSW(efSearch=wanted)
        rows: NDArray[np.int64] = self._graph.search(queries, wanted, params=parameters)[1]
        return rows


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
