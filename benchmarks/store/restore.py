"""From a snapshot of a million profiles to serving again, and what writing one does to serving.

The profiles are made from records as the worker publishes them, with ten contributions and twenty
seen items each. While a snapshot is written beside it, something is asked of the thread that owns
the view every 2 ms, and waits; how long at most is the pause. Then new processes load the snapshot
and apply the records that came since, a tenth as many as there are profiles: with the file's pages
in memory, as where a service is restarted, and from disk, as on a machine that has just started.
"""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from benchmarks.common.results import Bar, Measurement
from benchmarks.store.fresh import in_fresh_process
from benchmarks.store.profiles import keys_of, load_texts, profile_blocks
from store.indexes import make_index
from store.owner import IndexOwner
from store.profile import Contribution, ProfileState, encode_profile
from store.view import RetrievalView
from store.view_snapshots import ViewSnapshots

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.store.profiles import Texts

__all__ = ["measure"]

_ENCODER = "benchmark"
_TOPIC = "profiles"
_PARTITIONS = 4
_SEEN, _CONTRIBUTIONS = 20, 10
_TAIL_SHARE = 10
_ASKED_EVERY_S = 0.002
_WARM, _COLD = "Tidemark, the file in memory", "Tidemark, the file on disk"
_PAUSE = "longest pause while one is written"


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    texts, size = load_texts(quick=quick), 20_000 if quick else 1_000_000
    outcome = Measurement("restore", f"A snapshot of {size:,} profiles and a tail, to serving", "s")
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as name:
        path = Path(name) / "view.tmv"
        written = in_fresh_process(_write, texts, path, size, repetitions)
        outcome.runs += written
        megabytes = path.stat().st_size / 1e6
        for _ in range(repetitions):
            for label in (_WARM, _COLD):
                run = in_fresh_process(_load, texts, path, size, label == _COLD)
                outcome.values.setdefault(label, []).append(run["load_s"] + run["tail_s"])
                outcome.runs.append({"label": label, **run})
                print(f"{label}: {run['load_s']:.1f} s, tail {run['tail_s']:.2f} s")
    for label in (_WARM, _COLD):
        loads = [run for run in outcome.runs if run.get("label") == label]
        outcome.details[label] = {
            f"of it {name}": f"{statistics.median(run[name + '_s'] for run in loads):.2f}"
            for name in ("load", "tail")
        }
    pause, without, seconds = (
        statistics.median(run[key] for run in written)
        for key in ("pause_ms", "pause_without_ms", "save_s")
    )
    outcome.notes = [
        (
            f"the file has {megabytes:,.0f} MB and is written in {seconds:.1f} s; longest "
            f"pause in as much time without: {without:.0f} ms"
        )
    ]
    outcome.bars = [
        *(
            Bar.at_most(f"restore: {size:,} profiles, {label.split(', ')[1]}", 20, median, "s")
            for label in (_WARM, _COLD)
            for median in [outcome.median(label)]
        ),
        Bar.at_most(f"restore: {_PAUSE}", 50, pause, "ms"),
    ]  # fmt: skip
    return outcome


@dataclass(frozen=True, slots=True)
class _Record:
    """Of the topic ``profiles``; see `store.record.Record`."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    topic: str = _TOPIC
    timestamp: int = 0
    headers: tuple[()] = ()


@dataclass(frozen=True, slots=True)
class _Topic:
    name: str
    topic_id: str = "benchmark"
    tombstone_ms: int = 86_400_000


def _records(texts: Texts, size: int, version: int) -> Iterator[list[_Record]]:
    """The users' states, in batches."""
    keys = keys_of(size)
    random = np.random.default_rng(version)
    for start, block in profile_blocks(texts, size):
        items = random.integers(0, len(texts.vectors), (len(block), _SEEN)).tolist()
        yield [
            _record(keys[start + row], start + row, vector.tobytes(), items[row], version)
            for row, vector in enumerate(block)
        ]


def _record(key: str, row: int, vector: bytes, items: Sequence[int], version: int) -> _Record:
    seen = [f"item-{item}" for item in dict.fromkeys(items)]
    offset = row // _PARTITIONS + version * 10_000_000
    state = ProfileState(
        encoder=_ENCODER, policy="constant", dim=len(vector) // 4, vector=vector, count=_SEEN,
        last_ts=1_800_000_000_000, partition=row % _PARTITIONS, applied={"actions": offset},
        fresh_from=1_800_000_000_000, seen=seen,
        contributions=[Contribution("rate", item, 0.9, 1.0) for item in seen[:_CONTRIBUTIONS]],
    )  # fmt: skip
    return _Record(row % _PARTITIONS, offset, key.encode(), encode_profile(state))


def _snapshots(path: Path) -> ViewSnapshots:
    return ViewSnapshots(
        path,
        [_Topic(_TOPIC), _Topic("item-vectors")],
        lambda: time.time_ns() // 1_000_000,
        clock_skew_ms=5_000,
    )


def _new_view(texts: Texts) -> RetrievalView:
    return RetrievalView(
        texts.dim,
        _ENCODER,
        lambda dim, name: make_index(
            "faiss", dim, growth="sketch" if name == "profiles" else "hnsw"
        ),
    )


def _write(texts: Texts, path: Path, size: int, repetitions: int) -> list[dict[str, Any]]:
    gc.freeze()  # as the service does at its start, and for its reasons
    gc.set_threshold(50_000, 10, 10)
    view, owner = _new_view(texts), IndexOwner()
    for batch in _records(texts, size, 0):
        view.apply_profiles(batch, lambda: 0)
    runs: list[dict[str, Any]] = []
    for _ in range(repetitions):
        started = time.perf_counter()
        with _Pauses(owner) as pauses:
            _snapshots(path).save(view, owner, {(_TOPIC, one): size for one in range(_PARTITIONS)})
        seconds = time.perf_counter() - started
        with _Pauses(owner) as without:
            time.sleep(seconds)
        runs.append(
            {
                "save_s": seconds,
                "pause_ms": 1000 * max(pauses.waits),
                "pause_p99_ms": 1000 * float(np.quantile(pauses.waits, 0.99)),
                "pause_without_ms": 1000 * max(without.waits),
            }
        )
        print(runs[-1])
    owner.shutdown()
    view.close()
    return runs


def _load(texts: Texts, path: Path, size: int, from_disk: bool) -> dict[str, Any]:
    """In a new process; its imports and what is compiled are not counted."""
    tail = list(_records(texts, size // _TAIL_SHARE, 1))
    warm = _new_view(texts)
    warm.apply_profiles(tail[0][:100], lambda: 0)
    warm.close()
    if from_disk:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    started = time.perf_counter()
    view, positions = _snapshots(path).load(lambda: _new_view(texts))
    loaded = time.perf_counter()
    for batch in tail:
        view.apply_profiles(batch, lambda: 0)
    done = time.perf_counter()
    if view.profile_count != size or not positions or view.records.stale:
        raise RuntimeError(
            f"{view.profile_count:,} of {size:,} profiles are there, {view.records.stale:,} "
            "records were stale: the snapshot was not used"
        )
    return {"load_s": loaded - started, "tail_s": done - loaded}


class _Pauses:
    """While this context is open something small is asked of the owner's thread, again and again.

    Attributes:
        waits: how long each took, in seconds.
    """

    def __init__(self, owner: IndexOwner) -> None:
        self.waits: list[float] = []
        self._owner = owner
        self._error: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pauses", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        if self._error is not None:
            raise RuntimeError("the owner's thread does not answer") from self._error

    def _run(self) -> None:
        try:
            while not self._stopping.wait(_ASKED_EVERY_S):
                started = time.perf_counter()
                self._owner.submit(int).result(10)
                self.waits.append(time.perf_counter() - started)
        except Exception as error:  # noqa: BLE001 # raised where the context ends
            self._error = error
