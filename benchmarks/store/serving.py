"""Writes offered by a clock, and searches one after another, through the thread that owns an index.

As in the service: the follower's batches are submitted and waited for elsewhere, searches are
questions, and after each batch the index may do what it put off.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from benchmarks.store.exact import K
from store.question import Search

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from benchmarks.store.profiles import ChangingProfiles
    from store.indexes import Hits, VectorIndex
    from store.owner import IndexOwner

__all__ = ["OfferedWrites", "ask", "ask_for", "millis"]

#: Between two batches.
PERIOD_S = 0.05


class OfferedWrites:
    """While this context is open a batch is due every 50 ms, whether or not the last one is done.

    Attributes:
        waits: seconds from when a batch was due until it was written.
        keys: offered.
        seconds: for which they were offered.
    """

    def __init__(self, owner: IndexOwner, index: VectorIndex, profiles: ChangingProfiles) -> None:
        self.waits: list[float] = []
        self.keys = 0
        self.seconds = 0.0
        self._owner, self._index, self._profiles = owner, index, profiles
        self._submitted: list[Future[None]] = []
        self._error: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="offered-writes", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for done in self._submitted:
            done.result(60)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._offer()
        except Exception as error:  # noqa: BLE001 # raised where the context ends
            self._error = error

    def _offer(self) -> None:
        begun = time.perf_counter()
        due = begun + PERIOD_S
        while not self._stopping.is_set():
            keys, vectors = self._profiles.next()
            time.sleep(max(0.0, due - time.perf_counter()))
            done = self._owner.submit(self._write, keys, vectors)
            done.add_done_callback(lambda _, due=due: self._note(due))  # type: ignore[misc]
            self._submitted.append(done)
            self.keys += len(keys)
            due += PERIOD_S
        self.seconds = time.perf_counter() - begun

    def _note(self, due: float) -> None:
        self.waits.append(time.perf_counter() - due)

    def _write(self, keys: list[str], vectors: NDArray[np.float32]) -> None:
        """In the owner's thread, as the follower does."""
        self._index.upsert(keys, vectors)
        self._index.maintain()


def ask(owner: IndexOwner, index: VectorIndex, query: NDArray[np.float32]) -> Hits:
    """The `K` best for one query, ``(dim,)``."""
    found: Hits = owner.ask(_question, index, query).result(60)
    return found


def _question(index: VectorIndex, query: NDArray[np.float32]) -> Generator[Search, Hits, Hits]:
    hits = yield Search("items", index, query, K, (), {})
    return hits


def ask_for(
    seconds: float, owner: IndexOwner, index: VectorIndex, queries: NDArray[np.float32]
) -> list[float]:
    """One search after another; how long each took, in seconds."""
    took: list[float] = []
    begun = now = time.perf_counter()
    while now - begun < seconds:
        ask(owner, index, queries[len(took) % len(queries)])
        before, now = now, time.perf_counter()
        took.append(now - before)
    return took


def millis(seconds: Any, quantile: float) -> float:
    """A quantile of durations, in ms."""
    return float(1000 * np.quantile(seconds, quantile))
