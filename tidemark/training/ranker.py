"""``train ranker``: serving is simulated on the log, learned from, and judged on the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from encoders.training.ranker import RankerPlan, Served, scores, train_ranker_net
from store.ordering import DEPTH
from store.ranker import Ranker
from tidemark.errors import RankerError
from tidemark.training.held_out import Interval, choices_between, ndcg, paired, recall
from tidemark.training.profiles import queries_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from encoders.training.ranker import Epoch
    from store.policies import Policy
    from streams.rules import ActionRules
    from tidemark.evaluation.log import ActionLog

__all__ = ["RankerOutcome", "ServingPlan", "train_ranker"]

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """What is served, and how the log is cut by time.

    Attributes:
        depth: nearest unseen items that are served.
        mean_removal: whether profiles are searched for without the items' mean.
        until: share of the log that is learned from; it is judged on the rest.
        validation: of this share, so much, the last, says when to stop.
        choices: at most so many are looked at in the part that is trained on, half as many in each
            of the others.
        seed: of the draw.
    """

    depth: int = DEPTH
    mean_removal: bool = True
    until: float = 0.5
    validation: float = 0.2
    choices: int = 12_000
    seed: int = 0


class RankerOutcome(NamedTuple):
    """What came of it.

    Attributes:
        ranker: to be written where it is promoted.
        promoted: whether its recall@10 is above that of nearness, beyond chance.
        recall, ndcg: at 10 of the ranker and of nearness.
        recall_gain, ndcg_gain: the differences.
        found: share of the held-out choices whose item was served: recall can be no higher.
        trained_on, validated_on, held_out: choices; the last with those not served.
        history: losses by epoch.
    """

    ranker: Ranker
    promoted: bool
    recall: tuple[float, float]
    ndcg: tuple[float, float]
    recall_gain: Interval
    ndcg_gain: Interval
    found: float
    trained_on: int
    validated_on: int
    held_out: int
    history: list[Epoch]


def train_ranker(
    log: ActionLog,
    vectors: NDArray[np.float32],
    *,
    encoder_id: str,
    rules: ActionRules,
    policy: Policy,
    plan: ServingPlan,
    training: RankerPlan,
    checkpoint: Path,
    resume: bool = False,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> RankerOutcome:
    """Train and judge. Where what was taken was not served, there is nothing to learn or to order.

    (An item that is put among the served for having been taken would be the farthest of them, and
    the ranker would learn that the farthest is taken.)

    Args:
        log: of actions.
        vectors: ``(items, dim) float32`` unit rows of the catalogue; an action's vector is taken to
            be its item's.
        encoder_id: which made them.
        rules: of the settings.
        policy: of the settings: profiles are folded by it.
        plan: what is served.
        training: how it is trained.
        checkpoint: where it goes.
        resume: go on from there.
        on_epoch: told of each.

    Raises:
        RankerError: of a part of the log nothing that was taken was served.
        EncoderError: it cannot go on from the checkpoint.
    """
    strengths, weights = log.strengths(rules), log.weights(rules).astype(np.float64)
    learned = int(plan.until * len(log))
    draw = np.random.default_rng(plan.seed)
    parts: list[tuple[Served, NDArray[np.bool_], NDArray[np.int64]]] = []
    for name, begin, end, most in (
        ("training", 0, int((1 - plan.validation) * learned), plan.choices),
        ("validation", int((1 - plan.validation) * learned), learned, plan.choices // 2),
        ("held-out", learned, len(log), plan.choices // 2),
    ):
        places = choices_between(log, strengths > 0, begin, end)
        places = np.sort(draw.permutation(places)[:most])
        queries = queries_at(
            log, vectors, places, strengths=strengths, weights=weights, policy=policy,
            mean_removal=plan.mean_removal,
        )  # fmt: skip
        served, found = _serve(log, vectors, places, queries, plan)
        if not found.any():
            raise RankerError(
                f"in the {name} part of the log {log.name}, actions {begin:,} to {end:,}, nothing "
                f"that users took was among the {plan.depth} nearest; expected some: give a longer "
                "log, or a greater --depth"
            )
        parts.append((served, found, places))
    net, history = train_ranker_net(
        parts[0][0], parts[1][0], vectors, training,
        checkpoint=checkpoint, resume=resume, on_epoch=on_epoch,
    )  # fmt: skip
    served, found, places = parts[2]
    order = scores(net, served, vectors)
    own = np.take_along_axis(order, served.taken[:, np.newaxis], axis=1)
    ours, near = np.full(len(places), np.inf), np.full(len(places), np.inf)
    ours[found] = 1 + (order > own).sum(axis=1) + ((order == own).sum(axis=1) - 1) / 2
    near[found] = 1 + served.taken  # they are in the order of nearness
    users = log.users[places]
    gained = paired(recall(ours), recall(near), users, plan.seed)
    return RankerOutcome(
        ranker=Ranker(encoder_id, mean_removal=plan.mean_removal, **net.arrays()),
        promoted=gained.low > 0,
        recall=(float(recall(ours).mean()), float(recall(near).mean())),
        ndcg=(float(ndcg(ours).mean()), float(ndcg(near).mean())),
        recall_gain=gained,
        ndcg_gain=paired(ndcg(ours), ndcg(near), users, plan.seed),
        found=float(found.mean()),
        trained_on=len(parts[0][0].taken),
        validated_on=len(parts[1][0].taken),
        held_out=len(places),
        history=history,
    )


def _serve(
    log: ActionLog,
    vectors: NDArray[np.float32],
    places: NDArray[np.int64],
    queries: NDArray[np.float32],
    plan: ServingPlan,
) -> tuple[Served, NDArray[np.bool_]]:
    """The nearest unseen items at each place, nearest first; and at which what was taken is one."""
    depth = min(plan.depth, len(vectors))
    known = np.linalg.norm(queries, axis=1) > 0
    order = np.argsort(log.users, kind="stable")
    edges = np.searchsorted(log.users[order], np.arange(len(log.user_ids) + 1))
    items = np.empty((len(places), depth), np.int64)
    taken = np.full(len(places), -1, np.int64)
    for start in range(0, len(places), _AT_ONCE):
        found = queries[start : start + _AT_ONCE] @ vectors.T
        for row, place in enumerate(places[start : start + _AT_ONCE].tolist()):
            user = log.users[place]
            of_user = order[edges[user] : edges[user + 1]]
            seen = log.items[of_user[: np.searchsorted(of_user, place)]]
            found[row, seen[seen >= 0]] = -np.inf
            best = np.argpartition(-found[row], depth - 1)[:depth]
            best = best[np.argsort(-found[row, best], kind="stable")]
            items[start + row] = best
            if known[start + row] and (at := np.flatnonzero(best == log.items[place])).size:
                taken[start + row] = at[0]
    there = taken >= 0
    return Served(np.ascontiguousarray(queries[there]), items[there], taken[there]), there
