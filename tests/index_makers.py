"""Every vector index, as the contract's tests make it, and what they fill it with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from store.indexes import VectorIndex
from store.indexes.exact import ExactIndex
from store.indexes.faiss_flat import FaissFlatIndex
from store.indexes.growing import Acceleration, GrowingIndex, Growth
from store.indexes.milvus import MilvusIndex
from store.indexes.milvus_target import MilvusTarget

DIM = 8
Matrix = NDArray[np.float32]
Make = Callable[[], VectorIndex]


class Segmented(ExactIndex):
    segment_rows = 64


class FaissSegmented(FaissFlatIndex):
    segment_rows = 64


class Accelerated(GrowingIndex):
    """Is accelerated whenever it may be, and looks everywhere: its answers are exact, too."""

    segment_rows = 64

    def __init__(self, by: Acceleration, threads: int = 2) -> None:
        growth = Growth(above=40, by=by, probe_seconds=0.0)
        super().__init__(DIM, "float32", growth, threads=threads)

    def _on_written(self, rows: NDArray[np.int64]) -> None:
        super()._on_written(rows)
        assert self.wait_built(60)
        if self._accelerator is not None:
            self._accelerator.effort = self._accelerator.most_effort
        self.maintain()


class Lite:
    """Collections of milvus-lite in one folder, from the first on: each start takes time."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None
        self._made: list[MilvusIndex] = []
        self._numbers = itertools.count()

    def make(self) -> MilvusIndex:
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="milvus-lite-")
        target = MilvusTarget(uri=str(Path(self._folder.name) / "contract.db"))
        self._made.append(MilvusIndex(DIM, f"contract{next(self._numbers)}", target))
        return self._made[-1]

    def close(self) -> None:
        for index in self._made:
            index.close()
        self._made.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


LITE = Lite()


#: Each with the error of a score that its precision allows.
MAKERS: dict[str, tuple[Make, float]] = {
    "exact": (lambda: ExactIndex(DIM), 1e-5),
    "faiss-float32": (lambda: FaissFlatIndex(DIM, "float32"), 1e-5),
    "faiss-bfloat16": (lambda: FaissFlatIndex(DIM, "bfloat16"), 1e-2),
    "faiss-float16": (lambda: FaissFlatIndex(DIM, "float16"), 2e-3),
    "faiss-int8": (lambda: FaissFlatIndex(DIM, "int8"), 5e-2),
    "exact-segments": (lambda: Segmented(DIM), 1e-5),
    "faiss-ivf": (lambda: Accelerated("ivf"), 1e-5),
    "faiss-sketch": (lambda: Accelerated("sketch"), 1e-5),
    "faiss-hnsw": (lambda: Accelerated("hnsw"), 1e-5),
    "faiss-one-thread": (lambda: Accelerated("hnsw", threads=1), 1e-5),
    "faiss-copy": (lambda: Accelerated("gpu"), 1e-5),
    "faiss-segments": (lambda: FaissSegmented(DIM, threads=2), 1e-2),
    "milvus": (LITE.make, 1e-5),
}


def unit(count: int, seed: int = 0) -> Matrix:
    rows = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def filled(make: Make, count: int = 50) -> tuple[VectorIndex, list[str], Matrix]:
    index, keys, vectors = make(), [f"k{i}" for i in range(count)], unit(count)
    index.upsert(keys, vectors)
    return index, keys, vectors
