"""Other engines on the same work: 100 thousand profiles that change, searched one at a time.

Each holds the same profiles in a process of its own, is given the least effort with which it finds
99 of the true best hundred, and is then asked in turns: for upserts of 256 held keys as fast as it
can, for one search and then another with no writes, and for the same while 5,000 upserts a second
are due, of which it does what it can. Between two searches the one who asks pauses for up to 20 ms,
at random: so searches come at any point of a write. At the end of each repetition recall is checked
again, against all that was written.

A search and a write of hnswlib, usearch and qdrant's local mode may not meet: they take turns, a
write being few keys, so that searches wait little. Ours is asked in two ways: as it is by default,
looking at all, and accelerated already at this size.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.common.environments import peer_python, project_python
from benchmarks.common.results import Bar, Measurement
from benchmarks.store.contest import Contestant
from benchmarks.store.exact import K, exact_best, recall_of
from benchmarks.store.profiles import ChangingProfiles, load_texts, make_profiles
from benchmarks.store.serving import millis

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["measure"]

_OURS = ("Tidemark", "Tidemark with sketches")
_OTHERS = ("hnswlib", "usearch float16", "qdrant local", "LanceDB", "milvus-lite")
_BATCH, _RATE, _RECALL = 256, 5_000, 0.99
#: Batches of updates that there are; written again from the beginning after the last.
_BATCHES = 400
#: Share of what is offered that counts as keeping up.
_KEEPS_UP = 0.95


class _Work(NamedTuple):
    """Sizes of a run; ``seconds`` of each stretch."""

    profiles: int
    queries: int
    seconds: float
    burst: int
    settle: float


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    work = _Work(3_000, 20, 0.5, 4, 2.0) if quick else _Work(100_000, 200, 4.0, 40, 60.0)
    texts = load_texts(quick=quick)
    profiles = make_profiles(texts, work.profiles)
    truth = ChangingProfiles(texts, work.profiles, _BATCH)
    updates = truth.take(_BATCHES)
    rows = np.array([[int(key.rpartition("-")[2]) for key in keys] for keys, _ in updates])
    queries = profiles[np.random.default_rng(7).integers(0, work.profiles, work.queries)]
    python = peer_python("store")
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as name, ExitStack() as running:
        given: dict[str, Any] = {"settle_s": work.settle}
        for what, array in (
            ("profiles", profiles), ("rows", rows), ("queries", queries),
            ("updates", np.stack([vectors for _, vectors in updates])),
        ):  # fmt: skip
            given[what] = f"{name}/{what}.npy"
            np.save(given[what], array)
        contest = _Contest(profiles, queries, rows, np.load(given["updates"], "r"))
        del updates, truth
        for label in (*_OURS, *_OTHERS):
            contestant = Contestant(
                label, project_python() if label in _OURS else python, given,
                Path(name) / label.replace(" ", "-"),
            )  # fmt: skip
            running.enter_context(contestant)
            contest.enter(label, contestant)
        for _ in range(repetitions):
            for label in contest.contestants:
                contest.run(label, work)
    return _outcome(contest, work)


class _Contest:
    """All contestants, what is true at any time, and what was measured."""

    def __init__(
        self,
        profiles: NDArray[np.float32],
        queries: NDArray[np.float32],
        rows: NDArray[np.int64],
        updates: NDArray[np.float32],
    ) -> None:
        self.contestants: dict[str, Contestant] = {}
        self.said: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, list[dict[str, Any]]] = {}
        self._profiles, self._queries = profiles, queries
        self._rows, self._updates = rows, updates

    def enter(self, label: str, contestant: Contestant) -> None:
        """Give it the effort that it needs."""
        self.contestants[label], self.runs[label] = contestant, []
        recall, effort = 0.0, None
        for effort in contestant.built["efforts"]:
            contestant.ask("tune", effort=effort)
            recall = self._recall(contestant, 0)
            if recall >= _RECALL:
                break
        self.said[label] = {**contestant.built, "effort": effort, "recall": recall}
        print(
            f"{label}: built in {contestant.built['build_s']:.0f} s, effort {effort}: {recall:.4f}"
        )

    def run(self, label: str, work: _Work) -> None:
        """One repetition of one of them."""
        contestant = self.contestants[label]
        # Some took seconds for a batch while others were asked.
        burst = contestant.ask("upserts", batches=work.burst, seconds=work.seconds)
        alone = contestant.ask("searches", seconds=work.seconds)["took"]
        mixed = contestant.ask("mixed", seconds=work.seconds, rate=_RATE)
        found = {
            "upserts_per_second": burst["rate"],
            "alone_p50_ms": millis(alone, 0.5),
            "alone_p99_ms": millis(alone, 0.99),
            "written_p50_ms": millis(mixed["took"], 0.5),
            "written_p99_ms": millis(mixed["took"], 0.99),
            "written_upserts_per_second": mixed["rate"],
            "recall": self._recall(contestant, mixed["written"]),
        }
        self.runs[label].append(found)
        print(label, {name: float(f"{value:.4g}") for name, value in found.items()})

    def median(self, label: str, name: str) -> float:
        """Of the repetitions."""
        return float(statistics.median(run[name] for run in self.runs[label]))

    def _recall(self, contestant: Contestant, written: int) -> float:
        """Against the profiles as they are after so many batches."""
        profiles = self._profiles.copy()
        for number in range(max(0, written - len(self._rows)), written):
            at = number % len(self._rows)
            profiles[self._rows[at]] = self._updates[at]
        return recall_of(contestant.ask("find")["found"], exact_best(self._queries, profiles))


def _outcome(contest: _Contest, work: _Work) -> Measurement:
    outcome = Measurement(
        "peers", f"One query, k={K}, {work.profiles:,} profiles, {_RATE:,} upserts/s due, p50", "ms"
    )
    for label, runs in contest.runs.items():
        said = contest.said[label]
        outcome.values[label] = [run["written_p50_ms"] for run in runs]
        outcome.details[label] = {
            heading: format(contest.median(label, name), shape)
            for heading, name, shape in (
                ("p99", "written_p99_ms", ".1f"),
                ("upserts/s then", "written_upserts_per_second", ",.0f"),
                ("not written p50", "alone_p50_ms", ".2f"),
                ("p99 then", "alone_p99_ms", ".1f"),
                ("256 keys, keys/s", "upserts_per_second", ",.0f"),
                ("recall", "recall", ".4f"),
            )
        } | {
            "effort": str(said["effort"] or "all"),
            "bytes": f"{said['bytes'] / work.profiles:,.0f}",
            "build s": f"{said['build_s']:.0f}",
        }
        outcome.runs += [{"label": label, **run} for run in runs]
        outcome.runs.append({"label": label, **said})
    best = min(_OURS, key=lambda label: contest.median(label, "written_p50_ms"))
    outcome.bars = [_upserts_bar(contest), *_latency_bars(contest, best)]
    outcome.notes = [
        ("recall after each repetition's writes; bytes a profile without pages of files, which "
        "LanceDB and milvus-lite keep vectors in"),
        *(
            f"{label} no longer finds {_RECALL:.0%} once it was written"
            for label in contest.runs if contest.median(label, "recall") < _RECALL
        ),
    ]  # fmt: skip
    return outcome


def _upserts_bar(contest: _Contest) -> Bar:
    others = {label: contest.median(label, "upserts_per_second") for label in _OTHERS}
    best = max(others, key=lambda label: others[label])
    ours = contest.median(_OURS[0], "upserts_per_second")
    return Bar.at_least(
        f"peers: upserts of 256 keys, times the best of the others ({best})",
        1, ours / others[best], "x",
    )  # fmt: skip


def _latency_bars(contest: _Contest, ours: str) -> list[Bar]:
    """At equal recall; beside all, and beside those that keep up with what is written."""
    equal = [label for label in _OTHERS if contest.said[label]["recall"] >= _RECALL]
    keeping = [
        label for label in equal
        if contest.median(label, "written_upserts_per_second") >= _KEEPS_UP * _RATE
    ]  # fmt: skip
    bars = [
        Bar.at_least("peers: recall@100 of ours", _RECALL, contest.median(label, "recall"), "")
        for label in _OURS
    ]
    for name, labels in (("others", equal), ("others that keep up", keeping)):
        if labels:
            p50 = {label: contest.median(label, "written_p50_ms") for label in labels}
            best = min(p50, key=lambda label: p50[label])
            bars.append(
                Bar.at_least(
                    f"peers: p50 while written, of the best of the {name} ({best}) / {ours}",
                    1, p50[best] / contest.median(ours, "written_p50_ms"), "x",
                )
            )  # fmt: skip
    return bars
