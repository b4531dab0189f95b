"""The whole path with warm texts, beside what others do at the least.

Ours is the real ``tidemark worker``: decode, fences and duplicates, text look-up, fold, publish
with acks=all, commit. It is done with an action when the action's offset is committed, which comes
after the broker has its profile. The others keep a moving average of vectors that they have ready,
in state of their own, and publish nothing; stock Faust does nothing at all.

All texts are known after the first actions (see `movielens_like`); for everyone the clock starts
after those, at the first observed point past a tenth of the log. One process each, as started by
its documentation, on whatever cores there are; PyFlink runs with parallelism 2, and Pathway with
one thread and with two: the faster counts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common.broker import bench_broker
from benchmarks.common.environments import peer_python, project_python
from benchmarks.common.load import load
from benchmarks.common.results import Bar, Measurement
from benchmarks.common.stopwatch import CpuSampler, cpu_columns, stretch_of
from benchmarks.streams.deployment import running_worker
from benchmarks.streams.running import BROKER, TAIL, WORKER, run_program, watch
from benchmarks.streams.traffic import movielens_like, ready_vectors, records_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.common.broker import Bench
    from benchmarks.common.stopwatch import Stretch

__all__ = ["measure", "worker_stretch"]

_OURS = "Tidemark, whole path"
_PATHWAY = "Pathway, stateful reducer"
_PATHWAY_TWO = "Pathway, two threads"
_QUIX = "Quix Streams, stateful apply"
_FLINK = "PyFlink, keyed process function"
_FAUST = "stock Faust, empty body"
_PARTITIONS = 4
_JAR = (
    Path(__file__).resolve().parents[3]
    / "shared" / "flink" / "flink-sql-connector-kafka-5.0.0-2.2.jar"
)  # fmt: skip


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    # Each reads so much that it takes several seconds.
    actions = 500_000 if quick else 4_000_000
    some = 60_000 if quick else 1_500_000
    few = 15_000 if quick else 120_000
    outcome = Measurement("whole_path", "Whole path, warm texts, 943 users", "actions/s")
    with bench_broker() as bench:
        for wire, size in (("msgpack", actions), ("json", some)):
            bench.create_topic(wire, _PARTITIONS)
            load(bench.bootstrap, wire, records_of(movielens_like(size + TAIL), wire))
        vectors = bench.folder / "vectors.npy"
        np.save(vectors, ready_vectors())

        def peer(
            program: str,
            python: Path,
            topic: str,
            end: int,
            env: Mapping[str, str] | None = None,
            **given: str,
        ) -> Callable[[], Stretch]:
            return lambda: run_program(
                bench, program, python, topic=topic, start=end // 10, end=end,
                given={"vectors": str(vectors), **given}, env=env,
            )  # fmt: skip

        runs: dict[str, Callable[[], Stretch]] = {
            _OURS: lambda: worker_stretch(bench, "msgpack", actions // 10, actions),
            _PATHWAY: peer("pathway_ema", peer_python("pathway"), "json", some),
            _PATHWAY_TWO: peer(
                "pathway_ema", peer_python("pathway"), "json", some, {"PATHWAY_THREADS": "2"}
            ),
            _QUIX: peer("quix_ema", peer_python("quix"), "msgpack", some // 3),
            _FAUST: peer("faust_empty", project_python(), "msgpack", few),
        }
        jar = Path(os.environ.get("FLINK_KAFKA_JAR") or _JAR)
        if jar.exists():
            runs[_FLINK] = peer("flink_ema", peer_python("flink"), "json", 2 * few, jar=str(jar))
        else:
            outcome.notes.append(
                f"PyFlink is left out: no Kafka connector at {jar}; name one by FLINK_KAFKA_JAR"
            )
        stretches: dict[str, list[Stretch]] = {label: [] for label in runs}
        for _ in range(repetitions):
            for label, run in runs.items():
                stretches[label].append(run())
                print(f"{label}: {stretches[label][-1].rate:,.0f} actions/s")
    _fill(outcome, stretches)
    return outcome


def worker_stretch(bench: Bench, topic: str, start: int, end: int) -> Stretch:
    """One run of ``tidemark worker`` over the topic's actions; done means committed."""
    with (
        running_worker(bench, topic, _PARTITIONS) as deployed,
        CpuSampler({WORKER: deployed.worker.pid, BROKER: bench.pid}) as cpu,
    ):
        progress = watch(deployed.worker, deployed.committed, end=end)
    return stretch_of(progress, cpu, start=start, end=end)


def _fill(outcome: Measurement, stretches: dict[str, list[Stretch]]) -> None:
    for label, runs in stretches.items():
        outcome.values[label] = [run.rate for run in runs]
        outcome.details[label] = {
            **cpu_columns(runs),
            "actions measured": f"{runs[0].actions:,}",
        }
        outcome.runs += [{"label": label, **run.as_json()} for run in runs]
    ours = outcome.median(_OURS)
    pathway = max((_PATHWAY, _PATHWAY_TWO), key=outcome.median)
    outcome.bars = [
        Bar.at_least(
            f"whole path: actions/s, times {label}", asked, ours / outcome.median(label), "x"
        )
        for label, asked in ((pathway, 1), (_QUIX, 4), (_FAUST, 12))
    ]
    outcome.notes += [
        "Quix Streams, stock Faust and PyFlink read the beginning of the same log",
        "Pathway and PyFlink read the same actions as JSON, which they parse natively",
    ]
