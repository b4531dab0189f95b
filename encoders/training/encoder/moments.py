"""Moments to learn from: a user's latest actions, and the item that came next; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np

from encoders.training.encoder.actions import POSITIVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoders.training.encoder.actions import Actions

__all__ = ["Moments", "find_moments", "fold_weights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What was known of a user just before an action.

    Attributes:
        places: ``(m,) int64`` of the actions, ascending.
        items: ``(m,) int32``: of the action.
        positive: ``(m,) bool``: it was liked, and the item was new to the user.
        ratings: ``(m,) float32`` from 0 to 1, NaN where there is none.
        earlier: ``(m,) int32``: the user's actions before it.
        texts: ``(m, longest) int32``: rows of the texts of the latest of them, the last first;
            0 where there were fewer, with a strength of 0.
        strengths: ``(m, longest) float32``: their s.
    """

    places: NDArray[np.int64]
    items: NDArray[np.int32]
    positive: NDArray[np.bool_]
    ratings: NDArray[np.float32]
    earlier: NDArray[np.int32]
    texts: NDArray[np.int32]
    strengths: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.places)

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Moments:
        """Some of them."""
        return Moments(
            places=self.places[chosen],
            items=self.items[chosen],
            positive=self.positive[chosen],
            ratings=self.ratings[chosen],
            earlier=self.earlier[chosen],
            texts=self.texts[chosen],
            strengths=self.strengths[chosen],
        )


def find_moments(actions: Actions, *, longest: int, others: bool = False) -> Moments:
    """Every action on an item by a user who had acted before.

    Args:
        actions: in time order.
        longest: how many of the user's latest actions are kept.
        others: also those that were not liked or are on an item that the user knows, which the
            tasks `rating` and `click` learn from.
    """
    new, earlier = _look_back(actions.users, actions.items, actions.catalogue)
    positive = new & (actions.strengths >= POSITIVE)
    places = np.flatnonzero((positive | others) & (actions.items >= 0) & (earlier > 0))
    texts = np.zeros((len(places), longest), np.int32)
    strengths = np.zeros((len(places), longest), np.float32)
    _collect(actions.users, actions.texts, actions.strengths, places, texts, strengths)
    return Moments(
        places=places,
        items=actions.items[places],
        positive=positive[places],
        ratings=actions.ratings[places],
        earlier=earlier[places],
        texts=texts,
        strengths=strengths,
    )


def fold_weights(moments: Moments, k: float) -> NDArray[np.float32]:
    """``(m, longest) float32``: how much each earlier action counts in the profile.

    The rule ``p' = k·p + (1−k)·s·v`` with ``k = min(k, n/(n+1))`` (the policy `constant`), written
    out: the b-th last action has ``(1−k_b)·s_b`` times all later k. Its own k is of the n actions
    before it.
    """
    weights = np.zeros_like(moments.strengths)
    kept = np.ones(len(moments))
    for back in range(weights.shape[1]):
        before = moments.earlier - 1 - back
        own = np.minimum(k, np.maximum(before, 0) / (np.maximum(before, 0) + 1.0))
        weights[:, back] = np.where(before >= 0, kept * (1 - own) * moments.strengths[:, back], 0)
        kept = kept * own
    return weights


def _look_back(
    users: NDArray[np.int32], items: NDArray[np.int32], catalogue: int
) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Whether the item is new to the user, and how many actions the user had before."""
    pairs = users.astype(np.int64) * (catalogue + 1) + items
    new = np.zeros(len(users), np.bool_)
    new[np.unique(pairs, return_index=True)[1]] = True
    order = np.argsort(users, kind="stable")
    ranked = users[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    counts = np.arange(len(users)) - np.repeat(starts, np.diff(np.r_[starts, len(users)]))
    earlier = np.empty(len(users), np.int32)
    earlier[order] = counts
    return new, earlier


@numba.njit  # type: ignore[untyped-decorator]
def _collect(
    users: NDArray[np.int32],
    rows: NDArray[np.int32],
    strengths: NDArray[np.float32],
    places: NDArray[np.int64],
    texts: NDArray[np.int32],
    kept: NDArray[np.float32],
) -> None:
    longest = texts.shape[1]
    past = np.zeros((users.max() + 1, longest), np.int32)
    felt = np.zeros((users.max() + 1, longest), np.float32)
    counts = np.zeros(users.max() + 1, np.int64)
    at = 0
    for place in range(len(users)):
        user = users[place]
        if at < len(places) and places[at] == place:
            for back in range(min(longest, counts[user])):
                slot = (counts[user] - 1 - back) % longest
                texts[at, back] = past[user, slot]
                kept[at, back] = felt[user, slot]
            at += 1
        slot = counts[user] % longest
        past[user, slot] = max(rows[place], 0)
        # An action without a text moves no profile.
        felt[user, slot] = strengths[place] if rows[place] >= 0 else 0.0
        counts[user] += 1
