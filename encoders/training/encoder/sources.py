"""Where the vectors come from that a map is put on: fixed ones, or a model that learns too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["FixedVectors", "VectorSource"]


class VectorSource(Protocol):
    """Vectors of a table of texts, for training.

    Attributes:
        dim: of the vectors.
        rate: of Adam, for its own parameters.
    """

    dim: int
    rate: float

    def parameters(self) -> Iterable[torch.nn.Parameter]:
        """What of it is trained; may be nothing."""

    def table(self) -> torch.Tensor:
        """``(texts, dim)`` unit rows, of all texts as they are now, without gradients."""

    def drawn(
        self, rows: torch.Tensor, targets: torch.Tensor, draws: np.random.Generator
    ) -> torch.Tensor:
        """``(rows, dim)``: for one step of the training, with whatever is to be changed by chance.

        Args:
            rows: of the table.
            targets: places among `rows` of what matters most.
            draws: where chance comes from.
        """

    def state(self) -> dict[str, Any]:
        """Of what is trained; tensors by name."""

    def load(self, state: dict[str, Any]) -> None:
        """Take a state in."""


class FixedVectors:
    """Vectors that were made once: training is arithmetic on matrices alone.

    Args:
        vectors: ``(texts, dim) float32``, unit rows.
        variants: ``(k, texts, dim)``: of other forms of the texts, of which each text is given one
            or its own, by chance, in each step.
        dropout: share of the components that is left out.
    """

    rate = 0.0

    def __init__(
        self,
        vectors: NDArray[np.float32],
        *,
        variants: NDArray[np.float32] | None = None,
        dropout: float = 0.0,
    ) -> None:
        self.dim = vectors.shape[1]
        self._own = torch.from_numpy(vectors)
        self._forms = (
            None
            if variants is None
            else torch.from_numpy(np.concatenate([vectors[None], variants]))
        )
        self._dropout = dropout

    def parameters(self) -> Iterable[torch.nn.Parameter]:
        """None."""
        return ()

    def table(self) -> torch.Tensor:
        """Of the texts' own form."""
        return self._own

    def drawn(
        self, rows: torch.Tensor, targets: torch.Tensor, draws: np.random.Generator
    ) -> torch.Tensor:
        """Each text in a form drawn at random, some components left out."""
        del targets
        if self._forms is None:
            base = self._own[rows]
        else:
            forms = torch.from_numpy(draws.integers(len(self._forms), size=len(rows)))
            base = self._forms[forms, rows]
        if self._dropout:
            kept = draws.random(base.shape, dtype=np.float32) >= self._dropout
            base = base * torch.from_numpy(kept) / (1 - self._dropout)
        return base

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing."""
