"""What training makes small: the loss of each task on a batch of moments."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from encoders.training.encoder.popularity import HALF_LIVES_DAYS

__all__ = [
    "Batch",
    "Candidates",
    "Heads",
    "losses",
    "next_scores",
    "pairs",
    "popularity_scores",
    "profiles",
]

_NEVER = -1e9
#: What the logits begin with: cosines times this, and popularity as it is.
_SCALE = 8.0


class Batch(NamedTuple):
    """Moments as tensors; rows of texts are places in the vectors that are handed in beside it.

    Attributes:
        targets: ``(b,)`` rows of the items that came next.
        past: ``(b, longest)`` rows of the earlier actions' texts.
        weights: ``(keeps, b, longest)``: how much each counts in each profile.
        positive: ``(b,) bool``.
        ratings: ``(b,)``; NaN where there is none.
        importance: ``(b,)``, 1 on average.
    """

    targets: torch.Tensor
    past: torch.Tensor
    weights: torch.Tensor
    positive: torch.Tensor
    ratings: torch.Tensor
    importance: torch.Tensor


class Candidates(NamedTuple):
    """What the targets are told apart from.

    Attributes:
        rows: ``(c,)`` rows of the items.
        known: ``(b, c) bool``: it is the target, or the user took it before.
        correction: ``(c,)``: log of how often each is among them, to be taken away.
        popularity: ``(looks, half-lives, c)`` logs at some times.
        look: ``(b,)``: which of these times was last at each moment.
        of_target: ``(b, half-lives)``: the targets' own.
    """

    rows: torch.Tensor
    known: torch.Tensor
    correction: torch.Tensor
    popularity: torch.Tensor
    look: torch.Tensor
    of_target: torch.Tensor


class Heads(nn.Module):
    """What reads profile and item for each task; only the map is kept after training.

    Args:
        dim: of the vectors.
        keeps: how many profiles.
    """

    def __init__(self, dim: int, keeps: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((keeps,), _SCALE / keeps))
        self.popularity = nn.Parameter(torch.full((len(HALF_LIVES_DAYS),), 0.25))
        self.rating = nn.Linear(dim + keeps, 1)
        self.click = nn.Linear(dim + keeps, 1)
        for head in (self.rating, self.click):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        with torch.no_grad():
            self.rating.bias.fill_(0.7)
            self.click.weight[0, dim:] = _SCALE / keeps


def profiles(vectors: torch.Tensor, batch: Batch) -> torch.Tensor:
    """``(keeps, b, dim)`` unit rows: the fold of the earlier actions' vectors, for each k."""
    folded = [
        functional.embedding_bag(batch.past, vectors, per_sample_weights=weights, mode="sum")
        for weights in batch.weights
    ]
    return functional.normalize(torch.stack(folded), dim=2)


def popularity_scores(heads: Heads, candidates: Candidates) -> torch.Tensor:
    """``(b, c)``: what popularity says of the candidates at each moment."""
    return torch.einsum("lhc,h->lc", candidates.popularity, heads.popularity)[candidates.look]


def next_scores(
    heads: Heads, vectors: torch.Tensor, batch: Batch, candidates: Candidates
) -> torch.Tensor:
    """``(b, 1 + c)`` logits: of the target, and of the candidates; known ones count for nothing."""
    profile = torch.einsum("k,kbd->bd", heads.scale, profiles(vectors, batch))
    target = (profile * vectors[batch.targets]).sum(1) + candidates.of_target @ heads.popularity
    others = profile @ vectors[candidates.rows].T - candidates.correction
    others = others + popularity_scores(heads, candidates)
    return torch.cat([target[:, None], others.masked_fill(candidates.known, _NEVER)], dim=1)


def losses(
    heads: Heads,
    vectors: torch.Tensor,
    batch: Batch,
    candidates: Candidates,
    tasks: tuple[str, ...],
) -> dict[str, torch.Tensor]:
    """The mean loss of each task that the batch has moments for.

    ``next`` is the softmax over target and sampled items, their logits corrected by −log of how
    often they are drawn (Bengio and Senécal, 2008); popularity is in the logits as it was at the
    time, so that the vectors need not learn it. ``rating`` is the squared error on the scale from
    0 to 1, ``click`` the log loss of the item taken and of one that was not.

    Args:
        heads: of the tasks.
        vectors: ``(rows, dim)``, mapped.
        batch: its rows are rows of `vectors`, as the candidates' are.
        candidates: of the batch.
        tasks: wanted.
    """
    found = {}
    liked, rated = batch.positive, ~batch.ratings.isnan()
    if "next" in tasks and liked.any():
        scores = next_scores(heads, vectors, batch, candidates)
        of_each = functional.cross_entropy(
            scores, torch.zeros(len(scores), dtype=torch.long), reduction="none"
        )
        found["next"] = _mean(of_each, liked, batch.importance)
    if "rating" in tasks and rated.any():
        read = pairs(profiles(vectors, batch), vectors[batch.targets])
        guess = heads.rating(read)[:, 0]
        error = (guess - batch.ratings.nan_to_num()).square()
        found["rating"] = _mean(error, rated, batch.importance)
    if "click" in tasks and liked.any():
        profile = profiles(vectors, batch)
        turns = torch.arange(len(liked)) % len(candidates.rows)
        taken = heads.click(pairs(profile, vectors[batch.targets]))[:, 0]
        left = heads.click(pairs(profile, vectors[candidates.rows[turns]]))[:, 0]
        unknown = liked & ~candidates.known[torch.arange(len(liked)), turns]
        loss = _mean(functional.softplus(-taken), liked, batch.importance)
        if unknown.any():
            loss = (loss + _mean(functional.softplus(left), unknown, batch.importance)) / 2
        found["click"] = loss
    return found


def _mean(values: torch.Tensor, chosen: torch.Tensor, importance: torch.Tensor) -> torch.Tensor:
    weights = chosen * importance
    return (values * weights).sum() / weights.sum().clamp_min(1e-9)


def pairs(profile: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """``(b, dim + keeps)``: what a head reads of profiles and an item."""
    cosines = (profile * items).sum(2).T
    return torch.cat([profile.mean(0) * items * len(items[0]) ** 0.5, cosines], dim=1)
