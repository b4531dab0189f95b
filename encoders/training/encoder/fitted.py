"""What a training makes: the map and its heads, and what came of each epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from encoders.training.encoder.objective import Heads
    from encoders.training.encoder.projection import Projection
    from encoders.training.encoder.sources import VectorSource

__all__ = ["Epoch", "Fitted"]


@dataclass(frozen=True, slots=True)
class Epoch:
    """What came of one.

    Attributes:
        number: from 1; 0 is before the first.
        training: mean loss of each task; empty before the first.
        validation: the same on the moments that say when to stop.
    """

    number: int
    training: Mapping[str, float]
    validation: Mapping[str, float]

    def total(self) -> float:
        """Of all tasks, by which epochs are compared."""
        return sum(self.validation.values())


@dataclass(slots=True)
class Fitted:
    """A map and its heads, as they were after the best epoch.

    Attributes:
        source: of the vectors that the map is put on.
        epochs: all that there were, the one before the first too.
        best: number of the one that is kept.
    """

    projection: Projection
    heads: Heads
    source: VectorSource
    epochs: list[Epoch] = field(default_factory=list)
    best: int = 0

    def vectors(self) -> NDArray[np.float32]:
        """``(texts, dim)`` unit rows: of all texts, as they come out of the map."""
        with torch.no_grad():
            found: NDArray[np.float32] = self.projection(self.source.table()).numpy()
        return found

    def state(self) -> dict[str, dict[str, Any]]:
        """A copy of all weights."""
        parts = {
            "projection": self.projection.state_dict(),
            "heads": self.heads.state_dict(),
            "source": self.source.state(),
        }
        return {
            part: {name: value.detach().clone() for name, value in weights.items()}
            for part, weights in parts.items()
        }

    def load(self, state: Mapping[str, dict[str, Any]]) -> None:
        """Take such a copy in."""
        self.projection.load_state_dict(state["projection"])
        self.heads.load_state_dict(state["heads"])
        self.source.load(state["source"])
