"""Small ordered sets of numbers, one a row, in one array: what a user has lately seen and sent.

A set lies in a block of 4, 8, 16… entries, up to its bound, and moves to the next size when it is
full; blocks that become free are used again. So a user with one item costs four entries, not
the bound, and no object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.compiled import part

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = [
    "UNIT",
    "Windows",
    "append",
    "clear",
    "contains",
    "fill",
    "grow",
    "has_room",
    "new_windows",
    "remember",
]

#: Entries of the smallest block. Addresses count in these, so that 32 bits reach 2**33 entries.
UNIT = 4


class Windows(NamedTuple):
    """Bounded sets in the order of last appearance, oldest first. Zeros are empty sets.

    Attributes:
        data: the blocks, int32 or uint64. The first entry of a free block is the address of the
            next free one of its size. Block 0 is nobody's: address 0 means none.
        sizes: entries of each size of block; the last holds ``limit``.
        free: address of the first free block of each size.
        used: ``(1,)`` entries of ``data`` handed out so far.
        limit: most entries of a set.
        at: address of each row's block.
        length: entries of each row's set.
    """

    data: NDArray[np.int32] | NDArray[np.uint64]
    sizes: NDArray[np.int64]
    free: NDArray[np.int32]
    used: NDArray[np.int64]
    limit: int
    at: NDArray[np.int32]
    length: NDArray[np.int32]


def new_windows(limit: int, rows: int, dtype: DTypeLike) -> Windows:
    """Empty sets for so many rows."""
    sizes = [UNIT]
    while sizes[-1] < limit:
        sizes.append(min(2 * sizes[-1], -(-limit // UNIT) * UNIT))
    return Windows(
        data=np.zeros(UNIT + 8 * sizes[-1], dtype),
        sizes=np.array(sizes, np.int64),
        free=np.zeros(len(sizes), np.int32),
        used=np.array([UNIT], np.int64),
        limit=limit,
        at=np.zeros(rows, np.int32),
        length=np.zeros(rows, np.int32),
    )


def grow(windows: Windows) -> None:
    """Make room for more blocks where `has_room` says no."""
    have, largest = len(windows.data), int(windows.sizes[-1])
    if windows.used[0] + largest > have:
        # In place: nothing else refers to the memory for longer than a call.
        windows.data.resize(have + max(have // 8, 8 * largest), refcheck=False)


@part
def has_room(windows: Windows) -> bool:
    """Whether one more `remember`, `append` or `fill` is sure to find a block."""
    return windows.used[0] + windows.sizes[-1] <= windows.data.shape[0]


@part
def _size_of(windows: Windows, length: int) -> int:
    """Which size of block holds so many entries."""
    size = 0
    while windows.sizes[size] < length:
        size += 1
    return size


@part
def _take(windows: Windows, size: int) -> int:
    at = np.int64(windows.free[size])
    if at != 0:
        windows.free[size] = windows.data[at * UNIT]
        return at
    at = windows.used[0] // UNIT
    windows.used[0] += windows.sizes[size]
    return at


@part
def _give_back(windows: Windows, at: int, size: int) -> None:
    windows.data[at * UNIT] = windows.free[size]
    windows.free[size] = at


@part
def contains(windows: Windows, row: int, value: int) -> bool:
    """Whether the value is in the row's set."""
    first = np.int64(windows.at[row]) * UNIT
    for i in range(np.uint64(first), np.uint64(first + windows.length[row])):
        if windows.data[i] == value:
            return True
    return False


@part
def remember(windows: Windows, row: int, value: int) -> None:
    """Put the value last in the row's set, which drops its first where it is full."""
    first = np.int64(windows.at[row]) * UNIT
    last = first + windows.length[row]
    # From the end: what comes again came mostly not long ago.
    i = last - 1
    while i >= first and windows.data[i] != value:
        i -= 1
    if i < first:
        if windows.length[row] < windows.limit:
            append(windows, row, value)
            return
        if windows.limit == 0:
            return
        i = first
    for j in range(np.uint64(i), np.uint64(last - 1)):
        windows.data[j] = windows.data[j + np.uint64(1)]
    windows.data[last - 1] = value


@part
def append(windows: Windows, row: int, value: int) -> None:
    """Put a value last that is not in the row's set, which has less than ``limit`` entries."""
    length = np.int64(windows.length[row])
    at = np.int64(windows.at[row])
    size = _size_of(windows, length)
    if length == 0 or length == windows.sizes[size]:
        larger = _take(windows, 0 if length == 0 else size + 1)
        for i in range(length):
            windows.data[larger * UNIT + i] = windows.data[at * UNIT + i]
        if length > 0:
            _give_back(windows, at, size)
        at = larger
        windows.at[row] = at
    windows.data[at * UNIT + length] = value
    windows.length[row] = length + 1


@part
def clear(windows: Windows, row: int) -> None:
    """Make the row's set empty, and its block free."""
    if windows.length[row] > 0:
        _give_back(windows, windows.at[row], _size_of(windows, windows.length[row]))
    windows.at[row] = 0
    windows.length[row] = 0


@part
def fill(
    windows: Windows,
    row: int,
    values: NDArray[np.int32] | NDArray[np.uint64],
    start: int,
    end: int,
) -> None:
    """Make the row's set, which is empty, ``values[start:end]``; of too many, the last."""
    length = min(end - start, windows.limit)
    if length <= 0:
        return
    at = _take(windows, _size_of(windows, length))
    for i in range(length):
        windows.data[at * UNIT + i] = values[end - length + i]
    windows.at[row] = at
    windows.length[row] = length
