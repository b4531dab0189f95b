"""What the lists of a profile say, read from their MessagePack by compiled code.

Most changes of a profile are one action more, of which one id is needed, and of hundreds of items
seen before the last twenty: so nothing else becomes an object, or is looked up.

A count of -1 says that a list cannot be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.compiled import part
from store.interner import find_code
from store.msgpack_bytes import (
    is_utf8,
    read_array_head,
    read_number,
    read_string,
    same_bytes,
    skip_any,
)
from store.profile import MOST_STRENGTH
from store.ranking.columns import ACTS, NEAR, RECENT
from store.ranking.features import put_context

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.interner import Keys
    from store.ranking.changes import Changes
    from store.ranking.columns import Moment

__all__ = ["Scratch", "find_new", "find_seen", "new_scratch", "put_asker"]

_NULL = 0xC0


class Scratch(NamedTuple):
    """Memory that every reading uses again.

    Attributes:
        spans: ``(RECENT, 2) int64`` where the last ids of a list start and stop, in a ring.
        bits: ``(1,) uint64`` to read floats, whose bytes it holds as a number.
        items: ``(room,) int32`` what a user came to, in order.
        strengths: ``(room,) float64`` s of the actions; NaN where it is not known.
    """

    spans: NDArray[np.int64]
    bits: NDArray[np.uint64]
    items: NDArray[np.int32]
    strengths: NDArray[np.float64]


def new_scratch(room: int) -> Scratch:
    """For one thread, and lists of up to so many bytes: no more items are in them."""
    return Scratch(
        np.zeros((RECENT, 2), np.int64), np.zeros(1, np.uint64),
        np.zeros(room, np.int32), np.zeros(room),
    )  # fmt: skip


@part
def find_seen(keys: Keys, changes: Changes, row: int, scratch: Scratch, moment: Moment) -> int:
    """Fill in all known items that a user who is new here has seen, in their order; how many.

    Nothing was seen before: the moment is of a user with no past.
    """
    buffer, ends = changes.buffer, changes.ends
    begin, middle, end = ends[3 * row], ends[3 * row + 1], ends[3 * row + 2]
    moment.counts[0] = 0
    found = np.int64(0)
    ids, at = read_array_head(buffer, begin, middle)
    for _ in range(ids):
        start, at = read_string(buffer, at, middle)
        if start < 0 or not is_utf8(buffer, start, at):
            return np.int64(-1)
        item = find_code(keys, buffer, start, at)
        if item >= 0:
            scratch.items[found] = item
            scratch.strengths[found] = _last_strength(buffer, middle, end, start, at, scratch.bits)
            found += 1
    return found if at == middle else np.int64(-1)


@part
def find_new(keys: Keys, changes: Changes, row: int, scratch: Scratch, moment: Moment) -> int:
    """Fill in known items of the new actions that the user had not seen, in their order; how many.

    The moment's recent items are as many as are counted with.
    """
    buffer, ends = changes.buffer, changes.ends
    begin, middle, end = ends[3 * row], ends[3 * row + 1], ends[3 * row + 2]
    if _put_recent(keys, buffer, begin, middle, np.int64(NEAR), scratch, moment) < 0:
        return np.int64(-1)
    found = np.int64(0)
    contributions, at = read_array_head(buffer, middle, end)
    for place in range(contributions):
        if place < contributions - changes.new[row]:
            at = skip_any(buffer, at, end)
            if at < 0:
                return np.int64(-1)
            continue
        start, stop, strength, at = _read_contribution(buffer, at, end, scratch.bits)
        if at < 0:
            return np.int64(-1)
        if start == stop:
            continue
        item = find_code(keys, buffer, start, stop)
        if item >= 0 and not _holds_id(buffer, begin, middle, start, stop):
            scratch.items[found] = item
            scratch.strengths[found] = strength
            found += 1
    return found if at == end else np.int64(-1)


@part
def put_asker(keys: Keys, changes: Changes, row: int, scratch: Scratch, moment: Moment) -> bool:
    """Have the moment be that of the row's user before the change; whether it could be read."""
    buffer, ends = changes.buffer, changes.ends
    begin, after = 3 * row, 3 * row + 2
    most = np.int64(RECENT)
    if _put_recent(keys, buffer, ends[begin], ends[begin + 1], most, scratch, moment) < 0:
        return False
    if _put_acts(keys, buffer, ends[after], ends[after + 1], scratch, moment) < 0:
        return False
    asker = changes.asker[row]
    for j in range(moment.profile.shape[0]):
        moment.profile[j] = changes.profiles[asker, j]
    put_context(moment, changes.actions[asker], changes.pauses[asker])
    return True


@part
def _put_recent(
    keys: Keys, buffer: NDArray[np.uint8], begin: int, end: int, most: int, scratch: Scratch,
    moment: Moment,
) -> int:  # fmt: skip
    """Fill in ``moment.recent`` from a list of item ids, oldest first.

    Args:
        keys: codes of the items.
        buffer: the list is ``buffer[begin:end]``.
        begin: see there.
        end: see there.
        most: known items to be found, of the last `RECENT`.
        scratch: used.
        moment: changed.

    Returns:
        How many were found.
    """
    ids, at = read_array_head(buffer, begin, end)
    for place in range(ids):
        start, at = read_string(buffer, at, end)
        if start < 0:
            return -1
        scratch.spans[place % RECENT, 0] = start
        scratch.spans[place % RECENT, 1] = at
    if at != end:
        return -1
    found = 0
    for back in range(min(ids, RECENT)):
        if found == most:
            break
        start, stop = scratch.spans[(ids - 1 - back) % RECENT]
        if not is_utf8(buffer, start, stop):
            return -1
        code = find_code(keys, buffer, start, stop)
        if code >= 0:
            moment.recent[found] = code
            found += 1
    moment.counts[0] = found
    return found


@part
def _holds_id(buffer: NDArray[np.uint8], begin: int, end: int, start: int, stop: int) -> bool:
    """Whether a list of ids that `_put_recent` has read holds ``buffer[start:stop]``, not empty."""
    ids, at = read_array_head(buffer, begin, end)
    last = buffer[stop - 1]
    for _ in range(ids):
        first, at = read_string(buffer, at, end)
        # ids begin alike more often than they end alike
        alike = at - first == stop - start and buffer[at - 1] == last
        if alike and same_bytes(buffer, first, at, buffer, start, stop):
            return True
    return False


@part
def _read_contribution(
    buffer: NDArray[np.uint8], at: int, end: int, bits: NDArray[np.uint64]
) -> tuple[int, int, float, int]:
    """Where the item's id of a `Contribution` starts and stops, its strength, and what follows.

    Without an item it starts and stops at the same place; -1 in the end where it cannot be read.
    """
    fields, at = read_array_head(buffer, at, end)
    if fields != 4 or at < 0:
        return 0, 0, 0.0, -1
    _, at = read_string(buffer, at, end)  # the action
    if not 0 <= at < end:
        return 0, 0, 0.0, -1
    if buffer[at] == _NULL:
        start, stop = at, at
        at += 1
    else:
        start, stop = read_string(buffer, at, end)
        if start < 0 or not is_utf8(buffer, start, stop):
            return 0, 0, 0.0, -1
        at = stop
    _, at = read_number(buffer, at, end, bits)  # k
    if at < 0:
        return 0, 0, 0.0, -1
    strength, at = read_number(buffer, at, end, bits)
    # one that is not finite would be in the sums for good
    if not -MOST_STRENGTH <= strength <= MOST_STRENGTH:
        return 0, 0, 0.0, -1
    return start, stop, strength, at


@part
def _last_strength(
    buffer: NDArray[np.uint8], begin: int, end: int, start: int, stop: int, bits: NDArray[np.uint64]
) -> float:
    """Of the latest contribution of the item ``buffer[start:stop]``; NaN where there is none."""
    found = np.nan
    contributions, at = read_array_head(buffer, begin, end)
    for _ in range(contributions):
        first, last, strength, at = _read_contribution(buffer, at, end, bits)
        if at < 0:
            break
        if same_bytes(buffer, first, last, buffer, start, stop):
            found = strength
    return found


@part
def _put_acts(
    keys: Keys, buffer: NDArray[np.uint8], begin: int, end: int, scratch: Scratch, moment: Moment
) -> int:
    """Fill in the moment's acts from contributions, oldest first; how many there are."""
    held = 0
    contributions, at = read_array_head(buffer, begin, end)
    for _ in range(contributions):
        start, stop, strength, at = _read_contribution(buffer, at, end, scratch.bits)
        if at < 0:
            return -1
        code = find_code(keys, buffer, start, stop) if stop > start else np.int64(-1)
        if code < 0:
            continue
        # the latest stands first, and the oldest leaves
        held = min(held + 1, ACTS)
        for back in range(held - 1, 0, -1):
            moment.acts[back] = moment.acts[back - 1]
            moment.liked[back] = moment.liked[back - 1]
        moment.acts[0] = code
        moment.liked[0] = strength
    if at != end:
        return -1
    moment.counts[1] = held
    return held
