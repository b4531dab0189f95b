"""Users as a log is replayed: what the profiles of a running system would say of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.columns import new_rows
from store.compiled import part
from store.fold import fold_action
from store.ranking.columns import ACTS, RECENT
from store.ranking.features import put_context

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.columns import Rows
    from store.fold import Rule
    from store.ranking.columns import ItemColumns, Moment

__all__ = ["SEEN", "UserColumns", "act", "is_seen", "new_users", "put_user", "see"]

#: Seen items that are kept of a user: as `memory.seen` has it by default.
SEEN = 200


class UserColumns(NamedTuple):
    """Rows by user code.

    Attributes:
        seen: ``(n, SEEN) int32`` items in the order of last appearance, oldest first.
        seen_counts: ``(n,) int64``.
        acts: ``(n, ACTS) int32`` items of the latest actions, oldest first.
        liked: ``(n, ACTS) float32`` their strengths.
        act_counts: ``(n,) int64``.
        rows: the profiles p with what their policy remembers, as a worker holds them.
    """

    seen: NDArray[np.int32]
    seen_counts: NDArray[np.int64]
    acts: NDArray[np.int32]
    liked: NDArray[np.float32]
    act_counts: NDArray[np.int64]
    rows: Rows


def new_users(count: int, dim: int) -> UserColumns:
    """Users who have done nothing."""
    return UserColumns(
        np.zeros((count, SEEN), np.int32),
        np.zeros(count, np.int64),
        np.zeros((count, ACTS), np.int32),
        np.zeros((count, ACTS), np.float32),
        np.zeros(count, np.int64),
        new_rows(count, dim, 0),
    )


@part
def put_user(users: UserColumns, user: int, moment: Moment, ts: int) -> None:
    """Have the moment be the user's at ``ts``."""
    seen = users.seen_counts[user]
    count = min(seen, np.int64(RECENT))
    for back in range(count):
        moment.recent[back] = users.seen[user, seen - 1 - back]
    acts = users.act_counts[user]
    for back in range(acts):
        moment.acts[back] = users.acts[user, acts - 1 - back]
        moment.liked[back] = users.liked[user, acts - 1 - back]
    moment.counts[0] = count
    moment.counts[1] = acts
    for j in range(moment.profile.shape[0]):
        moment.profile[j] = users.rows.vector[user, j]
    put_context(moment, users.rows.counts[user], ts - users.rows.last_ts[user])


@part
def is_seen(users: UserColumns, user: int, item: int) -> bool:
    """Whether the item is among the user's seen ones."""
    for place in range(users.seen_counts[user]):
        if users.seen[user, place] == item:
            return True
    return False


@part
def see(users: UserColumns, user: int, item: int) -> None:
    """The item is now the one that the user saw last."""
    row, count = users.seen[user], users.seen_counts[user]
    at = 0  # the oldest goes where there is no room
    known = False
    for place in range(count):
        if row[place] == item:
            at, known = place, True
            break
    if not known and count < row.shape[0]:
        row[count] = item
        users.seen_counts[user] = count + 1
        return
    for place in range(at, count - 1):
        row[place] = row[place + 1]
    row[count - 1] = item


@part
def act(
    users: UserColumns, user: int, items: ItemColumns, item: int, strength: float, weight: float,
    ts: int, rule: Rule,
) -> None:  # fmt: skip
    """Remember an action, and fold it into the user's profile as the worker does."""
    acts = users.act_counts[user]
    if acts == users.acts.shape[1]:
        acts -= 1
        for place in range(acts):
            users.acts[user, place] = users.acts[user, place + 1]
            users.liked[user, place] = users.liked[user, place + 1]
    users.acts[user, acts] = item
    users.liked[user, acts] = strength
    users.act_counts[user] = acts + 1
    # of an item's row the vector, without the words that may be beside it
    vector = items.vectors[item, : users.rows.vector.shape[1]]
    fold_action(users.rows, user, vector, strength, weight, ts, rule)
