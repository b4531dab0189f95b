"""Takes what users came to, one change of a profile after another, into what is known of items.

It learns from some of them. A choice is an item that is new to its user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.compiled import compiled, part
from store.ranking.blend import learn_step, remember_choice, scores_of
from store.ranking.changes import ALL_SEEN
from store.ranking.columns import RECENT
from store.ranking.counting import count_choice
from store.ranking.features import close_moment, open_moment
from store.ranking.packed import find_new, find_seen, put_asker

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.interner import Keys
    from store.ranking.blend import Blend, Draws
    from store.ranking.changes import Changes
    from store.ranking.columns import ItemColumns, Moment
    from store.ranking.packed import Scratch

__all__ = [
    "POSITIVE", "Tally", "close_for", "new_tally", "open_for", "score_for", "take_changes",
]  # fmt: skip

#: An action that is liked so much is one to learn from: a click, a rating of 3.5 of 5.
POSITIVE = 0.5


class Tally(NamedTuple):
    """What was done so far, each ``(1,) int64``.

    Attributes:
        counted: choices counted.
        learned: choices learned from.
        unreadable: changes left out, as a list of theirs cannot be read.
        stamp: a number that is not in ``moment.mark``, nor any above it.
    """

    counted: NDArray[np.int64]
    learned: NDArray[np.int64]
    unreadable: NDArray[np.int64]
    stamp: NDArray[np.int64]


def new_tally() -> Tally:
    """Of nothing yet."""
    counted, learned, unreadable = np.zeros((3, 1), np.int64)
    return Tally(counted, learned, unreadable, np.ones(1, np.int64))


@compiled
def open_for(
    items: ItemColumns, moment: Moment, blend: Blend, keys: Keys, changes: Changes,
    scratch: Scratch, ts: int,
) -> bool:  # fmt: skip
    """Open the moment of the first row's user; `close_for` is to follow where it could be read."""
    if not put_asker(keys, changes, np.int64(0), scratch, moment):
        return False
    open_moment(items, moment, blend.scale, ts)
    return True


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
def take_changes(
    items: ItemColumns, moment: Moment, blend: Blend, draws: Draws, keys: Keys, changes: Changes,
    scratch: Scratch, tally: Tally, count: int,
) -> None:  # fmt: skip
    """Take in changes; a choice is learned from, where it is, before it is counted.

    Args:
        items: changed.
        moment: used.
        blend: changed where there is something to learn.
        draws: changed.
        keys: codes of the items.
        changes: in their order.
        scratch: used.
        tally: changed.
        count: items of the catalogue.
    """
    for row in range(changes.new.shape[0]):
        learns = changes.asker[row] >= 0
        if changes.new[row] == ALL_SEEN:
            found = find_seen(keys, changes, row, scratch, moment)
        else:
            found = find_new(keys, changes, row, scratch, moment)
        if found > 0 and learns and not put_asker(keys, changes, row, scratch, moment):
            found = np.int64(-1)
        if found < 0:
            tally.unreadable[0] += 1
        ts = changes.ts[row]
        # What came late is learned from as of now: counts hold what came after it already.
        now = max(ts, items.latest[0])
        for place in range(found):
            item, strength = scratch.items[place], scratch.strengths[place]
            if _is_recent(moment, item):
                continue
            known = items.known[item]
            if learns and known and moment.counts[0] > 0 and strength >= POSITIVE:
                stamp = tally.stamp[0]
                # those further back may be drawn: as they stand among thousands, that is rare
                moment.mark[item] = stamp
                for back in range(moment.counts[0]):
                    moment.mark[moment.recent[back]] = stamp
                open_moment(items, moment, blend.scale, now)
                if learn_step(items, moment, blend, draws, item, now, stamp, count):
                    tally.learned[0] += 1
                close_moment(items, moment)
                tally.stamp[0] += 1
            learns = False
            _count(items, moment, draws, item, ts, strength, tally)


@part
def _is_recent(moment: Moment, item: int) -> bool:
    for back in range(moment.counts[0]):
        if moment.recent[back] == item:
            return True
    return False


@part
def _count(
    items: ItemColumns, moment: Moment, draws: Draws, item: int, ts: int, strength: float,
    tally: Tally,
) -> None:  # fmt: skip
    """Count a choice of the moment's user; then it is the latest item that the user has seen."""
    count_choice(items, moment.recent, moment.counts[0], item, ts, np.float32(strength))
    remember_choice(draws, item)
    tally.counted[0] += 1
    held = min(moment.counts[0] + 1, RECENT)
    for back in range(held - 1, 0, -1):
        moment.recent[back] = moment.recent[back - 1]
    moment.recent[0] = item
    moment.counts[0] = held
