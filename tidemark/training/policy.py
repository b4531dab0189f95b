"""``train policy``: which rule, at which of its parameters, folds the profiles that foretell most.

How long a past counts differs by deployment: an invoice's lines are one errand, a taste in films
lasts for years. So rules are tried on the log: each folds it anew, and what users came to next is
ranked by nearness to their profiles. The one that does best in the first part is judged on the
second, beside the settings' policy, on choices that nothing was chosen by.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.policies import Policy
from tidemark.errors import EvaluationError
from tidemark.training.held_out import (
    Interval,
    choices_between,
    discounted,
    paired,
    ranks_of,
    recall,
)
from tidemark.training.profiles import queries_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from streams.rules import ActionRules
    from tidemark.evaluation.log import ActionLog

__all__ = ["CANDIDATES", "Found", "Plan", "Tried", "tune_policy"]

#: Earlier actions with an item of a user whose choice is looked at.
_FEWEST = 3
#: Least strength of a choice: of what shows what a user wanted (`docs/evaluation.md`).
_POSITIVE = 0.5 - 1e-6  # a scale of ratings that was moved onto another rounds
_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
#: What is tried.
CANDIDATES = (
    *(Policy("constant", k=k) for k in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)),
    *(
        Policy("decay", half_life_seconds=seconds)
        for seconds in (_MINUTE, _HOUR, _DAY, 7 * _DAY, 30 * _DAY, 180 * _DAY, 365 * _DAY)
    ),
    *(
        Policy("adaptive", alpha=alpha, k_min=k_min)
        for k_min in (0.3, 0.5, 0.7)
        for alpha in (0.25, 0.5, 0.75)
    ),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How it is looked for. The log is cut by time.

    Attributes:
        begin: share of the log that is only folded, so that users have a past.
        until: share up to which rules are chosen by; behind it is what the chosen one is judged on.
        choices: at most so many in each of the two parts, drawn at random.
        seed: of what is drawn.
        mean_removal: as `retrieval.mean_removal`.
        whitening: as `retrieval.whitening`, likewise.
    """

    begin: float = 0.1
    until: float = 0.5
    choices: int = 4_000
    seed: int = 0
    mean_removal: bool = True
    whitening: float = 0.0


class Tried(NamedTuple):
    """What a policy retrieves of the part that is chosen by.

    Attributes:
        policy: the rule.
        recall: share of choices among the ten nearest.
        ndcg: mean of 1 / log₂(1 + rank), not cut off: it sees smaller differences than recall does.
    """

    policy: Policy
    recall: float
    ndcg: float


class Found(NamedTuple):
    """What came of it.

    Attributes:
        best: the policy that did best where it was chosen.
        now: the settings' policy.
        promoted: whether `best` is another one and finds more than `now` where nothing was chosen
            by: the interval of the gain in ndcg is above zero.
        tried: of the part that was chosen by, the best first.
        recall, ndcg: of `best` and of `now`, on the part that judges.
        recall_gain, ndcg_gain: of `best` over `now` there.
        chosen_by, held_out: choices in the two parts.
    """

    best: Policy
    now: Policy
    promoted: bool
    tried: list[Tried]
    recall: tuple[float, float]
    ndcg: tuple[float, float]
    recall_gain: Interval
    ndcg_gain: Interval
    chosen_by: int
    held_out: int


def tune_policy(
    log: ActionLog,
    vectors: NDArray[np.float32],
    *,
    rules: ActionRules,
    now: Policy,
    plan: Plan,
    candidates: Sequence[Policy] = CANDIDATES,
    on_tried: Callable[[Tried], None] = lambda _: None,
) -> Found:
    """Choose and judge.

    Args:
        log: of actions.
        vectors: ``(items, dim) float32`` unit rows of the catalogue; an action's vector is taken to
            be its item's.
        rules: of the settings.
        now: the settings' policy, which is tried too; not ``influence``, which has weights of its
            own.
        plan: how.
        candidates: tried.
        on_tried: told of each.

    Raises:
        EvaluationError: a part of the log has no choices, or ``now`` is ``influence``.
    """
    if now.name == "influence":
        raise EvaluationError(
            "the settings' policy is influence, whose model has its own half-life; expected "
            "another one: tidemark train influence chooses that half-life"
        )
    strengths, weights = log.strengths(rules), log.weights(rules).astype(np.float64)
    choosing, judging = _parts(log, strengths, plan)

    def ranked(policy: Policy, places: NDArray[np.int64]) -> NDArray[np.float64]:
        queries = queries_at(
            log, vectors, places, strengths=strengths, weights=weights, policy=policy,
            mean_removal=plan.mean_removal, whitening=plan.whitening,
        )  # fmt: skip
        return ranks_of(log, places, queries, vectors)

    tried = []
    for policy in dict.fromkeys((now, *candidates)):
        ranks = ranked(policy, choosing)
        tried.append(Tried(policy, float(recall(ranks).mean()), float(discounted(ranks).mean())))
        on_tried(tried[-1])
    # of equals the settings' own, which is the first
    tried.sort(key=lambda one: -one.ndcg)
    best = tried[0].policy
    ours, theirs = ranked(best, judging), ranked(now, judging)
    users = log.users[judging]
    ndcg_gain = paired(discounted(ours), discounted(theirs), users, plan.seed)
    return Found(
        best=best,
        now=now,
        promoted=ndcg_gain.low > 0,
        tried=tried,
        recall=(float(recall(ours).mean()), float(recall(theirs).mean())),
        ndcg=(float(discounted(ours).mean()), float(discounted(theirs).mean())),
        recall_gain=paired(recall(ours), recall(theirs), users, plan.seed),
        ndcg_gain=ndcg_gain,
        chosen_by=len(choosing),
        held_out=len(judging),
    )


def _parts(
    log: ActionLog, strengths: NDArray[np.float32], plan: Plan
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the choices to choose by, and to judge on."""
    edges = [int(share * len(log)) for share in (plan.begin, plan.until, 1.0)]
    draw = np.random.default_rng(plan.seed)
    found = []
    for begin, end in pairwise(edges):
        places = choices_between(log, strengths >= _POSITIVE, begin, end, _FEWEST)
        if not len(places):
            raise EvaluationError(
                f"actions {begin:,} to {end:,} of the log {log.name} have no positive one on a new "
                f"item by a user with {_FEWEST} earlier ones; expected some: give a longer log, "
                f"or actions of strength {_POSITIVE:g} or more (ratings, or kinds of action that "
                "the settings give as much: actions.NAME.strength)"
            )
        found.append(np.sort(draw.permutation(places)[: plan.choices]))
    return found[0], found[1]
