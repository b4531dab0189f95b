"""Takes choices, one after another, into what is known of items, and learns from some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.compiled import compiled
from store.ranking.blend import learn_step, remember_choice, scores_of
from store.ranking.columns import ACTS, RECENT
from store.ranking.counting import count_choice
from store.ranking.features import close_moment, open_moment, put_context

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.ranking.blend import Blend, Draws
    from store.ranking.columns import ItemColumns, Moment

__all__ = [
    "Askers",
    "Choices",
    "close_for",
    "empty_askers",
    "open_for",
    "score_for",
    "take_choices",
]


class Askers(NamedTuple):
    """Users at moments, a row each.

    Attributes:
        recent: ``(n, RECENT) int32`` items seen, the latest first.
        recent_counts: ``(n,) int64`` how many of these.
        acts: ``(n, ACTS) int32`` items of the latest actions, the latest first.
        liked: ``(n, ACTS) float32`` their strengths.
        act_counts: ``(n,) int64``.
        profiles: ``(n, dim) float32`` the profiles p, of any length.
        actions: ``(n,) int64`` actions of the user so far.
        pauses: ``(n,) int64`` ms since the latest.
    """

    recent: NDArray[np.int32]
    recent_counts: NDArray[np.int64]
    acts: NDArray[np.int32]
    liked: NDArray[np.float32]
    act_counts: NDArray[np.int64]
    profiles: NDArray[np.float32]
    actions: NDArray[np.int64]
    pauses: NDArray[np.int64]


class Choices(NamedTuple):
    """Items that users came to, each new to its user, in the order they are taken in.

    Attributes:
        items: ``(m,) int32``.
        ts: ``(m,) int64`` ms.
        strengths: ``(m,) float32`` s of the actions; NaN where it is not known.
        recent: ``(m, RECENT) int32`` what the user had seen before, the latest first.
        recent_counts: ``(m,) int64``.
        asker: ``(m,) int64`` the row of `Askers` to learn from the choice with; −1: only count it.
    """

    items: NDArray[np.int32]
    ts: NDArray[np.int64]
    strengths: NDArray[np.float32]
    recent: NDArray[np.int32]
    recent_counts: NDArray[np.int64]
    asker: NDArray[np.int64]


def empty_askers(count: int, dim: int) -> Askers:
    """Rows to be filled in."""
    return Askers(
        np.zeros((count, RECENT), np.int32),
        np.zeros(count, np.int64),
        np.zeros((count, ACTS), np.int32),
        np.zeros((count, ACTS), np.float32),
        np.zeros(count, np.int64),
        np.zeros((count, dim), np.float32),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
    )


@compiled
def open_for(
    items: ItemColumns, moment: Moment, blend: Blend, askers: Askers, row: int, ts: int
) -> None:
    """Open the moment of an asker; `close_for` is to follow."""
    moment.counts[0] = askers.recent_counts[row]
    moment.counts[1] = askers.act_counts[row]
    for back in range(askers.recent_counts[row]):
        moment.recent[back] = askers.recent[row, back]
    for back in range(askers.act_counts[row]):
        moment.acts[back] = askers.acts[row, back]
        moment.liked[back] = askers.liked[row, back]
    for j in range(moment.profile.shape[0]):
        moment.profile[j] = askers.profiles[row, j]
    put_context(moment, askers.actions[row], askers.pauses[row])
    open_moment(items, moment, blend.scale, ts)


@compiled
def close_for(items: ItemColumns, moment: Moment) -> None:
    """Close the moment."""
    close_moment(items, moment)


@compiled
def score_for(
    items: ItemColumns, moment: Moment, blend: Blend, ts: int, wanted: NDArray[np.int32],
    features: NDArray[np.float64], out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Score items, ``(k,)``, for the open moment; see `store.ranking.blend.scores_of`."""
    scores_of(items, moment, blend, ts, wanted, features, out)


@compiled
def take_choices(
    items: ItemColumns, moment: Moment, blend: Blend, draws: Draws, choices: Choices,
    askers: Askers, stamp: int, count: int,
) -> int:  # fmt: skip
    """Take in choices; each is learned from, where it is, before it is counted.

    Args:
        items: changed.
        moment: used.
        blend: changed where there is something to learn.
        draws: changed.
        choices: in their order.
        askers: of those to learn from.
        stamp: a number not used in ``moment.mark`` before, nor any above it.
        count: items of the catalogue.

    Returns:
        The next number not used.
    """
    for place in range(choices.items.shape[0]):
        item, ts, asker = choices.items[place], choices.ts[place], choices.asker[place]
        seen = choices.recent_counts[place]
        if asker >= 0:
            # those further back may be drawn: as they stand among thousands, that is rare
            moment.mark[item] = stamp
            for back in range(seen):
                moment.mark[choices.recent[place, back]] = stamp
            open_for(items, moment, blend, askers, asker, ts)
            learn_step(items, moment, blend, draws, item, ts, stamp, count)
            close_moment(items, moment)
            stamp += 1
        count_choice(items, choices.recent[place], seen, item, ts, choices.strengths[place])
        remember_choice(draws, item)
    return stamp
