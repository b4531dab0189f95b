"""How much profiles and popularity count beside each other: what vectors are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from encoders.training.encoder.objective import Heads, profiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoders.training.encoder.batches import Batches
    from encoders.training.encoder.objective import Batch, Candidates

__all__ = ["weigh"]

_MOST = 2_048
_TOGETHER = 256
_RIDGE = 1e-4
_NEVER = -1e9


def weigh(
    vectors: torch.Tensor, batches: Batches, chosen: NDArray[np.int64], keeps: int, seed: int
) -> Heads:
    """Find the weights of profiles and popularity at which some moments are likeliest.

    A logistic regression of the item taken against those drawn, by L-BFGS. It has one best answer,
    so that vectors whose cosines lie closer together are at no disadvantage.

    Args:
        vectors: ``(texts, dim)`` unit rows.
        batches: of the moments.
        chosen: places of moments; 2,048 of them, evenly spread, where there are more.
        keeps: how many profiles.
        seed: of what is drawn.

    Returns:
        Heads of which the weights of `next` are set.
    """
    chosen = chosen[batches.moments.positive[chosen]]
    chosen = chosen[:: max(1, -(-len(chosen) // _MOST))]
    items, correction = batches.drawn(np.random.default_rng(seed))
    features, known = [], []
    for start in range(0, len(chosen), _TOGETHER):
        part = chosen[start : start + _TOGETHER]
        batch, candidates, rows = batches.make(part, items, correction)
        features.append(_features(vectors[rows], batch, candidates))
        known.append(candidates.known)
    read = torch.cat(features)
    # of the item taken, which stands first, nothing is to be corrected or left out
    offset = functional.pad(-torch.from_numpy(correction).expand(len(chosen), -1), (1, 0))
    offset = offset.masked_fill(functional.pad(torch.cat(known), (1, 0)), _NEVER)
    taken = torch.zeros(len(chosen), dtype=torch.long)
    heads = Heads(vectors.shape[1], keeps)
    weights = torch.cat([heads.scale, heads.popularity]).detach().requires_grad_()
    search = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        total = functional.cross_entropy(read @ weights + offset, taken)
        total = total + _RIDGE * weights.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    search.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        heads.scale.copy_(weights[:keeps])
        heads.popularity.copy_(weights[keeps:])
    return heads


def _features(vectors: torch.Tensor, batch: Batch, candidates: Candidates) -> torch.Tensor:
    """``(b, 1 + c, keeps + half-lives)``: of the item taken, then of the candidates."""
    profile = profiles(vectors, batch)
    of_target = (profile * vectors[batch.targets]).sum(2).T
    of_others = (profile @ vectors[candidates.rows].T).permute(1, 2, 0)
    popularity = candidates.popularity[candidates.look].transpose(1, 2)
    first = torch.cat([of_target, candidates.of_target], dim=1)
    return torch.cat([first[:, None], torch.cat([of_others, popularity], dim=2)], dim=1)
