"""What it costs to have an action at hand: Faust with our transport, stock Faust, bare clients.

Nothing is decoded and nothing done: the agents' bodies are empty. All read the same topic.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.common.broker import bench_broker
from benchmarks.common.environments import project_python
from benchmarks.common.load import load
from benchmarks.common.results import Bar, Measurement
from benchmarks.common.stopwatch import cpu_columns
from benchmarks.streams.running import TAIL, WORKER, run_program
from benchmarks.streams.traffic import movielens_like, records_of

if TYPE_CHECKING:
    from benchmarks.common.stopwatch import Stretch

__all__ = ["measure"]

_OURS = "Tidemark: Faust, whole batches"
_STOCK = "stock Faust, take(1000)"
_TOPIC = "actions"
_PARTITIONS = 4


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    actions = 200_000 if quick else 3_000_000
    # Stock Faust needs minutes for what the others do in seconds: it reads the topic's beginning.
    stock = 15_000 if quick else 150_000
    programs = {
        _OURS: ("tidemark_agent", actions),
        _STOCK: ("faust_take", stock),
        "aiokafka getmany": ("aiokafka_bare", actions),
        "confluent-kafka consume": ("confluent_bare", actions),
    }
    stretches: dict[str, list[Stretch]] = {label: [] for label in programs}
    with bench_broker() as bench:
        bench.create_topic(_TOPIC, _PARTITIONS)
        load(bench.bootstrap, _TOPIC, records_of(movielens_like(actions + TAIL)))
        for _ in range(repetitions):
            for label, (program, end) in programs.items():
                run = run_program(
                    bench, program, project_python(), topic=_TOPIC, start=end // 10, end=end
                )
                stretches[label].append(run)
                print(f"{label}: {run.rate_per_core(WORKER):,.0f} actions/s per core")
    return _outcome(stretches, stock)


def _outcome(stretches: dict[str, list[Stretch]], stock: int) -> Measurement:
    outcome = Measurement("consumption", "Consumption, empty body", "actions/s per core")
    for label, runs in stretches.items():
        outcome.values[label] = [run.rate_per_core(WORKER) for run in runs]
        outcome.details[label] = {
            **cpu_columns(runs),
            "actions/s": f"{statistics.median(run.rate for run in runs):,.0f}",
        }
        outcome.runs += [{"label": label, **run.as_json()} for run in runs]
    outcome.bars = [
        Bar.at_least(
            "consumption: actions/s per core with our transport, times stock Faust take()",
            20,
            outcome.median(_OURS) / outcome.median(_STOCK),
            "x",
        ),
    ]
    outcome.notes.append(f"stock Faust reads the first {stock:,} actions of the topic")
    return outcome
