"""``train influence``: what each kind of action foretells, judged on what came after."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from encoders.training.influence import Examples, InfluenceFit, bootstrap, fit
from store.influence import FEELING_LEVELS, RATING_LEVELS, Influence
from store.policies import Policy
from tidemark.errors import EvaluationError
from tidemark.training.checkpoints import digest_of, log_digest
from tidemark.training.choices import gather
from tidemark.training.features import FeatureTable, features_of
from tidemark.training.held_out import (
    Interval,
    choices_between,
    discounted,
    paired,
    ranks_of,
    recall,
)
from tidemark.training.influence_fits import InfluenceFits
from tidemark.training.profiles import queries_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from streams.rules import ActionRules
    from tidemark.evaluation.log import ActionLog
    from tidemark.training.features import Feature

__all__ = ["Judged", "Outcome", "Plan", "Weight", "train_influence"]

#: A user has done so much before a choice that is looked at.
_FEWEST = 3
_MINUTE, _DAY = 60.0, 86_400.0
#: What of the plan decides no fit.
_AFTER = {"rounds", "mean_removal", "whitening"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How it is trained. The log is cut by time: training, validation, held out.

    Attributes:
        until: share of the log that is learned from; behind it is what the model is judged on.
        validation: of this share, so much, the last, says when to stop and which half-life.
        choices: at most so many are learned from, drawn at random; half as many validate, and as
            many judge.
        history: actions before a choice that are looked at.
        negatives: items beside the chosen one.
        half_lives: tried, in seconds, for the model and for what it is compared with.
        rounds: of the bootstrap of the weights.
        seed: of all that is drawn.
        mean_removal: as `retrieval.mean_removal`.
        whitening: as `retrieval.whitening`, likewise.
    """

    until: float = 0.5
    validation: float = 0.2
    choices: int = 4_000
    history: int = 30
    negatives: int = 64
    half_lives: tuple[float, ...] = (
        _MINUTE, 60 * _MINUTE, _DAY, 7 * _DAY, 30 * _DAY, 180 * _DAY,
    )  # fmt: skip
    rounds: int = 40
    seed: int = 0
    mean_removal: bool = True
    whitening: float = 0.0


class Weight(NamedTuple):
    """What a value of a property of actions multiplies their weight by, and its 95% interval."""

    group: str
    value: str
    actions: int
    weight: float
    low: float
    high: float
    served: bool


class Judged(NamedTuple):
    """What some weights retrieve on the held-out part.

    Attributes:
        name: whose weights.
        half_life_seconds: the one of the plan's that was best on the validation part; of the
            settings' policy what it has, None where it has none.
        recall: share of choices among the ten nearest.
        ndcg: mean of 1 / log₂(1 + rank), not cut off.
        gain: of the model's ndcg over this one's.
        recall_gain: of its recall.
    """

    name: str
    half_life_seconds: float | None
    recall: float
    ndcg: float
    gain: Interval | None
    recall_gain: Interval | None


class Outcome(NamedTuple):
    """What came of it.

    Attributes:
        model: to be written where it is promoted.
        promoted: whether it retrieves more, beyond chance, than all weights equal, than those of
            the settings, and than the policy of the settings does as it is.
        weights: all properties', fitted together; those that are not served too.
        judged: the model first.
        trained_on, validated_on, held_out: choices.
        training, validation: losses by step of the model's fit, nats a choice.
    """

    model: Influence
    promoted: bool
    weights: list[Weight]
    judged: list[Judged]
    trained_on: int
    validated_on: int
    held_out: int
    training: tuple[float, ...]
    validation: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Weights, and how they did on the validation part."""

    name: str
    fitted: InfluenceFit
    weights: NDArray[np.float64]


def train_influence(
    log: ActionLog,
    vectors: NDArray[np.float32],
    *,
    encoder_id: str,
    rules: ActionRules,
    policy: Policy,
    feelings: Mapping[int, float],
    plan: Plan,
    checkpoint: Path | None = None,
    resume: bool = False,
    on_fit: Callable[[str, float, float], None] = lambda *_: None,
) -> Outcome:
    """Train and judge.

    Args:
        log: of actions.
        vectors: ``(items, dim) float32`` unit rows of the catalogue; an action's vector is taken to
            be its item's.
        encoder_id: which made them.
        rules: of the settings.
        policy: of the settings; its retrieval is shown beside.
        feelings: how users' words feel, by place; of those that decide a strength.
        plan: how.
        checkpoint: a file that each fit is kept in; None for none.
        resume: go on from that file.
        on_fit: told whose weights, a half-life in seconds and the loss on the validation part.

    Raises:
        EvaluationError: a part of the log has no choices.
        CheckpointError: the checkpoint cannot be written or taken up.
    """
    strengths, default = log.strengths(rules), log.weights(rules).astype(np.float64)
    parts = _parts(log, strengths, plan)
    table = features_of(log, feelings)
    served = table.served()
    none = FeatureTable((), np.empty((len(log), 0), np.int32))
    equal = np.ones(len(log))
    kept = InfluenceFits(
        checkpoint,
        {
            **{name: value for name, value in asdict(plan).items() if name not in _AFTER},
            "half_lives": list(plan.half_lives),  # as JSON has it
            "encoder_id": encoder_id,
            "log": log_digest(log),
            "vectors": digest_of(vectors),
            "actions": digest_of(strengths, default, table.codes),
        },
        resume=resume,
    )

    def examples(of: FeatureTable, weights: NDArray[np.float64]) -> tuple[Examples, Examples]:
        training, validation = (
            _examples(log, vectors, places, of, strengths, weights, plan, at)
            for at, places in enumerate(parts[:2])
        )
        return training, validation

    def best(name: str, of: FeatureTable, weights: NDArray[np.float64]) -> _Candidate:
        given, fits = examples(of, weights), []
        for half_life in plan.half_lives:
            one = partial(fit, *given, len(of.features), half_life_seconds=half_life)
            fits.append(kept.get(name, half_life, one))
            on_fit(name, half_life, min(fits[-1].validation))
        chosen = min(fits, key=lambda one: min(one.validation))
        factors = np.append(chosen.factors, 1.0)[of.codes].prod(axis=1)
        return _Candidate(name, chosen, weights * factors)

    model = best("influence", served, equal)
    others = [best("all weights equal", none, equal)]
    if np.ptp(default) > 0:  # else they are the same
        others.append(best("the settings' weights", none, default))
    judged, promoted = _judge(
        log, vectors, parts[2], strengths, model, others, policy, default,
        mean_removal=plan.mean_removal, whitening=plan.whitening,
    )  # fmt: skip
    given = examples(table, equal)
    whole = fit(*given, len(table.features), half_life_seconds=model.fitted.half_life_seconds)
    drawn = bootstrap(given[0], whole, rounds=plan.rounds, seed=plan.seed)
    return Outcome(
        model=_model(log, served, model, default, parts[0][-1], encoder_id),
        promoted=promoted,
        weights=_table(table, whole, drawn),
        judged=judged,
        trained_on=len(parts[0]),
        validated_on=len(parts[1]),
        held_out=len(parts[2]),
        training=model.fitted.training,
        validation=model.fitted.validation,
    )


def _parts(
    log: ActionLog, strengths: NDArray[np.float32], plan: Plan
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Places of the choices to learn from, to validate by, and to judge on."""
    learned = int(plan.until * len(log))
    edges = [0, int((1 - plan.validation) * learned), learned, len(log)]
    draw = np.random.default_rng(plan.seed)
    found = []
    for name, begin, end, most in (
        ("training", edges[0], edges[1], plan.choices),
        ("validation", edges[1], edges[2], plan.choices // 2),
        ("held-out", edges[2], edges[3], plan.choices),
    ):
        places = choices_between(log, strengths > 0, begin, end, _FEWEST)
        if not len(places):
            raise EvaluationError(
                f"the {name} part of the log {log.name}, actions {begin:,} to {end:,}, has no "
                f"positive action on a new item by a user with {_FEWEST} earlier ones; expected "
                "some: give a longer log"
            )
        found.append(np.sort(draw.permutation(places)[:most]))
    return found[0], found[1], found[2]


def _examples(
    log: ActionLog,
    vectors: NDArray[np.float32],
    places: NDArray[np.int64],
    table: FeatureTable,
    strengths: NDArray[np.float32],
    weights: NDArray[np.float64],
    plan: Plan,
    part: int,
) -> Examples:
    given = gather(
        log, vectors, places,
        history=plan.history, negatives=plan.negatives, seed=2 * plan.seed + part,
    )  # fmt: skip
    there = given.before >= 0
    return Examples(
        cosines=given.cosines,
        ages=given.ages,
        strengths=np.where(there, strengths[given.before], 0).astype(np.float32),
        weights=np.where(there, weights[given.before], 0).astype(np.float32),
        features=table.codes[given.before].astype(np.int64),
        corrections=given.corrections,
        popularity=given.popularity,
        users=log.users[places],
    )


def _judge(
    log: ActionLog,
    vectors: NDArray[np.float32],
    places: NDArray[np.int64],
    strengths: NDArray[np.float32],
    model: _Candidate,
    others: list[_Candidate],
    policy: Policy,
    default: NDArray[np.float64],
    *,
    mean_removal: bool,
    whitening: float,
) -> tuple[list[Judged], bool]:
    """What each retrieves, the settings' policy too; and whether the model gains on them all."""

    def ranked(weights: NDArray[np.float64], rule: Policy) -> NDArray[np.float64]:
        queries = queries_at(
            log, vectors, places, strengths=strengths, weights=weights, policy=rule,
            mean_removal=mean_removal, whitening=whitening,
        )  # fmt: skip
        return ranks_of(log, places, queries, vectors)

    def judged(
        name: str, half_life: float | None, theirs: NDArray[np.float64], *, own: bool = False
    ) -> Judged:
        users = log.users[places]
        found, gained = recall(theirs), discounted(theirs)
        return Judged(
            name, half_life, float(found.mean()), float(gained.mean()),
            None if own else paired(discounted(mine), gained, users, 0),
            None if own else paired(recall(mine), found, users, 0),
        )  # fmt: skip

    def decay(one: _Candidate) -> Policy:
        return Policy("decay", half_life_seconds=one.fitted.half_life_seconds)

    mine = ranked(model.weights, decay(model))
    told = [judged(model.name, model.fitted.half_life_seconds, mine, own=True)]
    for one in others:
        theirs = ranked(one.weights, decay(one))
        told.append(judged(one.name, one.fitted.half_life_seconds, theirs))
    if policy.name != "influence":
        half_life = policy.half_life_seconds if policy.name == "decay" else None
        told.append(judged(f"as it is: {policy.identity}", half_life, ranked(default, policy)))
    return told, all(one.gain is not None and one.gain.low > 0 for one in told[1:])


def _model(
    log: ActionLog,
    table: FeatureTable,
    found: _Candidate,
    default: NDArray[np.float64],
    end: np.int64,
    encoder_id: str,
) -> Influence:
    """The file's content; kinds that the log lacks keep the settings' weights, so scales agree."""
    scale = default[:end].mean() / found.weights[:end].mean()

    def of(group: str, length: int) -> tuple[float, ...]:
        by_code = {
            one.code: float(factor)
            for one, factor in zip(table.features, found.fitted.factors, strict=True)
            if one.group == group
        }
        return tuple(by_code.get(code, 1.0) for code in range(length))

    kinds = of("action", len(log.action_names))
    new, again = of("item", 2)
    met = {one.code for one in table.features if one.group == "action"}
    return Influence(
        half_life_seconds=found.fitted.half_life_seconds,
        actions={
            name: float(kinds[code] * new * scale)
            for code, name in enumerate(log.action_names)
            if code in met
        },
        ratings=of("rating", RATING_LEVELS),
        feelings=of("words", FEELING_LEVELS),
        repeated=again / new,
        encoder=encoder_id,
        trained_on=log.name,
    )


def _table(table: FeatureTable, whole: InfluenceFit, drawn: NDArray[np.float64]) -> list[Weight]:
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    counts = np.bincount(table.codes.ravel(), minlength=len(table.features) + 1)

    def weight(at: int, one: Feature) -> Weight:
        return Weight(
            one.group, one.value, int(counts[at]),
            float(whole.factors[at]), float(low[at]), float(high[at]), one.served,
        )  # fmt: skip

    return [weight(at, one) for at, one in enumerate(table.features)]
