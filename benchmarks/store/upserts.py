"""How many keys a second are overwritten, 256 at a time, that an index already holds.

Beside it FAISS the way its wiki tells one to: `IndexIDMap2` over `IndexFlatIP`, `remove_ids` and
then `add_with_ids`, with a dict from our string keys to its numbers. All hold the same profiles and
are asked in turns, with batches made before. Rows are all looked at by a search; what keeping an
sketches up to date costs on top is in `million`.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, Protocol

import faiss as _faiss
import numpy as np

from benchmarks.common.results import Bar, Measurement
from benchmarks.store.fresh import in_fresh_process
from benchmarks.store.profiles import ChangingProfiles, load_texts
from store.indexes.faiss_flat import FaissFlatIndex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.store.profiles import Texts

__all__ = ["measure"]

_faiss_library: Any = _faiss  # some builds carry types, and some none

_BATCH = 256
_PRECISIONS = ("bfloat16", "float16", "float32")
_OURS, _FAISS = "Tidemark bfloat16", "FAISS IndexIDMap2 float32"
#: What a repetition takes about, of each.
_SECONDS = 1.0
_MOST_BATCHES = 400


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    texts = load_texts(quick=quick)
    outcome = Measurement("upserts", "Upserts of 256 held keys", "keys/s")
    sizes = (5_000, 20_000) if quick else (100_000, 1_000_000)
    for size, times in zip(sizes, (50, 400), strict=True):
        rates = in_fresh_process(_rates, texts, size, repetitions)
        for label, values in rates.items():
            outcome.values[f"{label}, {size:,}"] = values
            outcome.runs.append({"label": label, "size": size, "keys_per_second": values})
        ours = statistics.median(rates[_OURS])
        ratio = ours / statistics.median(rates[_FAISS])
        outcome.bars += [
            Bar.at_least(f"upserts: times FAISS's at {size:,}", times, ratio, "x"),
            Bar.at_least(f"upserts: bfloat16 at {size:,}", 400_000, ours, "keys/s"),
        ]
    return outcome


class _Written(Protocol):
    def upsert(self, keys: Sequence[str], vectors: NDArray[np.float32]) -> None: ...


class _FaissByHand:
    """Keys are strings for FAISS, too."""

    def __init__(self, dim: int) -> None:
        self._ids: dict[str, int] = {}
        self._index = _faiss_library.IndexIDMap2(_faiss_library.IndexFlatIP(dim))

    def upsert(self, keys: Sequence[str], vectors: NDArray[np.float32]) -> None:
        ids = np.array([self._ids.setdefault(key, len(self._ids)) for key in keys], np.int64)
        self._index.remove_ids(ids)
        self._index.add_with_ids(vectors, ids)


def _rates(texts: Texts, size: int, repetitions: int) -> dict[str, list[float]]:
    """Keys a second by label; in a process of its own."""
    dim = texts.dim
    truth = ChangingProfiles(texts, size, _BATCH)
    indexes: dict[str, _Written] = {
        f"Tidemark {precision}": FaissFlatIndex(dim, precision)  # type: ignore[arg-type] # of these
        for precision in _PRECISIONS
    }
    indexes[_FAISS] = _FaissByHand(dim)
    batches: dict[str, int] = {}
    for label, index in indexes.items():
        # Into an IndexIDMap2 nothing is removed here: there is nothing yet.
        for start in range(0, size, 65_536):
            index.upsert(truth.keys[start : start + 65_536], truth.profiles[start : start + 65_536])
        index.upsert(*truth.next())
        took = _seconds(index, truth, 2) / 2
        batches[label] = int(min(max(2, _SECONDS / took), _MOST_BATCHES))
    rates: dict[str, list[float]] = {label: [] for label in indexes}
    for _ in range(repetitions):
        for label, index in indexes.items():
            seconds = _seconds(index, truth, batches[label])
            rates[label].append(batches[label] * _BATCH / seconds)
            print(f"{size:,}: {label}: {rates[label][-1]:,.0f} keys/s")
    return rates


def _seconds(index: _Written, truth: ChangingProfiles, count: int) -> float:
    batches = truth.take(count)
    started = time.perf_counter()
    for keys, vectors in batches:
        index.upsert(keys, vectors)
    return time.perf_counter() - started
