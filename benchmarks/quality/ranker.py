"""What ``rank=mlp`` adds to a query: 200 candidates of 20,000 items, found and put into its order.

Both are asked for of the same users in turns, through the view as the service does, one at a time
and without HTTP, which is the same for both. The difference of the quantiles is what is promised;
beside it stands what the ranker alone takes.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from benchmarks.common.results import Bar, Measurement
from benchmarks.quality.records import MadeRecord, item_record
from store.indexes import make_index
from store.ordering import DEPTH
from store.profile import ProfileState, encode_profile
from store.question import answered
from store.ranker import Ranker
from store.view import RetrievalView

__all__ = ["measure"]

_ENCODER, _DIM, _HIDDEN, _INNER = "quality", 384, 64, 32
_NEAREST, _MLP = f"nearest, k={DEPTH}", f"mlp, of {DEPTH}"


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    items, users, asked = (2_000, 50, 100) if quick else (20_000, 500, 1_000)
    draw = np.random.default_rng(0)
    view, ranker = _view(draw, items, users)
    outcome = Measurement("ranker", f"Candidates of {items:,} items, p95", "ms")
    added, alone = [], []
    for _ in range(repetitions):
        took: dict[str, list[float]] = {_NEAREST: [], _MLP: []}
        for number in range(asked):
            user = f"u{number % users}"
            for label in (_NEAREST, _MLP) if number % 2 else (_MLP, _NEAREST):
                begun = time.perf_counter()
                answered(
                    view.answers.ask_candidates(
                        user, DEPTH, rank="mlp" if label == _MLP else "nearest"
                    )
                )
                took[label].append(1000 * (time.perf_counter() - begun))
        rows = _units(draw, DEPTH)
        by_itself = []
        for _ in range(asked):
            begun = time.perf_counter()
            ranker.scores(rows[0], rows)
            by_itself.append(1000 * (time.perf_counter() - begun))
        tails = {label: float(np.quantile(found, 0.95)) for label, found in took.items()}
        for label, tail in tails.items():
            outcome.values.setdefault(label, []).append(tail)
        added.append(tails[_MLP] - tails[_NEAREST])
        alone.append(float(np.quantile(by_itself, 0.95)))
        outcome.runs.append({"added_p95_ms": added[-1], "scores_p95_ms": alone[-1], **tails})
    outcome.notes.append(f"the ranker's scores alone, p95: {statistics.median(alone):.2f} ms")
    outcome.bars = [
        Bar.at_most(f"ranker: rank=mlp of {DEPTH}, added to p95", 5, statistics.median(added), "ms")
    ]
    return outcome


def _units(draw: np.random.Generator, n: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rows = draw.standard_normal((n, _DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _view(draw: np.random.Generator, items: int, users: int) -> tuple[RetrievalView, Ranker]:
    def weights(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return (0.1 * draw.standard_normal(shape)).astype(np.float32)

    ranker = Ranker(
        _ENCODER, mean_removal=True, of_user=weights(_HIDDEN, _DIM), of_item=weights(_HIDDEN, _DIM),
        bias=weights(_HIDDEN), inner=weights(_INNER, _HIDDEN), inner_bias=weights(_INNER),
        out=weights(_INNER), nearness=weights(1),
    )  # fmt: skip
    view = RetrievalView(_DIM, _ENCODER, lambda dim, _: make_index("faiss", dim), ranker=ranker)
    rows = _units(draw, items + users)
    view.apply_items([item_record(_ENCODER, at, row) for at, row in enumerate(rows[:items])])
    view.apply_profiles(
        [
            MadeRecord("profiles", 0, at, f"u{at}".encode(), encode_profile(
                ProfileState(
                    encoder=_ENCODER, policy="constant", dim=_DIM,
                    vector=row.astype("<f4").tobytes(), count=1, last_ts=1, partition=0,
                    applied={"actions": at}, seen=[f"i{at * 7 % items}" for at in range(200)],
                )
            ))
            for at, row in enumerate(rows[items:])
        ],
        lambda: 0,
    )  # fmt: skip
    return view, ranker
