"""64 queries at once over 100 thousand profiles, all rows looked at.

Beside it FAISS's `IndexFlatIP` as it is by default, and with the threshold lowered from which it
hands the products to BLAS, which for 64 queries it does not by itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import faiss as _faiss

from benchmarks.common.results import Bar, Measurement
from benchmarks.store.exact import K, exact_best, recall_of
from benchmarks.store.fresh import in_fresh_process
from benchmarks.store.profiles import keys_of, load_texts, make_profiles
from store.indexes.faiss_flat import FaissFlatIndex

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.store.profiles import Texts
    from store.indexes import VectorIndex

__all__ = ["measure"]

_faiss_library: Any = _faiss  # some builds carry types, and some none

_QUERIES = 64
_OURS, _FAISS = "Tidemark bfloat16", "FAISS IndexFlatIP"


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    size, seconds = (10_000, 0.3) if quick else (100_000, 2.0)
    rates, recalls = in_fresh_process(_rates, load_texts(quick=quick), size, seconds, repetitions)
    outcome = Measurement("batch", f"{_QUERIES} queries at once, k={K}, {size:,}", "queries/s")
    outcome.values = rates
    outcome.details = {label: {"recall": f"{recall:.4f}"} for label, recall in recalls.items()}
    outcome.runs = [{"label": label, "queries_per_second": rates[label]} for label in rates]
    ratio = outcome.median(_OURS) / outcome.median(_FAISS)
    outcome.bars = [
        Bar.at_least("batch: 64 queries at once, times FAISS's default", 3, ratio, "x"),
        Bar.at_least("batch: recall", 0.99, recalls[_OURS], ""),
    ]
    return outcome


def _rates(
    texts: Texts, size: int, seconds: float, repetitions: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    profiles, keys = make_profiles(texts, size), keys_of(size)
    queries = profiles[:: size // 1_024][: _QUERIES * 16].reshape(-1, _QUERIES, texts.dim)
    plain = _faiss_library.IndexFlatIP(texts.dim)
    plain.add(profiles)

    def by(index: VectorIndex) -> Callable[[NDArray[np.float32]], list[list[str]]]:
        return lambda some: [hits.keys for hits in index.search(some, K)]

    def by_faiss(some: NDArray[np.float32]) -> list[list[str]]:
        return [[keys[row] for row in rows] for rows in plain.search(some, K)[1].tolist()]

    def by_blas(some: NDArray[np.float32]) -> list[list[str]]:
        before = _faiss_library.cvar.distance_compute_blas_threshold
        _faiss_library.cvar.distance_compute_blas_threshold = 1
        try:
            return by_faiss(some)
        finally:
            _faiss_library.cvar.distance_compute_blas_threshold = before

    searches = {}
    for precision in ("bfloat16", "float16", "float32"):
        index = FaissFlatIndex(texts.dim, precision)
        index.upsert(keys, profiles)
        searches[f"Tidemark {precision}"] = by(index)
    searches[_FAISS] = by_faiss
    searches[f"{_FAISS}, threshold lowered"] = by_blas
    expected = exact_best(queries[0], profiles)
    recalls = {label: recall_of(search(queries[0]), expected) for label, search in searches.items()}
    rates: dict[str, list[float]] = {label: [] for label in searches}
    for _ in range(repetitions):
        for label, search in searches.items():
            done, started = 0, time.perf_counter()
            while (passed := time.perf_counter() - started) < seconds:
                search(queries[done % len(queries)])
                done += 1
            rates[label].append(done * _QUERIES / passed)
            print(f"{label}: {rates[label][-1]:,.0f} queries/s")
    return rates, recalls
