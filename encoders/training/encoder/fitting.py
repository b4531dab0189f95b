"""The training itself: epochs, early stopping, checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from encoders.training.encoder.fitted import Epoch, Fitted
from encoders.training.encoder.objective import Heads, losses
from encoders.training.encoder.projection import Projection

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from encoders.training.encoder.batches import Batches
    from encoders.training.encoder.checkpoint import Checkpoint
    from encoders.training.encoder.plan import Plan
    from encoders.training.encoder.sources import VectorSource

__all__ = ["fit", "fit_heads"]

#: Candidates at which the loss is looked at after each epoch: the catalogue, or this much of it.
_JUDGED_ON = 20_000
_MOST_JUDGED = 2_048
_JUDGED_TOGETHER = 256
_OF_HEADS = 0.02
_HEADS_STEPS = 60


def fit_heads(
    projection: Projection,
    vectors: torch.Tensor,
    batches: Batches,
    training: NDArray[np.int64],
    plan: Plan,
) -> Heads:
    """Fit what reads the vectors while the map stays: what untrained vectors are judged with."""
    heads = Heads(vectors.shape[1], len(plan.keeps))
    with torch.no_grad():
        mapped = projection(vectors)
    search = torch.optim.Adam(heads.parameters(), lr=0.05)
    draws = np.random.default_rng([plan.seed, 0])
    steps = 0
    while steps < _HEADS_STEPS:
        for chosen in batches.shuffled(training, draws)[: _HEADS_STEPS - steps]:
            batch, candidates, rows = batches.make(chosen, *batches.drawn(draws))
            found = losses(heads, mapped[rows], batch, candidates, plan.tasks)
            if found:
                search.zero_grad()
                torch.stack([*found.values()]).sum().backward()  # type: ignore[no-untyped-call]
                search.step()
            steps += 1
    return heads


def fit(
    source: VectorSource,
    batches: Batches,
    training: NDArray[np.int64],
    validation: NDArray[np.int64],
    plan: Plan,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    on_batch: Callable[[int, int, int], None] = lambda *_: None,
) -> Fitted:
    """Train a map on an encoder's vectors until another epoch makes it no better.

    Each epoch's draws come from seed and number of the epoch alone, so that one that is begun
    again from a checkpoint is the same.

    Args:
        source: of the vectors; what of it can be trained is trained with the map.
        batches: of the moments.
        training: places of moments to train on.
        validation: and to stop by.
        plan: how.
        checkpoint: where each epoch is kept, and gone on from where it holds one.
        on_epoch: is told of each.
        on_batch: is told epoch, batch, and how many batches there are.
    """
    table = source.table()
    projection = Projection(table[: batches.catalogue].mean(0))
    heads = fit_heads(projection, table, batches, training, plan)
    search = torch.optim.Adam(
        [
            {"params": [*projection.parameters()], "lr": plan.rate},
            {"params": [*heads.parameters()], "lr": _OF_HEADS},
            {"params": [*source.parameters()], "lr": source.rate},
        ]
    )
    fitted = Fitted(projection, heads, source)
    best = fitted.state()
    found = None if checkpoint is None else checkpoint.stand
    if found is not None:
        fitted.load(found.state)
        search.load_state_dict(found.search)
        fitted.epochs, fitted.best, best = found.epochs, found.best, found.kept
    else:
        fitted.epochs.append(Epoch(0, {}, _judge(fitted, batches, validation, plan)))
        on_epoch(fitted.epochs[0])
    while _goes_on(fitted, plan):
        number = fitted.epochs[-1].number + 1
        trained = _epoch(fitted, search, batches, training, plan, number, on_batch)
        epoch = Epoch(number, trained, _judge(fitted, batches, validation, plan))
        if epoch.total() < fitted.epochs[fitted.best].total():
            fitted.best, best = number, fitted.state()
        fitted.epochs.append(epoch)
        if checkpoint is not None:
            checkpoint.write(fitted, search, best)
        on_epoch(epoch)
    fitted.load(best)
    return fitted


def _goes_on(fitted: Fitted, plan: Plan) -> bool:
    last = fitted.epochs[-1].number
    return last < plan.epochs and last - fitted.best < plan.patience


def _epoch(
    fitted: Fitted,
    search: torch.optim.Optimizer,
    batches: Batches,
    training: NDArray[np.int64],
    plan: Plan,
    number: int,
    on_batch: Callable[[int, int, int], None],
) -> dict[str, float]:
    draws = np.random.default_rng([plan.seed, number])
    sums: dict[str, list[float]] = {}
    order = batches.shuffled(training, draws)
    fitted.source.table()  # as it is now: what a step does not make anew is taken from it
    for done, chosen in enumerate(order, 1):
        batch, candidates, rows = batches.make(chosen, *batches.drawn(draws))
        base = fitted.source.drawn(rows, batch.targets, draws)
        if plan.adversarial and not base.requires_grad:
            base.requires_grad_()
        found = losses(fitted.heads, fitted.projection(base), batch, candidates, plan.tasks)
        if not found:
            continue
        loss = torch.stack([*found.values()]).sum()
        if plan.adversarial:
            (slope,) = torch.autograd.grad(loss, base, retain_graph=True)
            step = plan.adversarial * torch.nn.functional.normalize(slope, dim=1)
            harmed = losses(
                fitted.heads, fitted.projection(base + step), batch, candidates, plan.tasks
            )
            loss = (loss + torch.stack([*harmed.values()]).sum()) / 2
        search.zero_grad()
        (loss + plan.pull * fitted.projection.distance()).backward()  # type: ignore[no-untyped-call]
        search.step()
        for task, value in found.items():
            sums.setdefault(task, []).append(float(value.detach()))
        on_batch(number, done, len(order))
    return {task: float(np.mean(values)) for task, values in sums.items()}


@torch.no_grad()
def _judge(
    fitted: Fitted,
    batches: Batches,
    validation: NDArray[np.int64],
    plan: Plan,
) -> dict[str, float]:
    """The mean loss of each task on evenly spread moments, against the whole catalogue."""
    spread = validation[:: max(1, -(-len(validation) // _MOST_JUDGED))]
    draws = np.random.default_rng(plan.seed)
    items, correction = batches.all(_JUDGED_ON, draws)
    mapped = fitted.projection(fitted.source.table())
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for start in range(0, len(spread), _JUDGED_TOGETHER):
        chosen = spread[start : start + _JUDGED_TOGETHER]
        batch, candidates, rows = batches.make(chosen, items, correction)
        batch = batch._replace(importance=torch.ones(len(chosen)))
        found = losses(fitted.heads, mapped[rows], batch, candidates, plan.tasks)
        rated = int((~batch.ratings.isnan()).sum())
        for task, value in found.items():
            count = rated if task == "rating" else int(batch.positive.sum())
            sums[task] = sums.get(task, 0.0) + float(value) * count
            counts[task] = counts.get(task, 0) + count
    return {task: sums[task] / counts[task] for task in sums}
