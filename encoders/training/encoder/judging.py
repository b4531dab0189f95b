"""How well vectors foretell what users take next, on actions that nothing was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from encoders.training.encoder.objective import popularity_scores, profiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoders.training.encoder.actions import Actions
    from encoders.training.encoder.batches import Batches
    from encoders.training.encoder.objective import Heads

__all__ = ["AT", "EARLIER", "Gain", "Ranks", "gain", "rank", "recall"]

#: recall@10: what a page of candidates shows.
AT = 10
#: Users of whom less is known are left out.
EARLIER = 3
_TOGETHER = 128
_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Ranks:
    """Places of the items taken among all that the user had not seen, from 0.

    Attributes:
        users: ``(m,)`` whose they are.
        alone: ``(keeps, m)``: by the cosine to each profile.
        popular: ``(m,)``: by profiles and popularity together.
    """

    users: NDArray[np.int32]
    alone: NDArray[np.int64]
    popular: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Gain:
    """A difference of recall@10, and the 95% interval it would be in with other users."""

    value: float
    low: float
    high: float


def recall(ranks: NDArray[np.int64]) -> float:
    """Share of the items that are among the first ten."""
    return float((ranks < AT).mean()) if len(ranks) else 0.0


def gain(users: NDArray[np.int32], better: NDArray[np.int64], worse: NDArray[np.int64]) -> Gain:
    """Of recall@10, of the same moments, by resampling users with all of their moments.

    A cluster bootstrap (Davison and Hinkley, Bootstrap Methods and their Application, 1997,
    section 3.8): what one user does is alike. Percentile method, 2,000 resamples of a fixed seed.
    """
    differences = (better < AT).astype(np.float64) - (worse < AT)
    _, codes = np.unique(users, return_inverse=True)
    sums = np.bincount(codes, differences)
    counts = np.bincount(codes).astype(np.float64)
    draws = np.random.default_rng(0)
    means = np.empty(_RESAMPLES)
    for at in range(_RESAMPLES):
        drawn = draws.integers(len(sums), size=len(sums))
        means[at] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return Gain(float(differences.mean()), float(low), float(high))


@torch.no_grad()
def rank(
    actions: Actions,
    batches: Batches,
    chosen: NDArray[np.int64],
    vectors: NDArray[np.float32],
    heads: Heads,
) -> Ranks:
    """Rank the items of some moments among the whole catalogue less what their users had seen.

    Popularity is what it was at the time; items of one score count as half before each other.

    Args:
        actions: that the moments are of.
        batches: of them.
        chosen: places of moments, ascending.
        vectors: ``(texts, dim)`` unit rows.
        heads: that weigh profiles and popularity.
    """
    seen = _Seen(actions)
    items, correction = np.arange(actions.catalogue), np.zeros(actions.catalogue, np.float32)
    table = torch.from_numpy(vectors)
    alone, popular = [], []
    for start in range(0, len(chosen), _TOGETHER):
        part = chosen[start : start + _TOGETHER]
        batch, candidates, rows = batches.make(part, items, correction)
        mine = table[rows]
        profile = profiles(mine, batch)
        hidden = torch.from_numpy(seen.before(batches.moments.places[part]))
        targets = torch.from_numpy(batches.moments.items[part]).long()
        cosines = profile @ mine[candidates.rows].T
        both = torch.einsum("k,kbc->bc", heads.scale, cosines)
        both = both + popularity_scores(heads, candidates)
        alone.append(torch.stack([_places(one, targets, hidden) for one in cosines]))
        popular.append(_places(both, targets, hidden))
    users = actions.users[batches.moments.places[chosen]]
    return Ranks(users, torch.cat(alone, dim=1).numpy(), torch.cat(popular).numpy())


def _places(scores: torch.Tensor, targets: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    own = scores.gather(1, targets[:, None])
    others = ~hidden
    before = ((scores > own) & others).sum(1)
    level = ((scores == own) & others).sum(1) - (~hidden.gather(1, targets[:, None]))[:, 0].long()
    return before + level // 2


class _Seen:
    """What each user had acted on, looked at in time order."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions
        self._items: dict[int, list[int]] = {}
        self._at = 0

    def before(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``(places, items)``: had the user of the action at each acted on it before?"""
        found = np.zeros((len(places), self._actions.catalogue), np.bool_)
        for row, place in enumerate(places.tolist()):
            for at in range(self._at, place):
                if (item := int(self._actions.items[at])) >= 0:
                    self._items.setdefault(int(self._actions.users[at]), []).append(item)
            self._at = max(self._at, place)
            found[row, self._items.get(int(self._actions.users[place]), [])] = True
        return found
