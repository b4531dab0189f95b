"""Lists of rows, each row in one of them: what an inverted file is made of.

All lists lie in one array of numbers. One that is full moves to the array's end with more room;
when the end is reached, the array is laid out anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.compiled import compiled, part

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RowLists"]

_LEAST_ROOM = 8


class _Layout(NamedTuple):
    """Of n lists: ``data[at[i] : at[i] + length[i]]`` is list i, with room for ``room[i]``.

    Of row r: it is in list ``of[r]``, -1 for none, at ``place[r]``.
    """

    data: NDArray[np.int32]
    used: NDArray[np.int64]
    at: NDArray[np.int64]
    length: NDArray[np.int64]
    room: NDArray[np.int64]
    of: NDArray[np.int32]
    place: NDArray[np.int32]


class RowLists:
    """So many lists over rows 0 … n-1; eight bytes a row, and as many more for room.

    Args:
        count: lists.
        of: ``(n,) int32`` the list that each row is in at first; -1 for none.
    """

    def __init__(self, count: int, of: NDArray[np.int32]) -> None:
        self._count = count
        self._layout = _laid_out(count, of)

    @property
    def of(self) -> NDArray[np.int32]:
        """The list that each row is in, or -1; do not write."""
        return self._layout.of

    def length(self, number: int) -> int:
        """Rows in a list."""
        return int(self._layout.length[number])

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of these lists, in no order."""
        out = np.empty(int(self._layout.length[numbers].sum()), np.int64)
        _gather(self._layout, numbers, out)
        return out

    def reach(self, rows: int) -> None:
        """Have room for so many rows; those that come are in no list."""
        layout = self._layout
        if rows > len(layout.of):
            grown = max(rows, len(layout.of) * 9 // 8)
            of, place = np.full(grown, -1, np.int32), np.zeros(grown, np.int32)
            of[: len(layout.of)], place[: len(layout.of)] = layout.of, layout.place
            self._layout = layout._replace(of=of, place=place)

    def put(self, rows: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
        """Move each row to a list, or with -1 out of the one it is in."""
        done = _put(self._layout, rows, numbers, 0)
        while done < len(rows):
            self._layout = _laid_out(self._count, self._layout.of)
            done = _put(self._layout, rows, numbers, done)


def _laid_out(count: int, of: NDArray[np.int32]) -> _Layout:
    held = np.flatnonzero(of >= 0)
    numbers = of[held]
    length = np.bincount(numbers, minlength=count).astype(np.int64)
    room = length + np.maximum(length // 4, _LEAST_ROOM)
    at = np.cumsum(room) - room
    used = int(room.sum())
    layout = _Layout(
        data=np.empty(used + max(used // 4, 64 * _LEAST_ROOM), np.int32),
        used=np.array([used], np.int64),
        at=at,
        length=np.zeros(count, np.int64),
        room=room,
        of=of.copy(),
        place=np.zeros(len(of), np.int32),
    )
    _fill(layout, held)
    return layout


@compiled
def _fill(lists: _Layout, rows: NDArray[np.int64]) -> None:
    for i in range(rows.shape[0]):
        row = rows[i]
        number = lists.of[row]
        place = lists.length[number]
        lists.data[lists.at[number] + place] = row
        lists.place[row] = place
        lists.length[number] = place + 1


@compiled
def _gather(lists: _Layout, numbers: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    n = 0
    for i in range(numbers.shape[0]):
        start = lists.at[numbers[i]]
        for j in range(lists.length[numbers[i]]):
            out[n] = lists.data[start + j]
            n += 1


@compiled
def _put(lists: _Layout, rows: NDArray[np.int64], numbers: NDArray[np.int64], begin: int) -> int:
    """How many are done; fewer than there are where the array is full."""
    for i in range(begin, rows.shape[0]):
        row, number = rows[i], numbers[i]
        before = lists.of[row]
        if before == number:
            continue
        if number >= 0 and lists.length[number] == lists.room[number] and not _move(lists, number):
            return i
        if before >= 0:
            last = lists.length[before] - 1
            moved = lists.data[lists.at[before] + last]
            lists.data[lists.at[before] + lists.place[row]] = moved
            lists.place[moved] = lists.place[row]
            lists.length[before] = last
        lists.of[row] = number
        if number >= 0:
            place = lists.length[number]
            lists.data[lists.at[number] + place] = row
            lists.place[row] = place
            lists.length[number] = place + 1
    return int(rows.shape[0])


@part
def _move(lists: _Layout, number: int) -> bool:
    """To the array's end, with half as much room again; whether there was any."""
    room = lists.room[number] + lists.room[number] // 2 + _LEAST_ROOM
    start = lists.used[0]
    if start + room > lists.data.shape[0]:
        return False
    before = lists.at[number]
    for j in range(lists.length[number]):
        lists.data[start + j] = lists.data[before + j]
    lists.at[number] = start
    lists.room[number] = room
    lists.used[0] = start + room
    return True
