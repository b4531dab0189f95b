"""Drives recommenders over a log in its order, and ranks what came next at each moment."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tidemark.errors import EvaluationError
from tidemark.evaluation.ranking import rank_and_top

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog
    from tidemark.evaluation.moments import Moments
    from tidemark.evaluation.protocol import Recommender

__all__ = ["TOP", "Replayed", "replay"]

#: So many of what comes first are kept, for coverage and novelty.
TOP = 10
#: So many actions are learned at a time, so that progress can be shown.
_CHUNK = 5_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replayed:
    """What one recommender did at the moments.

    Attributes:
        name: of the recommender.
        ranks: ``(m,) float64`` of the item sought, from 1; infinite where it was not shown.
        top: ``(m, TOP) int32`` items that came first, −1 where there were fewer.
        novelty: ``(m,) float64`` bits: the mean of −log₂((c + 1) / (n + I)) over these, where the
            item has c of the n actions so far and the catalogue I items; the one that each item
            is given makes the novelty of those without an action finite (Laplace). NaN where
            nothing was shown.
        learning: seconds in `Recommender.learn`.
        scoring: seconds in `Recommender.scores`.
    """

    name: str
    ranks: NDArray[np.float64]
    top: NDArray[np.int32]
    novelty: NDArray[np.float64]
    learning: float
    scoring: float


def replay(
    log: ActionLog,
    recommenders: Sequence[Recommender],
    moments: Moments,
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[Replayed]:
    """Rank the item of every moment, each recommender having learned exactly what came before.

    Args:
        log: what is replayed.
        recommenders: none has learned anything yet.
        moments: what is scored.
        on_progress: is told how many actions are done.

    Raises:
        EvaluationError: a recommender's scores are of another shape, or not a number.
    """
    runs = [_Run(one, len(moments)) for one in recommenders]
    counts = np.zeros(len(log.catalogue), np.int64)
    seen_by = _Seen(log)
    done = 0
    for at, place in enumerate(moments.places.tolist()):
        for begin in range(done, place, _CHUNK):
            end = min(begin + _CHUNK, place)
            for run in runs:
                run.learn(begin, end)
            on_progress(end)
        passed = log.items[done:place]
        counts += np.bincount(passed[passed >= 0], minlength=len(counts))
        done = place
        information = np.log2(counts.sum() + len(counts)) - np.log2(counts + 1.0)
        seen, target = seen_by(place), int(log.items[place])
        for run in runs:
            run.score(at, place, seen, target, information)
    return [run.outcome() for run in runs]


class _Seen:
    """What a user has acted on before a place of the log."""

    def __init__(self, log: ActionLog) -> None:
        self._users, self._items = log.users, log.items
        self._order = np.argsort(log.users, kind="stable")
        counts = np.bincount(log.users, minlength=len(log.user_ids))
        self._starts = np.concatenate(([0], np.cumsum(counts)))

    def __call__(self, place: int) -> NDArray[np.int32]:
        user = self._users[place]
        places = self._order[self._starts[user] : self._starts[user + 1]]
        items = self._items[places[: np.searchsorted(places, place)]]
        seen: NDArray[np.int32] = items[items >= 0]
        return seen


class _Run:
    def __init__(self, recommender: Recommender, moments: int) -> None:
        self._recommender = recommender
        self._ranks = np.empty(moments)
        self._top = np.empty((moments, TOP), np.int32)
        self._novelty = np.empty(moments)
        self._learning = self._scoring = 0.0

    def learn(self, begin: int, end: int) -> None:
        started = time.perf_counter()
        self._recommender.learn(begin, end)
        self._learning += time.perf_counter() - started

    def score(
        self,
        at: int,
        place: int,
        seen: NDArray[np.int32],
        target: int,
        information: NDArray[np.float64],
    ) -> None:
        started = time.perf_counter()
        scores = self._recommender.scores(place)
        self._scoring += time.perf_counter() - started
        if scores.shape != information.shape or np.isnan(scores).any():
            raise EvaluationError(
                f"{self._recommender.name} scored the action {place} by an array of the shape "
                f"{scores.shape}, {np.isnan(scores).sum()} of them no number; expected "
                f"{information.shape} and none"
            )
        self._ranks[at] = rank_and_top(scores, seen, target, self._top[at])
        shown = self._top[at][self._top[at] >= 0]
        self._novelty[at] = information[shown].mean() if len(shown) else np.nan

    def outcome(self) -> Replayed:
        return Replayed(
            name=self._recommender.name,
            ranks=self._ranks,
            top=self._top,
            novelty=self._novelty,
            learning=self._learning,
            scoring=self._scoring,
        )
