"""A sparse table of weights for pairs of items, to which is added all the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.compiled import compiled
from tidemark.errors import EvaluationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PairWeights"]

#: Kept by default: 100 million pairs take three gigabytes or so.
_MOST = 100_000_000
#: Of the hash table's slots, at most so many are filled.
_FILLED = 0.6
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Knuth's multiplicative hashing
_ONE = np.uint64(1)


class PairWeights:
    """Rows of a matrix of ``items`` × ``items``, in which most is zero.

    A row lies in one piece of a pool, so that it is read as fast as memory gives it, and moves to
    a piece of double the size when it is full; a hash table says where in its row a pair is.

    Args:
        items: of the catalogue.
        most: pairs that are kept.
    """

    def __init__(self, items: int, most: int = _MOST) -> None:
        self._items = items
        self._most = most
        self._starts = np.zeros(items, np.int64)
        self._lengths = np.zeros(items, np.int64)
        self._rooms = np.zeros(items, np.int64)
        self._columns = np.zeros(4_096, np.int32)
        self._weights = np.zeros(4_096, np.float32)
        self._keys = np.zeros(4_096, np.uint64)  # pair + 1; 0 is an empty slot
        self._spots = np.zeros(4_096, np.int32)
        self._used = np.zeros(2, np.int64)  # of the pool, and of the table

    def __len__(self) -> int:
        return int(self._used[1])

    def add(
        self, rows: NDArray[np.int32], columns: NDArray[np.int32], amounts: NDArray[np.float32]
    ) -> None:
        """Add an amount to each pair, in this order.

        Raises:
            EvaluationError: there are more pairs than are kept.
        """
        done = 0
        while True:
            done = _add(
                rows, columns, amounts, done, np.uint64(self._items),
                self._starts, self._lengths, self._rooms, self._columns, self._weights,
                self._keys, self._spots, self._used,
            )  # fmt: skip
            if done == len(rows):
                return
            self._grow()

    def sum_rows(
        self, rows: NDArray[np.int32], weights: NDArray[np.float64], out: NDArray[np.float64]
    ) -> None:
        """Add to ``out``, ``(items,)``, these rows, each times its weight."""
        _sum_rows(
            rows, weights, self._starts, self._lengths, self._columns, self._weights, out
        )  # fmt: skip

    def _grow(self) -> None:
        if len(self) >= self._most:
            raise EvaluationError(
                f"the log has more than {self._most:,} pairs of items that users acted on one "
                "after the other, which is more than is kept in memory; leave out item-knn and "
                "the transitions by naming the others with --only, or evaluate on fewer items"
            )
        if len(self) >= _FILLED * len(self._keys):
            keys, spots = np.zeros(2 * len(self._keys), np.uint64), self._spots
            self._spots = np.zeros(len(keys), np.int32)
            _rehash(self._keys, spots, keys, self._spots)
            self._keys = keys
        else:
            # Also closes the gaps that rows left where they moved.
            size = 2 * int(self._rooms.sum() + self._rooms.max(initial=0)) + 4_096
            columns, weights = np.zeros(size, np.int32), np.zeros(size, np.float32)
            self._used[0] = _pack(
                self._starts, self._lengths, self._rooms,
                self._columns, self._weights, columns, weights,
            )  # fmt: skip
            self._columns, self._weights = columns, weights


@compiled
def _add(
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    amounts: NDArray[np.float32],
    begin: int,
    items: np.uint64,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    rooms: NDArray[np.int64],
    pool_columns: NDArray[np.int32],
    pool_weights: NDArray[np.float32],
    keys: NDArray[np.uint64],
    spots: NDArray[np.int32],
    used: NDArray[np.int64],
) -> int:
    """Returns where it stopped for want of room, or the length."""
    mask = np.uint64(keys.shape[0] - 1)
    for i in range(begin, rows.shape[0]):
        row = rows[i]
        key = np.uint64(row) * items + np.uint64(columns[i]) + _ONE
        mixed = key * _MIX
        at = (mixed ^ (mixed >> np.uint64(32))) & mask
        while keys[at] != np.uint64(0) and keys[at] != key:
            at = (at + _ONE) & mask
        if keys[at] == key:
            pool_weights[starts[row] + spots[at]] += amounts[i]
            continue
        if used[1] >= _FILLED * keys.shape[0]:
            return i
        length = lengths[row]
        if length == rooms[row]:
            room = max(4, 2 * length)
            start = used[0]
            if start + room > pool_columns.shape[0]:
                return i
            for j in range(length):
                pool_columns[start + j] = pool_columns[starts[row] + j]
                pool_weights[start + j] = pool_weights[starts[row] + j]
            starts[row], rooms[row] = start, room
            used[0] = start + room
        keys[at], spots[at] = key, length
        pool_columns[starts[row] + length] = columns[i]
        pool_weights[starts[row] + length] = amounts[i]
        lengths[row] = length + 1
        used[1] += 1
    return len(rows)


@compiled
def _rehash(
    keys: NDArray[np.uint64],
    spots: NDArray[np.int32],
    new_keys: NDArray[np.uint64],
    new_spots: NDArray[np.int32],
) -> None:
    mask = np.uint64(new_keys.shape[0] - 1)
    for i in range(keys.shape[0]):
        key = keys[i]
        if key != np.uint64(0):
            mixed = key * _MIX
            at = (mixed ^ (mixed >> np.uint64(32))) & mask
            while new_keys[at] != np.uint64(0):
                at = (at + _ONE) & mask
            new_keys[at], new_spots[at] = key, spots[i]


@compiled
def _pack(
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    rooms: NDArray[np.int64],
    columns: NDArray[np.int32],
    weights: NDArray[np.float32],
    new_columns: NDArray[np.int32],
    new_weights: NDArray[np.float32],
) -> int:
    """Rows one behind the other; returns the end of the last."""
    used = 0
    for row in range(starts.shape[0]):
        for j in range(lengths[row]):
            new_columns[used + j] = columns[starts[row] + j]
            new_weights[used + j] = weights[starts[row] + j]
        starts[row] = used
        used += int(rooms[row])
    return used


@compiled
def _sum_rows(
    rows: NDArray[np.int32],
    factors: NDArray[np.float64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    columns: NDArray[np.int32],
    weights: NDArray[np.float32],
    out: NDArray[np.float64],
) -> None:
    for i in range(rows.shape[0]):
        start, factor = starts[rows[i]], factors[i]
        for j in range(start, start + lengths[rows[i]]):
            out[columns[j]] += factor * weights[j]
