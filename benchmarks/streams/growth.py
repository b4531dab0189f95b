"""Rate and memory as the number of users grows, and with it the records an action publishes.

Every user comes once in a pass. The first pass makes the profiles; the clock runs in what follows,
where every action changes and publishes a profile that is there. Memory is the worker's resident
memory at the end, beyond that of a worker which did the same with 1,000 users and so holds the same
model, buffers and texts.

A micro-batch publishes one record for a user, however many actions it has of them: with a million
users each action publishes one, with 10,000 users eight actions share one. How many it were is in
the table.
"""

from __future__ import annotations

import shutil
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.common.broker import bench_broker
from benchmarks.common.load import load, records_in
from benchmarks.common.results import Bar, Measurement
from benchmarks.common.stopwatch import CpuSampler, Stretch, cpu_columns, resident_bytes, stretch_of
from benchmarks.streams.deployment import running_worker
from benchmarks.streams.running import BROKER, TAIL, WORKER, watch
from benchmarks.streams.traffic import passes, records_of

if TYPE_CHECKING:
    from benchmarks.common.broker import Bench

__all__ = ["measure"]

_PARTITIONS = 4
_DIM = 384
_BASE_USERS = 1_000
_FEW_USERS = 10_000
#: A run with a million users publishes two million profiles; their files go a minute later.
_DISK_BYTES = 15 * 1024**3


@dataclass(frozen=True, slots=True)
class _Run:
    """One worker's: its stretch, its resident bytes at the end, and records an action."""

    stretch: Stretch
    resident: int
    records: float

    def as_json(self) -> dict[str, object]:
        return {
            "resident_bytes": self.resident,
            "records_per_action": round(self.records, 3),
            **self.stretch.as_json(),
        }


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    sizes = (2_000, 10_000, 20_000) if quick else (10_000, 100_000, 1_000_000)
    # by number of users: where the clock starts and ends
    stretches = {users: _stretch(users, quick=quick) for users in (_BASE_USERS, *sizes)}
    runs: dict[int, list[_Run]] = {users: [] for users in stretches}
    with bench_broker() as bench:
        if not quick:
            _require_disk(bench)
        for users, (_, end) in stretches.items():
            bench.create_topic(f"u{users}", _PARTITIONS)
            load(bench.bootstrap, f"u{users}", records_of(passes(users, end + TAIL)))
        for _ in range(repetitions):
            for users, (start, end) in stretches.items():
                runs[users].append(_run(bench, f"u{users}", start, end))
                run = runs[users][-1]
                print(
                    f"{users:,} users: {run.stretch.rate:,.0f} actions/s, "
                    f"{run.records:.2f} records an action, {run.resident / 2**20:,.0f} MiB"
                )
    return _outcome(sizes, runs)


def _stretch(users: int, *, quick: bool) -> tuple[int, int]:
    """Where the clock starts and ends; with few users more is read, since it is read faster."""
    least = 600_000 if quick else 1_500_000 if users <= _FEW_USERS else 400_000
    begin = max(users, least // 4)
    return begin, begin + max(users, least)


def _require_disk(bench: Bench) -> None:
    free = shutil.disk_usage(bench.folder).free
    if free < _DISK_BYTES:
        raise RuntimeError(
            f"{bench.folder} has {free / 1e9:.0f} GB free; this needs {_DISK_BYTES / 1e9:.0f}: "
            "point TMPDIR at a larger disk"
        )


def _run(bench: Bench, topic: str, start: int, end: int) -> _Run:
    with (
        running_worker(bench, topic, _PARTITIONS) as deployed,
        CpuSampler({WORKER: deployed.worker.pid, BROKER: bench.pid}) as cpu,
    ):
        progress = watch(deployed.worker, deployed.committed, end=end)
        size = resident_bytes([deployed.worker.pid])
        records = records_in(bench.bootstrap, deployed.profiles) / deployed.committed()
    return _Run(stretch_of(progress, cpu, start=start, end=end), size, records)


def _outcome(sizes: tuple[int, ...], runs: dict[int, list[_Run]]) -> Measurement:
    outcome = Measurement("growth", "Growth in users", "actions/s")
    per_profile = {}
    for users in sizes:
        label = f"Tidemark, {users:,} users"
        # Each repetition against the base of the same round.
        values = [
            (own.resident - base.resident) / (users - _BASE_USERS)
            for own, base in zip(runs[users], runs[_BASE_USERS], strict=True)
        ]
        per_profile[users] = statistics.median(values)
        outcome.values[label] = [run.stretch.rate for run in runs[users]]
        outcome.details[label] = {
            "records/action": f"{statistics.median(run.records for run in runs[users]):.2f}",
            "bytes/profile": f"{per_profile[users]:,.0f}",
            **cpu_columns([run.stretch for run in runs[users]]),
        }
    outcome.runs = [{"users": users, **run.as_json()} for users in runs for run in runs[users]]
    medians = [outcome.median(label) for label in outcome.values]
    most = sizes[-1]
    outcome.bars = [
        Bar.at_least(
            f"growth: lowest rate / highest rate from {sizes[0]:,} to {most:,} users",
            0.8,
            min(medians) / max(medians),
            "x",
        ),
        Bar.at_least(
            f"growth: rate with {most:,} / with {sizes[1]:,} users, about a record an action",
            0.8,
            medians[-1] / medians[1],
            "x",
        ),
        Bar.at_least(
            f"growth: actions/s with {most:,} users, a record each",
            50_000,
            medians[-1],
            "actions/s",
        ),
        *(
            Bar.at_most(
                f"growth: worker's memory a profile with {users:,} users",
                1.25 * 4 * _DIM + 600,
                per_profile[users],
                "bytes",
            )
            for users in sizes
        ),
    ]
    base = statistics.median(run.resident for run in runs[_BASE_USERS]) / 2**20
    outcome.notes.append(
        f"memory is counted beyond a worker with {_BASE_USERS:,} users ({base:,.0f} MiB), whose "
        "publications are small; with more users up to 20,000 profiles of 2 kB are under way, twice"
    )
    return outcome
