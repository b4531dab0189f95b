"""What learning adds to the cost of an action: the retrieval service's, and beside it the worker's.

Micro-batches go through a worker's table and a retrieval view, with a learner and without, in
turns. Encoding, Kafka and HTTP are left out: with them it is less. At full load only a sample of
the changes is counted; at the lower rate all are, which is what counting really costs.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common.results import Bar, Measurement
from benchmarks.quality.records import MadeRecord, item_record
from store.batch import ActionBatch, Vocabulary
from store.indexes import make_index
from store.interner import Interner
from store.policies import Policy
from store.ranking.learner import Learner
from store.table import Identity, Memory, ProfileTable
from store.view import RetrievalView

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["measure"]

_ENCODER, _DIM = "quality", 384
_ITEMS, _USERS, _BATCH = 5_000, 20_000, 5_000
#: Of the clock, actions a second: at full load, and where every change is counted.
_RATES = (20_000, 1_000)
_LABELS = ("without", "with")


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    batches = 4 if quick else 40
    draw = np.random.default_rng(0)
    rows = draw.standard_normal((_ITEMS, _DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    outcome = Measurement("learning", "CPU an action, fold to index", "µs")
    _run(rows, 2, _RATES[0], learns=True)  # compiles
    for rate in _RATES:
        shares = []
        for number in range(repetitions):
            took: dict[str, float] = {}
            for label in _LABELS if number % 2 else reversed(_LABELS):
                took[label] = _run(rows, batches, rate, learns=label == "with")
                outcome.values.setdefault(f"{label}, {rate:,}/s", []).append(took[label])
            shares.append(took["with"] / took["without"] - 1)
            outcome.runs.append({"rate": rate, **took, "added": shares[-1]})
        what = f"learning: added to the cost of an action at {rate:,}/s"
        outcome.bars.append(Bar.at_most(what, 0.1, statistics.median(shares), "share"))
    return outcome


def _run(rows: NDArray[np.float32], batches: int, rate: int, *, learns: bool) -> float:
    """CPU µs an action, where so many come a second."""
    draw = np.random.default_rng(1)
    learner = Learner(_DIM) if learns else None
    view = RetrievalView(_DIM, _ENCODER, lambda dim, _: make_index("faiss", dim), learner=learner)
    view.apply_items([item_record(_ENCODER, at, row) for at, row in enumerate(rows)])
    view.live = True
    vocabulary = Vocabulary(Interner(), Interner())
    table = ProfileTable(0, Identity(_ENCODER, _DIM, Policy()), Memory(), vocabulary)
    kind = vocabulary.actions.code(b"click")
    codes = np.array([vocabulary.items.code(f"i{at}".encode()) for at in range(_ITEMS)], np.int32)
    spent, now = 0.0, 1_700_000_000_000
    for number in range(batches):
        users = draw.integers(0, _USERS, _BATCH)
        items = np.minimum(draw.zipf(1.2, _BATCH), _ITEMS) - 1
        keys = [f"u{user}".encode() for user in users.tolist()]
        ends = np.cumsum([len(key) for key in keys])
        batch = ActionBatch(
            users=np.frombuffer(b"".join(keys), np.uint8),
            user_starts=np.concatenate([[0], ends[:-1]]).astype(np.int64),
            user_ends=ends.astype(np.int64),
            offsets=np.arange(number * _BATCH, (number + 1) * _BATCH, dtype=np.int64),
            published=np.full(_BATCH, now, np.int64),
            ts=np.full(_BATCH, now, np.int64),
            actions=np.full(_BATCH, kind, np.int32),
            items=codes[items],
            events=np.zeros(_BATCH, np.uint64),
            weights=np.ones(_BATCH),
            strengths=np.full(_BATCH, 0.5),
            rows=items.astype(np.int32),
        )
        begun = time.process_time()
        table.apply("actions", batch, rows)
        records = [
            MadeRecord("profiles", 0, 0, key, value) for key, value in table.take_changes().listed()
        ]
        view.apply_profiles(records, partial(int, now))
        spent += time.process_time() - begun
        now += 1000 * _BATCH // rate
    return 1e6 * spent / (batches * _BATCH)
