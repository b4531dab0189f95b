"""The trained map: ``normalise((I + D)(v + b))``, from the encoder's vectors to better ones."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Projection"]


class Projection(nn.Module):
    """One map for items and actions alike, since a profile is folded from the same vectors.

    It begins as the identity on vectors less their mean: D = 0, b = −mean. Texts of one kind share
    much of their direction, which says nothing of what a user likes.

    Args:
        mean: ``(dim,)`` of the catalogue's vectors.
    """

    def __init__(self, mean: torch.Tensor) -> None:
        super().__init__()
        self.shift = nn.Parameter(-mean.clone())
        self.change = nn.Parameter(torch.zeros(len(mean), len(mean)))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """``(n, dim)`` to unit rows."""
        moved = vectors + self.shift
        return nn.functional.normalize(moved + moved @ self.change.T, dim=1)

    def distance(self) -> torch.Tensor:
        """``‖D‖²``: how far it is from the identity."""
        return self.change.square().sum()

    def dense(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The same as ``W v + b`` before the normalisation: W, b."""
        weight = torch.eye(len(self.shift)) + self.change.detach()
        return weight, weight @ self.shift.detach()
