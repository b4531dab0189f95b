"""What a table holds, in columns: by user, known or forgotten, and by row, of those with a profile.

Zeros mean "nothing yet" in every column, so that columns grow by zeros. They grow by an eighth and
in place (`realloc`, which remaps large arrays): doubling and copying would take twice the memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.blocks import Windows, clear, grow, has_room, new_windows
from store.compiled import compiled, part

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = [
    "CHANGED",
    "FENCED",
    "LISTED",
    "UNKNOWN",
    "Columns",
    "Rows",
    "Users",
    "add_row",
    "can_add",
    "make_room",
    "mark",
    "new_columns",
    "put_contribution",
    "remove_row",
    "reserve_rows",
    "reserve_users",
]

# Users.row where it is no row; row 0 is nobody's.
UNKNOWN, FENCED = 0, -1
# Users.marks: to be published; has actions that were not published yet.
LISTED, CHANGED = 1, 2

_FIRST = 64


class Users(NamedTuple):
    """By code of the user's id, ``(codes,)``.

    Attributes:
        next_offset: ``(codes, topics)`` the offset after the last applied one; 0 where none is.
        forgotten_ts: event time of the last ``forget``, ms.
        row: of the profile, or `UNKNOWN`, or `FENCED` where only a fence is left.
        marks: `LISTED`, `CHANGED`.
        listed: the codes marked `LISTED`, in the order they were; its length is in `Columns`.
    """

    next_offset: NDArray[np.int64]
    forgotten_ts: NDArray[np.int64]
    row: NDArray[np.int32]
    marks: NDArray[np.uint8]
    listed: NDArray[np.int32]


class Rows(NamedTuple):
    """By row, ``(rows,)``; see `ProfileState` for what they mean.

    Attributes:
        vector: ``(rows, dim)``.
        written: contributions put in so far; the next goes to ``written % limit``.
        actions, items, ks, strengths: ``(rows, limit)`` the contributions, as a ring; codes of
            the vocabulary, item -1 where there is none.
        free: the rows that may be used again; how many is in `Columns`.
    """

    vector: NDArray[np.float32]
    counts: NDArray[np.int64]
    mass: NDArray[np.float64]
    sum_k: NDArray[np.float64]
    sum_k2: NDArray[np.float64]
    last_ts: NDArray[np.int64]
    paced: NDArray[np.float64]
    cos_mean: NDArray[np.float64]
    cos_var: NDArray[np.float64]
    fresh_from: NDArray[np.int64]
    written: NDArray[np.int64]
    actions: NDArray[np.int32]
    items: NDArray[np.int32]
    ks: NDArray[np.float32]
    strengths: NDArray[np.float32]
    free: NDArray[np.int32]


class Columns(NamedTuple):
    """All of a table's.

    Attributes:
        seen: item codes by row.
        events: hashes of event ids by row.
        listed: ``(1,)`` length of ``users.listed``.
        next_row: ``(1,)`` the first row that was never used.
        free: ``(1,)`` length of ``rows.free``.
    """

    users: Users
    rows: Rows
    seen: Windows
    events: Windows
    listed: NDArray[np.int64]
    next_row: NDArray[np.int64]
    free: NDArray[np.int64]


def new_rows(count: int, dim: int, contributions: int) -> Rows:
    """Rows of nobody."""
    ring = (count, contributions)
    return Rows(
        vector=np.zeros((count, dim), np.float32),
        counts=np.zeros(count, np.int64),
        mass=np.zeros(count),
        sum_k=np.zeros(count),
        sum_k2=np.zeros(count),
        last_ts=np.zeros(count, np.int64),
        paced=np.zeros(count),
        cos_mean=np.zeros(count),
        cos_var=np.zeros(count),
        fresh_from=np.zeros(count, np.int64),
        written=np.zeros(count, np.int64),
        actions=np.zeros(ring, np.int32),
        items=np.zeros(ring, np.int32),
        ks=np.zeros(ring, np.float32),
        strengths=np.zeros(ring, np.float32),
        free=np.zeros(count, np.int32),
    )


def new_columns(dim: int, seen: int, contributions: int, events: int) -> Columns:
    """Of no user, with the bounds of what is kept beside the vector."""
    n = _FIRST
    return Columns(
        Users(
            next_offset=np.zeros((n, 0), np.int64),
            forgotten_ts=np.zeros(n, np.int64),
            row=np.zeros(n, np.int32),
            marks=np.zeros(n, np.uint8),
            listed=np.zeros(n, np.int32),
        ),
        new_rows(n, dim, contributions),
        seen=new_windows(seen, n, np.int32),
        events=new_windows(events, n, np.uint64),
        listed=np.zeros(1, np.int64),
        next_row=np.ones(1, np.int64),
        free=np.zeros(1, np.int64),
    )


def reserve_users(columns: Columns, codes: int) -> None:
    """Have room for so many codes."""
    have = len(columns.users.row)
    if codes > have:
        _lengthen(columns.users, max(codes, have + have // 8))


def reserve_rows(columns: Columns, more: int) -> None:
    """Have room for so many more rows."""
    have = len(columns.rows.counts)
    needed = int(columns.next_row[0] - columns.free[0]) + more
    if needed > have:
        length = max(needed, have + max(have // 8, _FIRST))
        _lengthen(columns.rows, length)
        for windows in (columns.seen, columns.events):
            _lengthen((windows.at, windows.length), length)


def make_room(columns: Columns) -> None:
    """Make room where `can_add` found none."""
    reserve_rows(columns, 1)
    grow(columns.seen)
    grow(columns.events)


def _lengthen(columns: tuple[NDArray[Any], ...], length: int) -> None:
    for column in columns:
        # Nothing else refers to a column's memory for longer than a call.
        column.resize((length, *column.shape[1:]), refcheck=False)


@part
def can_add(columns: Columns) -> bool:
    """Whether one more action can be taken in without growing, whosever it is."""
    return (
        (columns.free[0] > 0 or columns.next_row[0] < columns.rows.counts.shape[0])
        and has_room(columns.seen)
        and has_room(columns.events)
    )


@compiled
def mark(columns: Columns, user: int, marks: int) -> None:
    """Have the user published, and set these marks."""
    if columns.users.marks[user] & LISTED == 0:
        columns.users.listed[columns.listed[0]] = user
        columns.listed[0] += 1
    columns.users.marks[user] |= LISTED | marks


@part
def add_row(columns: Columns, user: int) -> int:
    """Give the user a row, all zeros."""
    if columns.free[0] > 0:
        columns.free[0] -= 1
        row = np.int64(columns.rows.free[columns.free[0]])
    else:
        row = columns.next_row[0]
        columns.next_row[0] += 1
    columns.users.row[user] = row
    return row


@part
def remove_row(columns: Columns, user: int) -> None:
    """Take the row of a user who has one; the user is `FENCED` from now on."""
    rows, row = columns.rows, np.int64(columns.users.row[user])
    rows.vector[row] = 0
    rows.counts[row] = 0
    rows.mass[row] = 0
    rows.sum_k[row] = 0
    rows.sum_k2[row] = 0
    rows.last_ts[row] = 0
    rows.paced[row] = 0
    rows.cos_mean[row] = 0
    rows.cos_var[row] = 0
    rows.fresh_from[row] = 0
    rows.written[row] = 0
    clear(columns.seen, row)
    clear(columns.events, row)
    rows.free[columns.free[0]] = row
    columns.free[0] += 1
    columns.users.row[user] = FENCED


@part
def put_contribution(rows: Rows, row: int, action: int, item: int, k: float, s: float) -> None:
    """Add a contribution, in place of the oldest where the ring is full."""
    limit = rows.actions.shape[1]
    if limit > 0:
        at = rows.written[row] % limit
        rows.actions[row, at] = action
        rows.items[row, at] = item
        rows.ks[row, at] = k
        rows.strengths[row, at] = s
        rows.written[row] += 1
