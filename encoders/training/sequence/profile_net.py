"""The net of the profile function: a GRU over action vectors, added to their fold."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["FEATURES", "ProfileNet"]

#: Of an action beside its vector: its strength s, and its k, which says how long it came after the
#: action before it where the policy is ``decay``, and how new it was where it is ``adaptive``.
FEATURES = 2


class ProfileNet(nn.Module):
    """``q = (u + W h) / ‖u + W h‖``; u the fold of the last actions at length 1, h a GRU's state.

    W starts at 0, so that training sets out from the fold: what it finds is what to add. The GRU is
    that of K. Cho et al., *Learning Phrase Representations using RNN Encoder-Decoder*, EMNLP 2014,
    as in PyTorch. `store.sequence` is the same in NumPy.

    Args:
        dim: of the encoder's vectors.
        hidden: of the GRU's state.
        dropout: share of the state left out in training.
    """

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(dim + FEATURES, hidden, batch_first=True)
        self.out = nn.Linear(hidden, dim)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self._dropout = nn.Dropout(dropout)
        #: Logarithm of the factor of the cosines in the softmax; only training needs it.
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(
        self,
        vectors: torch.Tensor,
        features: torch.Tensor,
        weights: torch.Tensor,
        lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Users' query vectors.

        Args:
            vectors: ``(n, t, dim)`` of their last actions, oldest first; rows behind the user's
                own are 0.
            features: ``(n, t, FEATURES)``.
            weights: ``(n, t)`` of the actions in the fold, ``(1−k_j)·s_j·Π_{i>j} k_i``.
            lengths: ``(n,) int64`` how many actions are the user's, at least 1.

        Returns:
            ``(n, dim)`` unit vectors.
        """
        states, _ = self.gru(torch.cat([vectors, features], dim=2))
        last = states[torch.arange(len(states)), lengths - 1]
        folded = functional.normalize((weights[:, :, None] * vectors).sum(dim=1), dim=1)
        return functional.normalize(folded + self.out(self._dropout(last)), dim=1)
