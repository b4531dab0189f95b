"""Bounded ordered sets in blocks, against lists; and that freed blocks are used again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.blocks import UNIT, Windows, clear, contains, fill, grow, has_room, new_windows, remember
from store.compiled import compiled

ROWS = 4


@compiled
def run(windows: Windows, what: int, row: int, values: np.ndarray) -> bool:
    """The compiled functions, which Python cannot call."""
    if what == 0:
        remember(windows, row, values[0])
    elif what == 1:
        clear(windows, row)
    elif what == 2:
        clear(windows, row)
        fill(windows, row, values, 0, values.shape[0])
    elif what == 3:
        return contains(windows, row, values[0])
    else:
        return has_room(windows)
    return True


REMEMBER, CLEAR, FILL, CONTAINS, HAS_ROOM = range(5)


def do(windows: Windows, what: int, row: int, *values: int) -> bool:
    array = np.array(values, windows.data.dtype)
    if not run(windows, HAS_ROOM, 0, array):
        grow(windows)
    return run(windows, what, row, array)


def held(windows: Windows, row: int) -> list[int]:
    first = int(windows.at[row]) * UNIT
    values: list[int] = windows.data[first : first + int(windows.length[row])].tolist()
    return values


rows = st.integers(0, ROWS - 1)
numbers = st.integers(0, 30)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just(REMEMBER), rows, st.lists(numbers, min_size=1, max_size=1)),
        st.tuples(st.just(CLEAR), rows, st.just([])),
        st.tuples(st.just(FILL), rows, st.lists(numbers, max_size=30, unique=True)),
    ),
    max_size=150,
)


@pytest.mark.parametrize("dtype", [np.int32, np.uint64])
@given(limit=st.sampled_from([0, 1, 3, 4, 5, 13, 20]), operations=OPERATIONS)
def test_sets_are_those_of_lists(
    dtype: type[np.generic], limit: int, operations: list[tuple[int, int, list[int]]]
) -> None:
    windows = new_windows(limit, ROWS, dtype)
    top = 2**64 - 40 if dtype is np.uint64 else 0  # hashes use all 64 bits
    lists: list[list[int]] = [[] for _ in range(ROWS)]
    for what, row, drawn in operations:
        values = [top + value for value in drawn]
        do(windows, what, row, *values)
        if what == REMEMBER:
            lists[row] = [one for one in lists[row] if one != values[0]] + values
        else:
            lists[row] = values
        lists[row] = lists[row][max(0, len(lists[row]) - limit) :]
        assert [held(windows, one) for one in range(ROWS)] == lists
    for row in range(ROWS):
        for value in range(top, top + 31):
            assert do(windows, CONTAINS, row, value) == (value in lists[row])


def test_a_freed_block_is_used_again() -> None:
    windows = new_windows(200, ROWS, np.int32)
    for _ in range(100):
        for value in range(200):
            do(windows, REMEMBER, 1, value)
        do(windows, CLEAR, 1)
    # one block of each size, and the one that is nobody's
    assert windows.used[0] == UNIT + windows.sizes.sum()


def test_blocks_are_no_larger_than_needed() -> None:
    windows = new_windows(200, ROWS, np.int32)
    assert windows.sizes.tolist() == [4, 8, 16, 32, 64, 128, 200]
    do(windows, REMEMBER, 0, 7)
    assert windows.used[0] == 2 * UNIT
    do(windows, FILL, 1, *range(9))
    assert windows.used[0] == 2 * UNIT + 16
