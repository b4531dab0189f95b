"""What was known of a user before each action: the latest actions, as in a profile's record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Histories", "histories_before"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Histories:
    """The latest actions on items before each of m moments, oldest first.

    Attributes:
        items: ``(m, t) int32``, −1 behind the last.
        strengths, keeps: ``(m, t) float32``, 0 behind the last.
        weights: ``(m, t) float32`` of the actions in the fold; those of actions without an item
            count in it, though they are left out.
        lengths: ``(m,) int64`` actions of each.
    """

    items: NDArray[np.int32]
    strengths: NDArray[np.float32]
    keeps: NDArray[np.float32]
    weights: NDArray[np.float32]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)

    def of(self, rows: NDArray[np.int64]) -> Histories:
        """Those of some moments."""
        return Histories(
            items=self.items[rows],
            strengths=self.strengths[rows],
            keeps=self.keeps[rows],
            weights=self.weights[rows],
            lengths=self.lengths[rows],
        )


def histories_before(
    places: NDArray[np.int64],
    *,
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    strengths: NDArray[np.float32],
    keeps: NDArray[np.float32],
    length: int,
) -> Histories:
    """What a profile's record says of the user of each action, just before it.

    Args:
        places: ``(m,)`` of actions in the log.
        users: ``(n,)`` of the log, in time order.
        items: ``(n,)``, −1 where there is none.
        strengths: ``(n,) float32``, s by which each is folded.
        keeps: ``(n,) float32``, k by which each is folded.
        length: so many of the latest actions count, those without an item too.
    """
    order = np.argsort(users, kind="stable")
    rank = np.empty(len(users), np.int64)
    rank[order] = np.arange(len(users))
    back = rank[places][:, None] - np.arange(length, 0, -1)
    inside = back >= 0
    before = order[np.maximum(back, 0)]
    own = inside & (users[before] == users[places][:, None])
    # k of those that are not there: 1 would do; their strength is 0.
    k = np.where(own, keeps[before], 1.0).astype(np.float32)
    s = np.where(own, strengths[before], 0.0).astype(np.float32)
    later = np.ones_like(k)
    later[:, :-1] = np.cumprod(k[:, :0:-1], axis=1)[:, ::-1]
    weights = (1 - k) * s * later
    shown = own & (items[before] >= 0)
    # Those with an item come first, in their order; behind them there is nothing.
    packed = np.argsort(~shown, axis=1, kind="stable")
    there = np.take_along_axis(shown, packed, axis=1)

    def of(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(there, np.take_along_axis(values, packed, axis=1), np.float32(0))

    known = np.take_along_axis(items[before], packed, axis=1)
    return Histories(
        items=np.where(there, known, -1).astype(np.int32),
        strengths=of(s),
        keeps=of(k),
        weights=of(weights),
        lengths=shown.sum(axis=1),
    )
