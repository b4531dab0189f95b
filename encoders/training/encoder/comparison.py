"""Each task trained alone beside all together, on the same actions held out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from encoders.training.encoder.fitting import fit, fit_heads
from encoders.training.encoder.judging import rank, recall
from encoders.training.encoder.objective import pairs, profiles
from encoders.training.encoder.projection import Projection
from encoders.training.encoder.sources import FixedVectors
from encoders.training.encoder.weighing import weigh

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoders.training.encoder.course import Course
    from encoders.training.encoder.fitted import Fitted
    from encoders.training.encoder.plan import Plan

__all__ = ["compare_tasks"]


def compare_tasks(
    course: Course, vectors: NDArray[np.float32], plan: Plan, together: Fitted
) -> dict[str, dict[str, float | None]]:
    """Figures of the untrained map, of each task's own, and of the one trained on all.

    So that maps are compared and not heads, heads for every task are fitted anew on each map, which
    stays as it is.

    Args:
        course: what there is to learn from.
        vectors: ``(texts, dim)``: the encoder's own.
        plan: of the training on all tasks.
        together: what came of it.

    Returns:
        By name of the training: ``recall_at_10`` of profiles and popularity together,
        ``rating_rmse`` on the scale from 0 to 1, and ``click_auc``: how often an item that was
        taken is above one that was not. None where the log has nothing to measure it on.
    """
    untrained = Projection(torch.from_numpy(vectors[: course.actions.catalogue].mean(0)))
    maps = {"untrained": untrained}
    for task in plan.tasks:
        alone = replace(plan, tasks=(task,))
        maps[task] = fit(
            FixedVectors(vectors, dropout=plan.dropout),
            course.batches,
            course.training,
            course.validation,
            alone,
        ).projection
    maps["all together"] = together.projection
    return {name: _figures(course, vectors, plan, one) for name, one in maps.items()}


@torch.no_grad()
def _figures(
    course: Course, vectors: NDArray[np.float32], plan: Plan, projection: Projection
) -> dict[str, float | None]:
    with torch.enable_grad():
        heads = fit_heads(
            projection, torch.from_numpy(vectors), course.batches, course.training, plan
        )
    mapped = projection(torch.from_numpy(vectors))
    with torch.enable_grad():
        weighed = weigh(mapped, course.batches, course.validation, len(plan.keeps), plan.seed)
    ranks = rank(course.actions, course.batches, course.held_out, mapped.numpy(), weighed)
    draws = np.random.default_rng(plan.seed)
    moments = course.batches.moments
    after = np.flatnonzero(moments.places >= moments.places[course.held_out[0]])
    errors, above = [], []
    for start in range(0, len(after), plan.batch):
        chosen = after[start : start + plan.batch]
        batch, candidates, rows = course.batches.make(chosen, *course.batches.drawn(draws))
        mine = mapped[rows]
        profile, targets = profiles(mine, batch), mine[batch.targets]
        if "rating" in plan.tasks:
            rated = ~batch.ratings.isnan()
            guess = heads.rating(pairs(profile, targets))[:, 0]
            errors.append((guess - batch.ratings)[rated].square())
        if "click" in plan.tasks:
            turns = torch.arange(len(chosen)) % len(candidates.rows)
            fair = batch.positive & ~candidates.known[torch.arange(len(chosen)), turns]
            taken = heads.click(pairs(profile, targets))[:, 0]
            left = heads.click(pairs(profile, mine[candidates.rows[turns]]))[:, 0]
            above.append((taken > left)[fair].float() + (taken == left)[fair].float() / 2)
    return {
        "recall_at_10": round(recall(ranks.popular), 4) if "next" in plan.tasks else None,
        "rating_rmse": None if (mean := _mean(errors)) is None else round(mean**0.5, 4),
        "click_auc": None if (mean := _mean(above)) is None else round(mean, 4),
    }


def _mean(parts: list[torch.Tensor]) -> float | None:
    values = torch.cat(parts) if parts else torch.empty(0)
    return float(values.mean()) if len(values) else None
