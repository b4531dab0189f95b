"""SASRec and GRU4Rec: nets that know an item by its number.

- SASRec: W.-C. Kang, J. McAuley, *Self-Attentive Sequential Recommendation*, ICDM 2018: items'
  vectors plus those of their positions, causal self-attention, output by the same items' vectors.
- GRU4Rec: B. Hidasi et al., *Session-based Recommendations with Recurrent Neural Networks*, ICLR
  2016, with the cross-entropy and the shared vectors of B. Hidasi, A. Karatzoglou, *Recurrent
  Neural Networks with Top-k Gains*, CIKM 2018.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn
from torch.nn import functional

__all__ = ["Gru4RecNet", "NextItemNet", "SasRecNet"]


class NextItemNet(nn.Module):
    """From items to what foretells the next one; scores are products with the items' vectors.

    Args:
        items: of the catalogue.
        dim: of their vectors.

    Attributes:
        items: the vectors, ``(items, dim)``.
        bias: of the scores, ``(items,)``.
    """

    def __init__(self, items: int, dim: int) -> None:
        super().__init__()
        self.items = nn.Embedding(items, dim)
        nn.init.normal_(self.items.weight, std=1 / math.sqrt(dim))
        self.bias = nn.Parameter(torch.zeros(items))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """``(b, t) int64`` items to ``(b, t, dim)``; a place sees nothing behind it."""
        raise NotImplementedError

    def scores(self, states: torch.Tensor) -> torch.Tensor:
        """``(…, dim)`` states to ``(…, items)`` logits."""
        return functional.linear(states, self.items.weight, self.bias)


class SasRecNet(NextItemNet):
    """Causal self-attention over the last ``length`` items."""

    def __init__(
        self, items: int, dim: int, *, length: int, layers: int, heads: int, dropout: float
    ) -> None:
        super().__init__(items, dim)
        self._positions = nn.Embedding(length, dim)
        nn.init.normal_(self._positions.weight, std=1 / math.sqrt(dim))
        self._scale = math.sqrt(dim)
        self._dropout = nn.Dropout(dropout)
        self._blocks = nn.ModuleList(_Block(dim, heads, dropout) for _ in range(layers))
        self._norm = nn.LayerNorm(dim)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """See `NextItemNet.forward`; t is at most ``length``."""
        places = torch.arange(inputs.shape[1])
        states = self.items(inputs) * self._scale + self._positions(places) * self._scale
        states = self._dropout(states)
        for block in self._blocks:
            states = block(states)
        return cast("torch.Tensor", self._norm(states))


class _Block(nn.Module):
    """Attention and a feed-forward layer, each normed before and added."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self._heads, self._p = heads, dropout
        self._norms = nn.ModuleList((nn.LayerNorm(dim), nn.LayerNorm(dim)))
        self._inner, self._outer = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self._feed = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, dim)
        )
        self._dropout = nn.Dropout(dropout)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        rows, length, dim = states.shape
        q, k, v = (
            part.reshape(rows, length, self._heads, dim // self._heads).transpose(1, 2)
            for part in self._inner(self._norms[0](states)).chunk(3, dim=-1)
        )
        # The fill at the right is seen by none before it, and nothing is learned behind it.
        attended = functional.scaled_dot_product_attention(
            q, k, v, dropout_p=self._p if self.training else 0.0, is_causal=True
        )
        mixed = self._outer(attended.transpose(1, 2).reshape(rows, length, dim))
        states = states + self._dropout(mixed)
        return states + cast("torch.Tensor", self._dropout(self._feed(self._norms[1](states))))


class Gru4RecNet(NextItemNet):
    """A GRU over the items."""

    def __init__(self, items: int, dim: int, *, layers: int, dropout: float) -> None:
        super().__init__(items, dim)
        self._dropout = nn.Dropout(dropout)
        self._gru = nn.GRU(dim, dim, layers, batch_first=True)
        self._scale = math.sqrt(dim)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """See `NextItemNet.forward`."""
        states, _ = self._gru(self._dropout(self.items(inputs) * self._scale))
        return cast("torch.Tensor", self._dropout(states))
