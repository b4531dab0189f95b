"""Trains a `ProfileNet`: the item that a user chose next against others of the catalogue."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from encoders.training.sequence.profile_net import ProfileNet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from encoders.training.sequence.histories import Histories

__all__ = ["ProfileTraining", "ProfileTrainingSettings"]

#: Histories that are answered together, where nothing is learned.
_AT_ONCE = 1024
#: What serving needs of the net, by its names in `store.sequence.SequenceProfile`.
_SERVED = {
    "input_weights": "gru.weight_ih_l0",
    "state_weights": "gru.weight_hh_l0",
    "input_bias": "gru.bias_ih_l0",
    "state_bias": "gru.bias_hh_l0",
    "out_weights": "out.weight",
    "out_bias": "out.bias",
}
_NUMBERS, _RANDOM = "random.torch", "random.numpy"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileTrainingSettings:
    """Sizes, and how it is trained.

    Attributes:
        length: actions that are looked back at.
        hidden: of the GRU's state.
        dropout: share of the state left out.
        rate: of Adam.
        batch: choices of a step.
        negatives: items drawn for a step, against all of which its choices are learned.
        seed: of the weights, of the order, of what is drawn and what is left out.
    """

    length: int = 10
    hidden: int = 128
    dropout: float = 0.2
    rate: float = 1e-3
    batch: int = 64
    negatives: int = 2048
    seed: int = 0


class ProfileTraining:
    """A net in training, one epoch at a time; the same numbers whatever else torch is used for.

    The loss is cross-entropy of the scaled cosines, over the chosen item and items drawn alike of
    the whole catalogue (S. Jean et al., *On Using Very Large Target Vocabulary for Neural Machine
    Translation*, ACL 2015, section 3).

    Args:
        vectors: ``(items, dim) float32`` unit vectors of the catalogue; they stay as they are.
        settings: of net and training.

    Attributes:
        epochs: that were trained.
    """

    def __init__(self, vectors: NDArray[np.float32], settings: ProfileTrainingSettings) -> None:
        self.epochs = 0
        self._settings = settings
        # The row behind the last is what stands for no item.
        nothing = np.zeros((1, vectors.shape[1]), np.float32)
        self._vectors = torch.from_numpy(np.concatenate([vectors, nothing]))
        self._rng = np.random.default_rng(settings.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self._net = ProfileNet(vectors.shape[1], settings.hidden, settings.dropout)
            self._random = torch.get_rng_state()
        self._search = torch.optim.Adam(self._net.parameters(), settings.rate)

    def epoch(self, histories: Histories, targets: NDArray[np.int32]) -> float:
        """Learn from all choices once, in random order; the mean loss, in nats.

        Args:
            histories: what came before each choice; none is empty.
            targets: ``(m,) int32`` what was chosen.
        """
        total = 0.0
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random)
            self._net.train()
            order = self._rng.permutation(len(targets))
            for start in range(0, len(order), self._settings.batch):
                rows = order[start : start + self._settings.batch]
                loss = self._loss(histories.of(rows), torch.from_numpy(targets[rows]).long())
                self._search.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(self._net.parameters(), 1.0)
                self._search.step()
                total += float(loss.detach()) * len(rows)
            self._random = torch.get_rng_state()
        self._net.eval()
        self.epochs += 1
        return total / len(targets)

    def queries(self, histories: Histories) -> NDArray[np.float32]:
        """``(m, dim) float32`` unit vectors."""
        self._net.eval()
        found = np.empty((len(histories), self._vectors.shape[1]), np.float32)
        with torch.inference_mode():
            for start in range(0, len(histories), _AT_ONCE):
                rows = np.arange(start, min(start + _AT_ONCE, len(histories)))
                found[rows] = self._net(*self._inputs(histories.of(rows))).numpy()
        return found

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """What serving needs of the net, by the names of `store.sequence.SequenceProfile`."""
        state = self._net.state_dict()
        return {name: state[of].numpy().copy() for name, of in _SERVED.items()}

    def state(self) -> dict[str, NDArray[Any]]:
        """All that `restore` needs to go on as if it had not been away."""
        found = {f"net.{name}": value.numpy() for name, value in self._net.state_dict().items()}
        for at, of in self._search.state_dict()["state"].items():
            found.update({f"adam.{at}.{name}": value.numpy() for name, value in of.items()})
        drawing = json.dumps(self._rng.bit_generator.state).encode()
        found[_NUMBERS] = self._random.numpy()
        found[_RANDOM] = np.frombuffer(drawing, np.uint8)
        found["epochs"] = np.array([self.epochs], np.int64)
        return {name: np.array(value) for name, value in found.items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `state` gave.

        Raises:
            KeyError, RuntimeError, ValueError: it is of another net, or not whole.
        """
        self._net.load_state_dict(
            {
                name.removeprefix("net."): torch.from_numpy(value.copy())
                for name, value in state.items()
                if name.startswith("net.")
            }
        )
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in state.items():
            if name.startswith("adam."):
                _, at, what = name.split(".")
                moments.setdefault(int(at), {})[what] = torch.from_numpy(value.copy())
        groups = self._search.state_dict()["param_groups"]
        self._search.load_state_dict({"state": moments, "param_groups": groups})
        self._random = torch.from_numpy(state[_NUMBERS].copy())
        self._rng.bit_generator.state = json.loads(state[_RANDOM].tobytes())
        self.epochs = int(state["epochs"][0])

    def identity(self) -> dict[str, object]:
        """What is the same wherever its state can be taken up."""
        return {**asdict(self._settings), "items": len(self._vectors) - 1}

    def _loss(self, histories: Histories, targets: torch.Tensor) -> torch.Tensor:
        queries = self._net(*self._inputs(histories)) * torch.exp(self._net.scale)
        catalogue, count = self._vectors[:-1], self._settings.negatives
        if count >= len(catalogue):
            return functional.cross_entropy(queries @ catalogue.T, targets)
        drawn = torch.from_numpy(self._rng.integers(0, len(catalogue), count))
        others = queries @ catalogue[drawn].T + math.log(len(catalogue) / count)
        others = others.masked_fill(drawn == targets[:, None], -torch.inf)
        own = (queries * catalogue[targets]).sum(dim=1, keepdim=True)
        logits = torch.cat([own, others], dim=1)
        return functional.cross_entropy(logits, torch.zeros_like(targets))

    def _inputs(
        self, histories: Histories
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        # −1, which is no item, is the last row.
        vectors = self._vectors[torch.from_numpy(histories.items).long()]
        features = np.stack([histories.strengths, histories.keeps], axis=2)
        return (
            vectors,
            torch.from_numpy(features),
            torch.from_numpy(histories.weights),
            torch.from_numpy(histories.lengths),
        )
