"""What learning how to rank adds to the cost of an action, with `ranking.enabled` and without.

The cost is CPU time, an action, and is held against two wholes:

- *deployed*: all that a worker and a retrieval service spend, as processes, at 1,000 actions a
  second, at 2,000, which is the most of which every change is counted, and as fast as they can be
  published; see `benchmarks.quality.deployed`. It is what the bar is about. Other work of the
  machine is felt in it.
- *fold to index*: of that only the folding of actions into profiles, and the reading and indexing
  of profiles, in this process. Decoding, encoding, Kafka and HTTP are left out, so that learning
  weighs more than it does for anybody; but it is a whole that is the same each time.

Both are run with and without in turns. Workers have no part in learning: what is added deployed is
the difference of the retrieval services, held against the cost of both processes without. 5,000
users have clicked 20 times each before anything is measured. Folded to the index at 1,000/s, every
change is counted, and a micro-batch has as many actions as a worker's has then; at 20,000/s a
sample of the changes is (`ranking.counted_per_second`).
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.common.results import Bar, Measurement
from benchmarks.quality.clicks import ITEMS, draw_clicks
from benchmarks.quality.deployed import FULL_SPEED, Deployed, cost_of_actions
from benchmarks.quality.records import MadeRecord, item_record
from encoders.hashing import HashingEncoder
from store.batch import ActionBatch, Vocabulary
from store.indexes import make_index
from store.interner import Interner
from store.policies import Policy
from store.ranking.learner import Learner
from store.ranking.sampling import CHANGES_AT_ONCE
from store.ranking.words import WORDS
from store.table import Identity, Memory, ProfileTable
from store.view import RetrievalView

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["measure"]

_ENCODER, _DIM = "quality", 384
_FIRST_MS = 1_700_000_000_000
_WARM = 100_000
_LABELS = ("without", "with")


class _Pace(NamedTuple):
    """Actions a second by the clock, and in a micro-batch; actions measured."""

    rate: int
    batch: int
    actions: int


_PACES = (_Pace(20_000, 1_000, 100_000), _Pace(1_000, 25, 25_000))


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    outcome = Measurement("learning", "CPU an action", "µs")
    _run(_PACES[0], learns=True, share=0.02)  # compiles
    for pace in _PACES:
        name = f"fold to index, {pace.rate:,}/s"
        shares = []
        for number in range(repetitions):
            took: dict[str, float] = {}
            for label in _turn(number):
                took[label] = _run(pace, learns=label == "with", share=0.1 if quick else 1.0)
                outcome.values.setdefault(f"{name}, {label}", []).append(took[label])
            shares.append(took["with"] / took["without"] - 1)
            outcome.runs.append({"of": name, **took, "added": shares[-1]})
        _add_bar(outcome, name, shares)
    _measure_deployed(outcome, repetitions, quick=quick)
    return outcome


def _measure_deployed(outcome: Measurement, repetitions: int, *, quick: bool) -> None:
    rates = {
        "deployed, 1,000/s": 1_000,
        "deployed, 2,000/s": 2_000,
        "deployed, full speed": FULL_SPEED,
    }
    shares: dict[str, list[float]] = {name: [] for name in rates}
    for number in range(repetitions):
        took: dict[str, list[Deployed]] = {}
        for label in _turn(number):
            took[label] = cost_of_actions(
                list(rates.values()), learns=label == "with", warm=_WARM // (20 if quick else 1),
                seconds=2.0 if quick else 15.0, at_once=10_000 if quick else 100_000,
            )  # fmt: skip
            for name, one in zip(rates, took[label], strict=True):
                outcome.values.setdefault(f"{name}, {label}", []).append(one.cost)
                outcome.runs.append({"of": name, "learns": label == "with", **one._asdict()})
        for name, one, other in zip(rates, took["with"], took["without"], strict=True):
            more = one.micros["retrieval"] - other.micros["retrieval"]
            shares[name].append(more / other.cost)
    for name, added in shares.items():
        _add_bar(outcome, name, added)


def _turn(number: int) -> tuple[str, ...]:
    return _LABELS if number % 2 else _LABELS[::-1]


def _add_bar(outcome: Measurement, name: str, shares: list[float]) -> None:
    outcome.bars.append(
        Bar.at_most(f"learning: added to {name}", 0.1, statistics.median(shares), "share")
    )


def _run(pace: _Pace, *, learns: bool, share: float) -> float:
    """CPU µs an action, from a micro-batch to the index, of a share of the actions."""
    rows = np.random.default_rng(0).standard_normal((ITEMS, _DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    learner = Learner(_DIM, words=HashingEncoder(WORDS)) if learns else None
    view = RetrievalView(
        _DIM,
        _ENCODER,
        lambda dim, _: make_index("faiss", dim),
        learner=learner,
        learned_at_once=CHANGES_AT_ONCE,
    )
    view.apply_items([item_record(_ENCODER, at, row) for at, row in enumerate(rows)])
    view.live = True
    vocabulary = Vocabulary(Interner(), Interner())
    table = ProfileTable(0, Identity(_ENCODER, _DIM, Policy()), Memory(), vocabulary)
    codes = np.array([vocabulary.items.code(f"i{at}".encode()) for at in range(ITEMS)], np.int32)
    kind = vocabulary.actions.code(b"click")
    warm, count = int(share * _WARM), int(share * pace.actions)
    users, items = draw_clicks(warm + count, 1)
    now, begin, spent = _FIRST_MS, 0, 0.0
    while begin < warm + count:
        size = min(5_000, warm - begin) if begin < warm else pace.batch
        end = min(begin + size, warm + count)
        batch = _batch(users[begin:end], items[begin:end], begin, now, kind, codes)
        begun = time.process_time()
        table.apply("actions", batch, rows)
        records = [
            MadeRecord("profiles", 0, 0, key, value) for key, value in table.take_changes().listed()
        ]
        view.apply_profiles(records, partial(int, now))
        if begin >= warm:
            spent += time.process_time() - begun
        now += 1000 * (end - begin) // pace.rate
        begin = end
    return 1e6 * spent / count


def _batch(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    offset: int,
    now: int,
    kind: int,
    codes: NDArray[np.int32],
) -> ActionBatch:
    """A worker's micro-batch of clicks, as it is folded."""
    count = len(users)
    keys = [f"u{user}".encode() for user in users.tolist()]
    ends = np.cumsum([len(key) for key in keys])
    return ActionBatch(
        users=np.frombuffer(b"".join(keys), np.uint8),
        user_starts=np.concatenate([[0], ends[:-1]]).astype(np.int64),
        user_ends=ends.astype(np.int64),
        offsets=np.arange(offset, offset + count, dtype=np.int64),
        published=np.full(count, now, np.int64),
        ts=np.full(count, now, np.int64),
        actions=np.full(count, kind, np.int32),
        items=codes[items],
        events=np.zeros(count, np.uint64),
        weights=np.ones(count),
        strengths=np.full(count, 0.5),
        rows=items.astype(np.int32),
    )
