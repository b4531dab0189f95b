"""One search after another over 100 thousand profiles while 5,000 of them change a second.

Through `store.owner.IndexOwner`, as the service does. 250 keys are due every 50 ms by a clock, and
a write waits from when it was due. Stretches with and without writes follow each other, in turns
the one and the other first, and are compared within a repetition.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.common.results import Bar, Measurement
from benchmarks.store.exact import K
from benchmarks.store.fresh import in_fresh_process
from benchmarks.store.profiles import ChangingProfiles, load_texts
from benchmarks.store.serving import PERIOD_S, OfferedWrites, ask_for, millis
from store.indexes import make_index
from store.owner import IndexOwner

if TYPE_CHECKING:
    from benchmarks.store.profiles import Texts

__all__ = ["measure"]

_RATE = 5_000
_ALONE, _WRITTEN = "Tidemark, search with no writes", "Tidemark, search while written"
_WAIT = "Tidemark, a write waits"


class _Run(NamedTuple):
    """One repetition; seconds of each search and each write."""

    alone: list[float]
    written: list[float]
    waits: list[float]
    rate: float


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    size, seconds = (10_000, 0.5) if quick else (100_000, 2.5)
    runs = in_fresh_process(_runs, load_texts(quick=quick), size, seconds, repetitions)
    outcome = Measurement(
        "mixed", f"One query, k={K}, {size:,} profiles, {_RATE:,} upserts/s, p50", "ms"
    )
    by_label = {
        _ALONE: [run.alone for run in runs],
        _WRITTEN: [run.written for run in runs],
        _WAIT: [run.waits for run in runs],
    }
    for label, found in by_label.items():
        outcome.values[label] = [millis(one, 0.5) for one in found]
        outcome.details[label] = {
            "p99": f"{statistics.median(millis(one, 0.99) for one in found):.2f}",
            "most": f"{max(millis(one, 1.0) for one in found):.2f}",
            "in a repetition": f"{statistics.median(len(one) for one in found):,.0f}",
        }
    for run in runs:
        outcome.runs.append(
            {
                "upserts_per_second": run.rate,
                **{
                    f"{name}_{at}": millis(found, quantile)
                    for name, found in run._asdict().items() if name != "rate"
                    for at, quantile in (("p50", 0.5), ("p99", 0.99), ("most", 1.0))
                },
            }
        )  # fmt: skip
    ratio = statistics.median(millis(run.written, 0.5) / millis(run.alone, 0.5) for run in runs)
    tail = statistics.median(millis(run.written, 0.99) for run in runs)
    wait = statistics.median(millis(run.waits, 0.99) for run in runs)
    outcome.bars = [
        Bar.at_most("mixed: a search while written, p50", 8, outcome.median(_WRITTEN), "ms"),
        Bar.at_most("mixed: a search while written, p99", 20, tail, "ms"),
        Bar.at_most("mixed: p50 while written / with no writes", 1.4, ratio, "x"),
        Bar.at_most("mixed: a write waits, p99", 25, wait, "ms"),
        Bar.at_least(
            "mixed: upserts/s", 0.98 * _RATE, statistics.median(run.rate for run in runs), "keys/s"
        ),
    ]
    return outcome


def _runs(texts: Texts, size: int, seconds: float, repetitions: int) -> list[_Run]:
    truth = ChangingProfiles(texts, size, int(_RATE * PERIOD_S))
    index = make_index("faiss", texts.dim)
    queries = truth.profiles[:: max(1, size // 1_000)].copy()
    owner = IndexOwner()
    owner.submit(index.upsert, truth.keys, truth.profiles).result()
    with OfferedWrites(owner, index, truth):  # all is compiled and warm
        ask_for(1.0, owner, index, queries)
    runs = []
    for number in range(repetitions):
        run = _Run([], [], [], 0.0)
        keys, passed = 0, 0.0
        for pair in range(4):
            for written in (False, True) if (pair + number) % 2 else (True, False):
                if not written:
                    run.alone.extend(ask_for(seconds, owner, index, queries))
                    continue
                with OfferedWrites(owner, index, truth) as writes:
                    run.written.extend(ask_for(seconds, owner, index, queries))
                run.waits.extend(writes.waits)
                keys, passed = keys + writes.keys, passed + writes.seconds
        runs.append(run._replace(rate=keys / passed))
        print(
            f"search p50 {millis(run.alone, 0.5):.2f} ms, while written "
            f"{millis(run.written, 0.5):.2f} (p99 {millis(run.written, 0.99):.2f}), "
            f"a write waits {millis(run.waits, 0.99):.2f} (p99)"
        )
    owner.shutdown()
    index.close()
    return runs
