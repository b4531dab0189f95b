"""A training from its actions to a verdict: split in time, fit, judge on what was held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from encoders.errors import TrainingError
from encoders.training.encoder.batches import Batches
from encoders.training.encoder.fitting import fit
from encoders.training.encoder.judging import EARLIER, Gain, Ranks, gain, rank
from encoders.training.encoder.moments import find_moments
from encoders.training.encoder.popularity import popularity_over_time
from encoders.training.encoder.weighing import weigh

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from encoders.training.encoder.actions import Actions
    from encoders.training.encoder.checkpoint import Checkpoint
    from encoders.training.encoder.fitted import Epoch, Fitted
    from encoders.training.encoder.plan import Plan
    from encoders.training.encoder.sources import VectorSource

__all__ = ["Course", "Outcome", "Verdict", "judge", "prepare", "train_projection"]

_FEWEST = 100
_MOST_JUDGED = 6_000


@dataclass(frozen=True, slots=True)
class Course:
    """Moments of a log, split by the time at which they were.

    Attributes:
        actions: all that may be looked at.
        batches: of the moments.
        training, validation, held_out: places of moments; the last are positive ones of users with
            at least three earlier actions, 6,000 drawn where there are more.
    """

    actions: Actions
    batches: Batches
    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    held_out: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the trained vectors gain on the actions held out.

    Attributes:
        untrained: ranks by the encoder's own vectors.
        centred: by these less their mean, which the training began with.
        trained: by the trained ones.
        over_untrained, over_centred: differences of recall@10 of profiles and popularity together,
            each with weights of its own.
    """

    untrained: Ranks
    centred: Ranks
    trained: Ranks
    over_untrained: Gain
    over_centred: Gain

    @property
    def promoted(self) -> bool:
        """Both intervals are above zero."""
        return min(self.over_untrained.low, self.over_centred.low) > 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trained map, and what it is worth."""

    fitted: Fitted
    verdict: Verdict


def prepare(actions: Actions, plan: Plan) -> Course:
    """Find the moments and split them.

    Raises:
        TrainingError: too few of them are in a part.
    """
    others = plan.tasks != ("next",)
    moments = find_moments(actions, longest=plan.longest, others=others)
    _, validation = actions.places_of(0, 1 - plan.held_out)
    _, training = actions.places_of(0, 1 - plan.held_out - plan.validation)
    places = moments.places
    of_training = np.flatnonzero(places < training)
    of_validation = np.flatnonzero((places >= training) & (places < validation))
    judged = (places >= validation) & moments.positive & (moments.earlier >= EARLIER)
    held_out = np.flatnonzero(judged)
    parts = {"training": of_training, "validation": of_validation, "held out": held_out}
    for name, part in parts.items():
        if len(part) < _FEWEST:
            raise TrainingError(
                f"the part {name} of the log has {len(part)} moments at which a user who acted "
                f"before takes something new; at least {_FEWEST} are needed: give a "
                "longer log, or one with ratings or kinds of action that are positive by the "
                "settings (actions.NAME.strength)"
            )
    if len(held_out) > _MOST_JUDGED:
        draws = np.random.default_rng(plan.seed)
        held_out = np.sort(draws.choice(held_out, _MOST_JUDGED, replace=False))
    popularity = popularity_over_time(actions)
    batches = Batches(actions, moments, popularity, plan, training)
    return Course(actions, batches, of_training, of_validation, held_out)


def train_projection(
    course: Course,
    source: VectorSource,
    plan: Plan,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    on_batch: Callable[[int, int, int], None] = lambda *_: None,
) -> Outcome:
    """Fit a map and judge it; arguments as for `encoders.training.encoder.fitting.fit`."""
    vectors = source.table().clone()
    fitted = fit(
        source,
        course.batches,
        course.training,
        course.validation,
        plan,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
        on_batch=on_batch,
    )
    return Outcome(fitted, judge(course, vectors, torch.from_numpy(fitted.vectors()), plan))


def judge(course: Course, vectors: torch.Tensor, trained: torch.Tensor, plan: Plan) -> Verdict:
    """Compare ranks by trained vectors with those of vectors as the encoder gives them.

    Profiles and popularity are weighed anew for each, on the moments that said when to stop.

    Args:
        course: what there is to judge on.
        vectors: ``(texts, dim)`` unit rows: the encoder's own.
        trained: the same, mapped.
        plan: of the training.
    """
    centred = functional.normalize(vectors - vectors[: course.actions.catalogue].mean(0), dim=1)
    ranks = []
    for one in (vectors, centred, trained):
        heads = weigh(one, course.batches, course.validation, len(plan.keeps), plan.seed)
        ranks.append(rank(course.actions, course.batches, course.held_out, one.numpy(), heads))
    first, second, third = ranks
    return Verdict(
        first,
        second,
        third,
        gain(third.users, third.popular, first.popular),
        gain(third.users, third.popular, second.popular),
    )
