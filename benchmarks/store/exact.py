"""What a search should have found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import faiss as _faiss
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["K", "exact_best", "recall_of", "shares"]

_library: Any = _faiss  # some builds carry types, and some none

#: Of every search.
K = 100


def exact_best(queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rows of the `K` largest inner products of each query with float32 vectors, ``(n, K)``."""
    rows: NDArray[np.int64] = _library.knn(
        queries, vectors, K, metric=_library.METRIC_INNER_PRODUCT
    )[1]
    return rows


def recall_of(found: Sequence[Sequence[str]], expected: NDArray[np.int64]) -> float:
    """Share of the expected rows whose keys (``…-row``) were found, over all queries."""
    return float(np.mean(shares(found, expected)))


def shares(found: Sequence[Sequence[str]], expected: NDArray[np.int64]) -> list[float]:
    """Of each query."""
    return [
        len({int(key.rpartition("-")[2]) for key in keys} & set(rows)) / len(rows)
        for keys, rows in zip(found, expected.tolist(), strict=True)
    ]
