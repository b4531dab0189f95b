"""An index that looks at every row while that is quick, and is accelerated beyond.

Truth is the flat index: what is written is written there first, scores come from there, and where
an accelerator finds too little, all rows are looked at. An accelerator is built in a thread while
the flat index goes on serving, and takes over between two calls.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from store.blas import one_blas_thread
from store.indexes.faiss_flat import FaissFlatIndex
from store.indexes.gpu import build_gpu_copy
from store.indexes.graph import build_graph
from store.indexes.ivf import build_inverted_file
from store.indexes.kernels import score_bfloat16, score_float32, take_rows
from store.indexes.recall import RecallProbe
from store.indexes.rows import best_of
from store.indexes.sketch import build_sketches

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from store.indexes.accelerator import Accelerator
    from store.indexes.faiss_flat import Precision
    from store.indexes.rows import Best

__all__ = ["GrowingIndex", "Growth"]

logger = logging.getLogger(__name__)

Acceleration = Literal["sketch", "ivf", "hnsw", "gpu"]

_BUILDERS: dict[str, Callable[[Any], Accelerator]] = {
    "ivf": build_inverted_file,
    "hnsw": build_graph,
    "sketch": build_sketches,
    "gpu": build_gpu_copy,
}
#: Changed rows that the accelerator takes over together with itself: some milliseconds.
_FEW_CHANGED = 1_024
_MOST_ROUNDS = 8
#: Of the rows from which on it is accelerated so many keep it so: one that comes and goes does not
#: have it built again and again.
_KEPT_SHARE = 0.8
#: Queries that are kept, for probes.
_ASKED = 64


@dataclass(frozen=True, slots=True)
class Growth:
    """When and how an index is accelerated.

    Attributes:
        above: rows from which on not all are looked at; below four fifths of them all are again.
        by: ``sketch``, for what is written all the time; ``ivf``, for the same where it forms
            clusters; ``hnsw``, for what changes slowly; ``gpu`` where there is one.
        recall: share of the true best 100 that searches should find.
        probe_seconds: how often a search is checked against looking at all rows; 0 for never.
        leading: coordinates that nearness is about; by default all. The others are what a query
            may add to a score: where it does, all rows are looked at.
    """

    above: int = 130_000
    by: Acceleration = "sketch"
    recall: float = 0.99
    probe_seconds: float = 1.0
    leading: int | None = None


@dataclass(frozen=True, slots=True)
class _Frozen:
    """Rows for the thread that builds. Their memory stays while this does; see `Rows`."""

    dim: int
    count: int
    addresses: NDArray[np.int64]
    segment_rows: int
    width: int
    dtype: np.dtype[Any]
    decode: Callable[[NDArray[Any]], NDArray[np.float32]]
    memory: list[Any]

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        codes = np.empty((len(rows), self.width), self.dtype)
        take_rows(self.addresses, self.segment_rows, rows, codes)
        return np.ascontiguousarray(self.decode(codes)[:, : self.dim])


class _Build:
    """An accelerator on its way."""

    def __init__(self, build: Callable[[Any], Accelerator], rows: _Frozen) -> None:
        self.rows = rows
        #: Written since the build last looked. The owner sets, the build clears before it reads.
        self.changed = np.zeros(rows.count, np.bool_)
        self.done: Accelerator | None = None
        self.error: Exception | None = None
        self._build = build
        self.thread = threading.Thread(target=self._run, name="index-build", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            accelerator = self._build(self.rows)
            for _ in range(_MOST_ROUNDS):
                changed = np.flatnonzero(self.changed)
                if len(changed) <= _FEW_CHANGED:
                    break
                self.changed[changed] = False
                accelerator.catch_up(self.rows, changed)
        except Exception as error:  # noqa: BLE001 # told by the owner, which goes on without
            self.error = error
        else:
            self.done = accelerator


class GrowingIndex(FaissFlatIndex):
    """See the module.

    Args:
        dim: length of the vectors.
        precision: of the rows.
        growth: when and how it is accelerated.
        threads: that scan.
        clock: seconds, from any beginning.
    """

    def __init__(
        self,
        dim: int,
        precision: Precision = "bfloat16",
        growth: Growth | None = None,
        *,
        threads: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(dim, precision, threads=threads)
        self._growth = growth or Growth()
        self._leading = self._growth.leading or dim
        self._clock = clock
        self._accelerator: Accelerator | None = None
        self._building: _Build | None = None
        self._failed_at = 0
        self._probe = RecallProbe(self._growth.recall)
        self._next_probe = 0.0
        self._random = np.random.default_rng()
        #: Lately searched for, ``(1, dim)`` each.
        self._asked: deque[NDArray[np.float32]] = deque(
            maxlen=_ASKED if self._growth.probe_seconds else 0
        )

    @property
    def kind(self) -> str:
        """What it is, for operators."""
        flat = super().kind
        if self._accelerator is None:
            return flat
        return f"{flat}, {self._accelerator.kind}, effort {self._accelerator.effort}"

    @property
    def recall(self) -> float | None:
        """As probed lately, at 100; None while all rows are looked at, or nothing was probed."""
        return None if self._accelerator is None else self._probe.recall

    @property
    def building(self) -> bool:
        """Whether an accelerator is being built."""
        return self._building is not None

    def maintain(self) -> bool:
        """Begin or take over what is built, do what was put off, probe; see `VectorIndex`."""
        self._grow()
        if self._accelerator is None:
            return False
        with one_blas_thread():
            more = self._accelerator.maintain(self._vectors)
        now = self._clock()
        if self._asked and not self._probe.running and now >= self._next_probe:
            self._next_probe = now + self._growth.probe_seconds
            self._begin_probe()
        if self._probe.running:
            self._probe.step(self._used(), self._scan, self._accelerator)
        return more or self._probe.running

    def wait_built(self, timeout: float) -> bool:
        """Wait for what is being built, and take it over; whether it was built in time (s)."""
        self._grow()
        if self._building is not None:
            self._building.thread.join(timeout)
            self._grow()
        return self._building is None

    def _grow(self) -> None:
        building, count = self._building, len(self)
        if building is not None:
            if building.error is not None:
                logger.error(
                    "the index could not be accelerated: rows=%d; all are looked at until there "
                    "are twice as many", count, exc_info=building.error,
                )  # fmt: skip
                self._failed_at, self._building = count, None
            elif building.done is not None:
                self._take_over(building.done, building)
            return
        if count < _KEPT_SHARE * self._growth.above:
            self._accelerator = None  # looking at all is quick again
        elif (
            count > self._growth.above
            and count > 2 * self._failed_at
            and (self._accelerator is None or self._accelerator.worn)
        ):
            if len(self._segments[-1]) < self.segment_rows:  # so that its memory moves no more
                self._segments[-1] = self._allocate(len(self._segments) - 1, self.segment_rows)
                self._addresses[-1] = self._segments[-1].ctypes.data
            frozen = _Frozen(
                self._leading, count, self._addresses.copy(), self.segment_rows, self._width,
                self._dtype, self._decode, list(self._faiss),
            )  # fmt: skip
            self._building = _Build(_BUILDERS[self._growth.by], frozen)

    def _take_over(self, accelerator: Accelerator, building: _Build) -> None:
        self._building = None
        count, built = len(self), building.rows.count
        for last in range(built - 1, count - 1, -1):
            accelerator.on_moved(last, last)
        changed = np.flatnonzero(building.changed[:count])
        new = np.arange(built, count)
        for rows in (changed, new):
            if len(rows):
                accelerator.on_written(rows, self._vectors(rows))
        if self._accelerator is not None:
            accelerator.effort = self._accelerator.effort
        self._accelerator = accelerator
        logger.info("the index is accelerated: kind=%s rows=%d", accelerator.kind, count)

    def _begin_probe(self) -> None:
        # Of what was asked: it may lie elsewhere than what is held, as users are no items.
        query = self._asked[int(self._random.integers(len(self._asked)))]
        found = self._accelerated(query, min(self._probe.k, len(self)), None)
        self._probe.begin(query, found)

    def _vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """What accelerators know of these rows."""
        return np.ascontiguousarray(self._decode(self._take(rows))[:, : self._leading])

    def _on_resized(self, count: int) -> None:
        super()._on_resized(count)
        if self._building is not None and len(self._segments) < len(self._building.rows.memory):
            # What was there may come again elsewhere in memory, where the build does not look.
            self._building = None

    def _on_written(self, rows: NDArray[np.int64]) -> None:
        self._probe.on_written(rows)
        if self._building is not None:
            changed = self._building.changed
            changed[rows[rows < len(changed)]] = True
        if self._accelerator is not None:
            self._accelerator.on_written(rows, self._vectors(rows))

    def _on_moved(self, source: int, target: int) -> None:
        self._probe.on_written(np.array([source, target]))
        if self._building is not None and target < len(self._building.changed):
            self._building.changed[target] = True
        if self._accelerator is not None:
            self._accelerator.on_moved(source, target)

    def _best(self, queries: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None) -> Best:
        if self._accelerator is None or queries[:, self._leading :].any():
            return super()._best(queries, k, mask)
        self._asked.extend(query[np.newaxis].copy() for query in queries[-_ASKED:])
        return self._accelerated(queries, k, mask)

    def _accelerated(
        self, queries: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None
    ) -> Best:
        assert self._accelerator is not None  # noqa: S101 # the callers looked
        near = np.ascontiguousarray(queries[:, : self._leading])
        scores, rows = self._accelerator.search(near, k, mask, self._score, self._share)
        short = rows[:, -1] < 0
        if short.any():  # k rows qualify, and it found fewer
            scores[short], rows[short] = super()._best(queries[short], k, mask)
        return scores, rows

    def _score(self, query: NDArray[np.float32], k: int, rows: NDArray[np.int64]) -> Best:
        """The k best of these rows for one query, ``(1, leading)``."""
        if query.shape[1] < self._dim:
            query = np.pad(query, ((0, 0), (0, self._dim - query.shape[1])))
        loop = {"bfloat16": score_bfloat16, "float32": score_float32}.get(self.precision)
        if loop is None:
            return self._among(query, k, rows)
        scores = np.empty((1, len(rows)), np.float32)
        self._share(
            len(rows),
            lambda start, end: loop(
                self._addresses, self.segment_rows, rows[start:end], query[0], scores[0, start:end]
            ),
        )
        return best_of(scores, rows, k)
