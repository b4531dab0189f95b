"""Trains the sequence profile on a log, and judges it beside the fold on what it did not see."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from encoders.training.sequence.histories import histories_before
from encoders.training.sequence.profile_training import ProfileTraining
from store.sequence import UserSequence
from tidemark.errors import EvaluationError
from tidemark.sequence_file import make_sequence
from tidemark.training.checkpoints import (
    digest_of,
    log_digest,
    read_checkpoint,
    write_checkpoint,
)
from tidemark.training.folding import fold_log
from tidemark.training.held_out import choices_between, ndcg, paired, ranks_of, recall
from tidemark.training.profiles import searched_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from encoders.training.sequence.histories import Histories
    from encoders.training.sequence.profile_training import ProfileTrainingSettings
    from store.policies import Policy
    from store.sequence import SequenceProfile
    from streams.rules import ActionRules
    from tidemark.evaluation.log import ActionLog
    from tidemark.training.held_out import Interval

__all__ = ["Epoch", "Outcome", "Plan", "train_sequence"]

#: Strengths are float32, and a scale of ratings that was moved onto another rounds.
_ROUNDING = 1e-6
#: Users whose vectors are made together when it is judged.
_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What of the log is for what, and when to stop.

    Attributes:
        validation: share of the actions, behind those trained on, that tells when to stop.
        held_out: share of the actions, the last ones, that it is judged on.
        epochs: at most.
        patience: epochs without a better one before it stops.
        positive: least strength s of what a user wanted.
        fewest: earlier actions of the user at the moments that are judged.
        most: choices that are trained on, the latest, and
        sample: that are judged, drawn at random.
        seed: of what is drawn.
        mean_removal: as `retrieval.mean_removal`, of the fold that it is judged beside.
        whitening: as `retrieval.whitening`, likewise.
    """

    validation: float = 0.1
    held_out: float = 0.2
    epochs: int = 40
    patience: int = 4
    positive: float = 0.5
    fewest: int = 3
    most: int = 200_000
    sample: int = 6_000
    seed: int = 0
    mean_removal: bool = True
    whitening: float = 0.0

    def __post_init__(self) -> None:
        if min(self.validation, self.held_out) <= 0 or self.validation + self.held_out >= 1:
            raise EvaluationError(
                f"validation is {self.validation:g} and held_out {self.held_out:g}; expected "
                "shares above 0 that leave something to train on"
            )


class Epoch(NamedTuple):
    """What came of an epoch; 0 is before the first, where it is the fold of the last actions.

    Attributes:
        loss: mean in training, nats; None for epoch 0.
        recall, ndcg: at 10, on the validation's part.
    """

    number: int
    loss: float | None
    recall: float
    ndcg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was trained, and how it stands beside the fold on the held-out part.

    Attributes:
        sequence: the function, with the weights of the best epoch.
        history: every epoch.
        best: the epoch of the weights.
        trained_on, validated_on, held_out: choices of each part.
        recall, ndcg: at 10, of the function and of the fold.
        recall_gain, ndcg_gain: with paired intervals.
        promoted: whether the interval of the recall's gain is above 0.
    """

    sequence: SequenceProfile
    history: list[Epoch]
    best: int
    trained_on: int
    validated_on: int
    held_out: int
    recall: tuple[float, float]
    ndcg: tuple[float, float]
    recall_gain: Interval
    ndcg_gain: Interval

    @property
    def promoted(self) -> bool:
        """Whether it finds more than the fold does, beyond chance."""
        return self.recall_gain.low > 0


def train_sequence(
    log: ActionLog,
    vectors: NDArray[np.float32],
    *,
    encoder_id: str,
    rules: ActionRules,
    policy: Policy,
    settings: ProfileTrainingSettings,
    plan: Plan,
    checkpoint: Path,
    resume: bool = False,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Outcome:
    """Train until the validation's NDCG@10 rises no more, and judge the best epoch.

    Args:
        log: in time order; it is split by time.
        vectors: ``(items, dim) float32`` unit vectors of the catalogue.
        encoder_id: that made them.
        rules: how much each kind of action counts.
        policy: of the fold, that it is judged beside and whose k it is given.
        settings: of net and training.
        plan: of the split.
        checkpoint: a file that is written after each epoch.
        resume: go on from that file.
        on_epoch: told of every epoch.

    Raises:
        EvaluationError: the log has too little, or an action without a rule.
        CheckpointError: the checkpoint cannot be written or taken up.
    """
    parts = _Parts(log, vectors, rules, policy, settings.length, plan)
    training = ProfileTraining(vectors, settings)
    identity = {
        **training.identity(),
        **asdict(plan),
        "encoder_id": encoder_id,
        "policy": policy.identity,
        "log": log_digest(log),
        "vectors": digest_of(vectors),
        "strengths": digest_of(log.strengths(rules), log.weights(rules)),
    }
    # More of them, or more patience, is no other training.
    del identity["epochs"], identity["patience"]
    history: list[Epoch] = []
    weights = training.weights()
    if resume:
        state, said = read_checkpoint(checkpoint, identity)
        training.restore(state)
        weights = {name: state[f"best.{name}"] for name in weights}
        history = [Epoch(*one) for one in said["history"]]
    while not history or not _is_over(history, plan):
        loss = training.epoch(parts.training, parts.targets) if history else None
        found = parts.judged(training.queries(parts.validation), parts.validating)
        of_epoch = float(recall(found).mean()), float(ndcg(found).mean())
        history.append(Epoch(len(history), loss, *of_epoch))
        if _best(history) == history[-1].number:
            weights = training.weights()
        best = {f"best.{name}": array for name, array in weights.items()}
        write_checkpoint(
            checkpoint, {**training.state(), **best}, {"identity": identity, "history": history}
        )
        on_epoch(history[-1])
    made = make_sequence(
        weights, encoder_id=encoder_id, policy=policy.identity, length=settings.length
    )
    return parts.outcome(made, history)


def _best(history: list[Epoch]) -> int:
    return max(history, key=lambda one: (one.ndcg, -one.number)).number


def _is_over(history: list[Epoch], plan: Plan) -> bool:
    last = history[-1].number
    return last >= plan.epochs or last - _best(history) >= plan.patience


class _Parts:
    """The log, split by time, as what is trained, validated and judged on."""

    def __init__(
        self,
        log: ActionLog,
        vectors: NDArray[np.float32],
        rules: ActionRules,
        policy: Policy,
        length: int,
        plan: Plan,
    ) -> None:
        strengths = log.strengths(rules)
        positive = strengths >= plan.positive - _ROUNDING
        judged_from = round(len(log) * (1 - plan.held_out))
        stop_from = round(len(log) * (1 - plan.held_out - plan.validation))
        rng = np.random.default_rng(plan.seed)
        learned = choices_between(log, positive, 0, stop_from)[-plan.most :]
        self.validating = _drawn(
            choices_between(log, positive, stop_from, judged_from, plan.fewest), plan.sample, rng
        )
        self._judging = _drawn(
            choices_between(log, positive, judged_from, len(log), plan.fewest), plan.sample, rng
        )
        for what, places in (
            ("to train on", learned), ("to stop by", self.validating),
            ("to judge by", self._judging),
        ):  # fmt: skip
            if not len(places):
                raise EvaluationError(
                    f"the log {log.name} has nothing {what}: expected actions of strength "
                    f"{plan.positive:g} or more, on items new to users with earlier actions"
                )
        self._log, self._vectors, self._plan = log, vectors, plan
        keeps, self._folded = fold_log(log, rules, policy, vectors, self._judging)

        def before(places: NDArray[np.int64]) -> Histories:
            return histories_before(
                places, users=log.users, items=log.items, strengths=strengths, keeps=keeps,
                length=length,
            )  # fmt: skip

        training = before(learned)
        known = np.flatnonzero(training.lengths)
        self.training, self.targets = training.of(known), log.items[learned[known]]
        self.validating, self.validation = _with_items(self.validating, before)
        judged, self._before = _with_items(self._judging, before)
        self._folded = searched_for(
            self._folded[np.isin(self._judging, judged)],
            vectors,
            mean_removal=plan.mean_removal,
            whitening=plan.whitening,
        )
        self._judging = judged

    def judged(
        self, queries: NDArray[np.float32], places: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Ranks of what was chosen at these places."""
        return ranks_of(self._log, places, queries, self._vectors)

    def outcome(self, sequence: SequenceProfile, history: list[Epoch]) -> Outcome:
        """As it is served: by NumPy, from lists of actions."""
        users = [self._sequence(row) for row in range(len(self._before))]
        queries = np.concatenate(
            [
                sequence.queries(users[start : start + _AT_ONCE])
                for start in range(0, len(users), _AT_ONCE)
            ]
        )
        ours, folds = (self.judged(one, self._judging) for one in (queries, self._folded))
        of_users, seed = self._log.users[self._judging], self._plan.seed
        return Outcome(
            sequence=sequence,
            history=history,
            best=_best(history),
            trained_on=len(self.targets),
            validated_on=len(self.validating),
            held_out=len(self._judging),
            recall=(float(recall(ours).mean()), float(recall(folds).mean())),
            ndcg=(float(ndcg(ours).mean()), float(ndcg(folds).mean())),
            recall_gain=paired(recall(ours), recall(folds), of_users, seed),
            ndcg_gain=paired(ndcg(ours), ndcg(folds), of_users, seed),
        )

    def _sequence(self, row: int) -> UserSequence:
        before, count = self._before, int(self._before.lengths[row])
        return UserSequence(
            self._vectors[before.items[row, :count]],
            before.strengths[row, :count],
            before.keeps[row, :count],
            before.weights[row, :count],
        )


def _drawn(places: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if len(places) <= count:
        return places
    return np.sort(rng.choice(places, count, replace=False))


def _with_items(
    places: NDArray[np.int64], before: Callable[[NDArray[np.int64]], Histories]
) -> tuple[NDArray[np.int64], Histories]:
    """Without those whose latest actions have no item."""
    found = before(places)
    known = np.flatnonzero(found.lengths)
    return places[known], found.of(known)
