"""A net that knows items by number, trained on what there is, and again on what came since."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.nn import functional

from encoders.training.sequence.chunks import batches_of, cut
from encoders.training.sequence.id_nets import Gru4RecNet, SasRecNet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoders.training.sequence.chunks import Chunk
    from encoders.training.sequence.id_nets import NextItemNet

__all__ = ["IdModel", "IdModelSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdModelSettings:
    """Sizes, and how it is trained.

    Attributes:
        net: which of the two.
        dim: of the items' vectors and of the states.
        length: items that are looked back at.
        layers: of attention, or of the GRU.
        heads: of attention.
        dropout: share of values left out in training.
        rate: of Adam.
        decay: of the weights, decoupled (AdamW).
        tokens: actions of a batch.
        negatives: items drawn for a batch, against all of which it is learned; 0: the catalogue.
        epochs: over everything, when it is first trained, and
        most: actions in all of them; a large log has fewer epochs.
        later_epochs: when it is trained again: over the chunks with something new, and
        replay: times as many of the others, drawn at random, and
        later: actions of such an epoch at most, drawn from these.
        seed: of the weights, of the order and of what is left out.
    """

    net: Literal["sasrec", "gru4rec"]
    dim: int = 64
    length: int = 50
    layers: int = 2
    heads: int = 2
    dropout: float = 0.3
    rate: float = 1e-3
    decay: float = 0.0
    tokens: int = 512
    negatives: int = 512
    epochs: int = 20
    most: int = 1_500_000
    later_epochs: int = 2
    replay: float = 1.0
    later: int = 40_000
    seed: int = 0


class IdModel:
    """Trained by cross-entropy over the catalogue, or over many items drawn from it.

    The loss of SASRec's paper has one negative; A. Klenitskiy and A. Vasilev, *Turning Dross Into
    Gold Loss: is BERT4Rec really better than SASRec?*, RecSys 2023, show that with this one it is
    as good as what came after, so the baseline is the stronger one.

    Args:
        items: of the catalogue.
        settings: of net and training.

    Attributes:
        loss: mean of the last epoch trained, in nats; NaN before the first.
    """

    def __init__(self, items: int, settings: IdModelSettings) -> None:
        self.loss = float("nan")
        self._settings = settings
        self._rng = np.random.default_rng(settings.seed)
        # Its own stream of random numbers: others' use of torch's leaves the result as it is.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self._net = _net(items, settings)
            self._random = torch.get_rng_state()
        self._search = torch.optim.AdamW(
            self._net.parameters(), settings.rate, weight_decay=settings.decay
        )

    def fit(
        self,
        users: NDArray[np.int32],
        items: NDArray[np.int32],
        wanted: NDArray[np.bool_],
        known: int,
    ) -> None:
        """Train on all actions there are.

        Args:
            users: ``(n,)`` of actions on items, in time order.
            items: ``(n,)`` that they are on.
            wanted: ``(n,)``: which are to be foretold.
            known: so many of them, from the beginning, it was trained on before.
        """
        settings = self._settings
        epochs = settings.later_epochs
        if not known:
            epochs = max(1, min(settings.epochs, settings.most // len(users)))
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random)
            self._net.train()
            for _ in range(epochs):
                chunks = cut(users, items, wanted, settings.length, self._rng)
                self._epoch(self._chosen(chunks, known) if known else chunks)
            self._random = torch.get_rng_state()
        self._net.eval()

    def scores(self, history: NDArray[np.int32]) -> NDArray[np.float32]:
        """Logits of all items after these, ``(items,) float32``.

        Args:
            history: ``(t,)`` items, the latest last, t ≥ 1.
        """
        recent = torch.from_numpy(history[-self._settings.length :].astype(np.int64))
        with torch.inference_mode():
            states = self._net(recent[None])[0, -1]
            found: NDArray[np.float32] = self._net.scores(states).numpy()
        return found

    def _chosen(self, chunks: list[Chunk], known: int) -> list[Chunk]:
        new = [one for one in chunks if one.newest >= known]
        old = [one for one in chunks if one.newest < known]
        count = min(len(old), round(self._settings.replay * len(new)))
        both = new + [old[one] for one in self._rng.permutation(len(old))[:count].tolist()]
        order = self._rng.permutation(len(both))
        shown = np.cumsum([len(both[one].inputs) for one in order.tolist()])
        kept = max(1, int(np.searchsorted(shown, self._settings.later, side="right")))
        return [both[one] for one in order[:kept].tolist()]

    def _epoch(self, chunks: list[Chunk]) -> None:
        total, count = 0.0, 0
        for inputs, targets in batches_of(chunks, self._settings.tokens, self._rng):
            wanted = torch.from_numpy(targets)
            learned = wanted >= 0
            loss = self._loss(self._net(torch.from_numpy(inputs))[learned], wanted[learned])
            self._search.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._search.step()
            foretold = int(learned.sum())
            total += float(loss.detach()) * foretold
            count += foretold
        self.loss = total / count if count else float("nan")

    def _loss(self, states: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        items, bias = self._net.items.weight, self._net.bias
        count = self._settings.negatives
        if not 0 < count < len(items):
            return functional.cross_entropy(self._net.scores(states), wanted)
        # Drawn alike of all, each stands for so many; S. Jean et al., ACL 2015, section 3.
        drawn = torch.from_numpy(self._rng.integers(0, len(items), count))
        others = functional.linear(states, items[drawn], bias[drawn])
        others = others + math.log(len(items) / count)
        others = others.masked_fill(drawn == wanted[:, None], -torch.inf)
        own = (states * items[wanted]).sum(dim=1) + bias[wanted]
        logits = torch.cat([own[:, None], others], dim=1)
        return functional.cross_entropy(logits, torch.zeros_like(wanted))


def _net(items: int, settings: IdModelSettings) -> NextItemNet:
    if settings.net == "sasrec":
        return SasRecNet(
            items, settings.dim, length=settings.length, layers=settings.layers,
            heads=settings.heads, dropout=settings.dropout,
        )  # fmt: skip
    return Gru4RecNet(items, settings.dim, layers=settings.layers, dropout=settings.dropout)
