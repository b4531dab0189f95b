"""How soon a worker serves again that owns 200,000 profiles.

The clock starts when the partitions are assigned to it (its log says when) and stops when actions
that waited are committed. It begins with the snapshots of an earlier worker, which know nothing of
the last tenth of the users: those it reads from the topic. For comparison the same with an empty
state folder, where all is read from the topic.
"""

from __future__ import annotations

import re
import shutil
import time
from datetime import datetime
from typing import TYPE_CHECKING

from benchmarks.common.broker import bench_broker
from benchmarks.common.load import load
from benchmarks.common.results import Bar, Measurement
from benchmarks.streams.deployment import Place, place_for_workers
from benchmarks.streams.running import watch
from benchmarks.streams.traffic import passes, records_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["measure"]

_PARTITIONS = 4
_WAITING = 1_000
_ASSIGNED = re.compile(r"^(\S+ \S+) INFO streams.app partitions assigned: .*actions", re.MULTILINE)
_RESTORED = re.compile(r"profiles restored: .*from_snapshot=(\w+) read=(\d+)")


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    users = 4_000 if quick else 200_000
    outcome = Measurement("restore", f"Restore of {users:,} profiles", "seconds")
    with bench_broker() as bench:
        bench.create_topic("actions", _PARTITIONS)
        rated = passes(users, 3 * users)  # every user three times
        known, log = list(records_of(rated)), 0
        with place_for_workers(bench, "actions", _PARTITIONS) as place:

            def publish(records: list[tuple[bytes, bytes]]) -> int:
                nonlocal log
                log += load(bench.bootstrap, "actions", iter(records))
                return log

            kept = place.folder / "kept"
            _work(place, kept, publish(known))
            _work(place, place.folder / "other", publish(known[: users // 10]))
            for number in range(repetitions):
                for label, state in (
                    ("snapshots and the rest of the topic", kept),
                    ("the topic alone", None),
                ):
                    seconds, read = _restore(place, f"{number}", state, publish(known[:_WAITING]))
                    outcome.values.setdefault(label, []).append(seconds)
                    outcome.runs.append({"label": label, "seconds": seconds, "records": read})
                    print(f"{label}: {seconds:.2f} s, {read:,} records read")
    first = next(iter(outcome.values))
    outcome.bars = [
        Bar.at_most(f"serving {users:,} profiles after assignment", 10, outcome.median(first), "s")
    ]
    return outcome


def _work(place: Place, state: Path, end: int) -> None:
    """Have a worker do what there is; at its end it writes its snapshots."""
    with place.worker(state) as worker:
        watch(worker, place.committed, end=end)


def _restore(place: Place, name: str, begin_with: Path | None, end: int) -> tuple[float, int]:
    """Seconds from assignment until what waited is committed, and the records read for it."""
    state = place.folder / f"{name}-{'snapshot' if begin_with else 'empty'}"
    if begin_with:
        shutil.copytree(begin_with, state)
    with place.worker(state) as worker:
        watch(worker, place.committed, end=end)
        served = time.time()
    log = state.with_suffix(".log").read_text()
    assigned = _ASSIGNED.search(log)
    restored = _RESTORED.findall(log)
    expected = "yes" if begin_with else "no"
    if assigned is None or {used for used, _ in restored} != {expected}:
        raise RuntimeError(f"the worker did not restore as expected:\n{log[-3000:]}")
    begun = datetime.strptime(assigned[1], "%Y-%m-%d %H:%M:%S,%f").timestamp()  # noqa: DTZ007 # as the log has it
    return served - begun, sum(int(read) for _, read in restored)
