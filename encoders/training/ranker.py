"""Trains R(p, q) of `store.ranker` by cross-entropy over what was served beside what was taken."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from encoders.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Epoch", "RankerNet", "RankerPlan", "Served", "scores", "train_ranker_net"]

#: Of t, tried.
_TEMPERATURES = tuple(2.0**power for power in range(9))


@dataclass(frozen=True, slots=True)
class Served:
    """m choices of one of c items that were served.

    Attributes:
        users: ``(m, dim) float32`` unit vectors of the profiles.
        items: ``(m, c) int64`` rows of the catalogue.
        taken: ``(m,) int64`` which of the c.
    """

    users: NDArray[np.float32]
    items: NDArray[np.int64]
    taken: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RankerPlan:
    """How it is trained; it ends where the validation loss has not fallen for `patience` epochs.

    `dropout` is of the hidden units: there are more weights than choices, as a rule.
    """

    hidden: int = 64
    inner: int = 32
    epochs: int = 30
    patience: int = 4
    batch: int = 32
    rate: float = 1e-3
    decay: float = 1e-2
    dropout: float = 0.5
    seed: int = 0


class Epoch(NamedTuple):
    """Nats a choice; number 0 is before training."""

    number: int
    training: float | None
    validation: float


class RankerNet(nn.Module):
    """As `store.ranker.Ranker` computes it."""

    def __init__(self, dim: int, hidden: int, inner: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.of_user = nn.Linear(dim, hidden, bias=False)
        self.of_item = nn.Linear(dim, hidden)
        self.inner = nn.Linear(hidden, inner)
        self.out = nn.Linear(inner, 1, bias=False)
        self.nearness = nn.Parameter(torch.ones(1))
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.out.weight)

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Scores ``(m, c)`` of users ``(m, dim)`` and items ``(m, c, dim)``."""
        hidden = self.dropout(torch.relu(self.of_user(users)[:, None] + self.of_item(items)))
        near = (items @ users[:, :, None])[..., 0]
        inner = self.dropout(torch.relu(self.inner(hidden)))
        return self.nearness * near + self.out(inner)[..., 0]  # type: ignore[no-any-return] # a tensor

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """By the names of `store.ranker.Ranker`."""
        tensors = {
            "of_user": self.of_user.weight, "of_item": self.of_item.weight,
            "bias": self.of_item.bias, "inner": self.inner.weight, "inner_bias": self.inner.bias,
            "out": self.out.weight[0], "nearness": self.nearness,
        }  # fmt: skip
        return {name: one.detach().numpy().copy() for name, one in tensors.items()}


def train_ranker_net(
    training: Served,
    validation: Served,
    vectors: NDArray[np.float32],
    plan: RankerPlan,
    *,
    checkpoint: Path,
    resume: bool = False,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> tuple[RankerNet, list[Epoch]]:
    """Train by AdamW; the net of the lowest validation loss, which may be that before training.

    Args:
        training: to learn from.
        validation: to stop by.
        vectors: ``(items, dim) float32`` unit rows of the catalogue.
        plan: how.
        checkpoint: written after every epoch.
        resume: go on from it.
        on_epoch: told of each.

    Raises:
        EncoderError: there is no checkpoint to go on from, or it is of another training.
    """
    torch.manual_seed(plan.seed)
    net = RankerNet(vectors.shape[1], plan.hidden, plan.inner, plan.dropout)
    table = torch.from_numpy(vectors)
    _scale(net, training, table)
    optimiser = torch.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=plan.decay)
    identity = f"{plan} on {_fingerprint(training)} and {_fingerprint(validation)}"
    history = [Epoch(0, None, _validate(net, validation, table))]
    best = _copy(net)
    if resume:
        history, best = _take_up(checkpoint, identity, net, optimiser)
    while len(history) <= plan.epochs and not _stale(history, plan.patience):
        number = len(history)
        # one that goes on leaves out the same units as one that was not interrupted
        torch.manual_seed(plan.seed * 1_000 + number)
        net.train()
        order = np.random.default_rng((plan.seed, number)).permutation(len(training.taken))
        total = 0.0
        for start in range(0, len(order), plan.batch):
            chosen = order[start : start + plan.batch]
            optimiser.zero_grad()
            loss = _loss(net, training, chosen, table)
            loss.backward()  # type: ignore[no-untyped-call] # of torch
            optimiser.step()
            total += loss.item() * len(chosen)
        history.append(Epoch(number, total / len(order), _validate(net, validation, table)))
        on_epoch(history[-1])
        if history[-1].validation < min(one.validation for one in history[:-1]):
            best = _copy(net)
        torch.save(
            {
                "identity": identity, "history": [tuple(one) for one in history], "best": best,
                "net": net.state_dict(), "optimiser": optimiser.state_dict(),
            },
            checkpoint,
        )  # fmt: skip
    net.load_state_dict(best)
    return net.eval(), history


def _fingerprint(served: Served) -> str:
    said = hashlib.sha256()
    for array in (served.users, served.items, served.taken):
        said.update(np.ascontiguousarray(array).tobytes())
    return f"{len(served.taken)} choices {said.hexdigest()[:12]}"


def _scale(net: RankerNet, training: Served, table: torch.Tensor) -> None:
    """Before anything else is learned, t is what makes the likeliest chances of cosines.

    Steps of the size that suits the other weights would take thousands to get there, and until then
    what the net learns stands in for nearness, worse.
    """

    def loss(t: float) -> float:
        with torch.no_grad():
            net.nearness.fill_(t)
        return _validate(net, training, table)

    best = min(_TEMPERATURES, key=loss)
    with torch.no_grad():
        net.nearness.fill_(best)


def scores(
    net: RankerNet, served: Served, vectors: NDArray[np.float32], *, at_once: int = 64
) -> NDArray[np.float32]:
    """``(m, c)`` of what was served."""
    table = torch.from_numpy(vectors)
    found = []
    net.eval()
    with torch.no_grad():
        for start in range(0, len(served.taken), at_once):
            users = torch.from_numpy(served.users[start : start + at_once])
            items = torch.from_numpy(served.items[start : start + at_once])
            found.append(net(users, table[items]).numpy())
    return np.concatenate(found)


def _loss(
    net: RankerNet, served: Served, chosen: NDArray[np.int64], table: torch.Tensor
) -> torch.Tensor:
    users = torch.from_numpy(served.users[chosen])
    found = net(users, table[torch.from_numpy(served.items[chosen])])
    return nn.functional.cross_entropy(found, torch.from_numpy(served.taken[chosen]))


def _validate(net: RankerNet, served: Served, table: torch.Tensor) -> float:
    total = 0.0
    net.eval()
    with torch.no_grad():
        for start in range(0, len(served.taken), 64):
            chosen = np.arange(start, min(start + 64, len(served.taken)))
            total += _loss(net, served, chosen, table).item() * len(chosen)
    return total / len(served.taken)


def _stale(history: list[Epoch], patience: int) -> bool:
    losses = [one.validation for one in history]
    return len(losses) - 1 - int(np.argmin(losses)) >= patience


def _copy(net: RankerNet) -> dict[str, Any]:
    return {name: one.detach().clone() for name, one in net.state_dict().items()}


def _take_up(
    checkpoint: Path, identity: str, net: RankerNet, optimiser: torch.optim.Optimizer
) -> tuple[list[Epoch], dict[str, Any]]:
    try:
        found = torch.load(checkpoint, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise EncoderError(
            f"{checkpoint} cannot be taken up ({error}); train anew without --resume"
        ) from error
    if found["identity"] != identity:
        raise EncoderError(
            f"{checkpoint} is of another training ({found['identity']}; this one is {identity}): "
            "give what it was begun with, or train anew without --resume"
        )
    net.load_state_dict(found["net"])
    optimiser.load_state_dict(found["optimiser"])
    return [Epoch(*one) for one in found["history"]], found["best"]
