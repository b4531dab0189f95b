"""Which row of a matrix holds which key."""

from __future__ import annotations

from operator import eq
from typing import TYPE_CHECKING

import numpy as np

from store.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["SlotMap"]

_FIRST_SIZE = 64
#: Entries of the table that are taken, at most, of three.
_TAKEN = 2
_FREE = np.int64(-1)
_ROW = np.int64(0xFFFFFFFF)


class SlotMap:
    """Key ↔ row, the n keys always in rows 0 … n-1.

    A removed key's row is taken over by the last one, so there are never holes: the matrix that
    the map stands for can be scanned from its start to row n.

    A hash table of rows, by linear probing: an entry is half of the key's hash, which is also where
    it belongs, and the row. 12 to 24 bytes a key, where a dict of numbers takes 80.
    """

    __slots__ = ("_keys", "_table")

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._table = np.full(_FIRST_SIZE, _FREE, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.row(key) is not None

    def row(self, key: str) -> int | None:
        """The key's row, or None."""
        at = self._find(key)
        return None if at < 0 else int(self._table[at] & _ROW)

    def rows(self, keys: Iterable[str]) -> NDArray[np.int64]:
        """Rows of those keys that are held, in the order given."""
        found = self._rows(list(keys))
        return found[found >= 0]

    def key(self, row: int) -> str:
        """The key in a row.

        Raises:
            IndexError: no such row.
        """
        return self._keys[row]

    def keys(self) -> list[str]:
        """All keys, by row; a copy."""
        return list(self._keys)

    def place(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """The row of each key; those not held take new rows at the end."""
        rows = self._rows(keys)
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            new: dict[str, int] = {}
            for place in missing.tolist():
                rows[place] = new.setdefault(keys[place], len(self._keys) + len(new))
            self._keys += new
            self._insert(list(new), len(self._keys) - len(new))
        return rows

    def remove(self, key: str) -> tuple[int, int] | None:
        """Give the key's row up to the last key.

        Returns:
            ``(row, last)``: the caller copies row ``last`` over ``row`` (the same where the key
            was the last one). None where the key is not held.
        """
        at = self._find(key)
        if at < 0:
            return None
        row = int(self._table[at] & _ROW)
        _free(self._table, at)
        last_key = self._keys.pop()
        last = len(self._keys)
        if row != last:
            self._keys[row] = last_key
            _set_row(self._table, hash(last_key), last, row)
        return row, last

    def _rows(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """The row of each key, -1 where it is not held."""
        hashes = np.fromiter(map(hash, keys), np.int64, len(keys))
        rows = np.empty(len(keys), np.int64)
        _look_up(self._table, hashes, rows)
        found = np.flatnonzero(rows >= 0).tolist()
        held = self._keys
        same = map(eq, (held[rows[at]] for at in found), (keys[at] for at in found))
        for at, is_it in zip(found, same, strict=True):
            if not is_it:  # another key has the same half of its hash
                place = self._find(keys[at])
                rows[at] = -1 if place < 0 else self._table[place] & _ROW
        return rows

    def _find(self, key: str) -> int:
        """The place of the key's entry, -1 where there is none."""
        code = hash(key)
        place = _next(self._table, code, -1)
        while place >= 0 and self._keys[self._table[place] & _ROW] != key:
            place = _next(self._table, code, place)
        return int(place)

    def _insert(self, new: Sequence[str], first: int) -> None:
        """Enter keys that are not held, in rows from the first on."""
        size = len(self._table)
        while len(self._keys) * 3 > size * _TAKEN:
            size *= 2
        if size > len(self._table):
            entries = self._table[self._table != _FREE]
            self._table = np.full(size, _FREE, np.int64)
            _enter(self._table, entries)
        halves = np.fromiter(map(hash, new), np.int64, len(new)) >> 32
        _enter(self._table, halves << 32 | np.arange(first, first + len(new)))


@compiled
def _look_up(table: NDArray[np.int64], hashes: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
    """The row of the first entry with each hash's half, or -1."""
    mask = table.shape[0] - 1
    for i in range(hashes.shape[0]):
        half = hashes[i] >> 32
        place = half & mask
        while table[place] != -1 and table[place] >> 32 != half:
            place = (place + 1) & mask
        entry = table[place]
        rows[i] = -1 if entry == -1 else entry & 0xFFFFFFFF


@compiled
def _next(table: NDArray[np.int64], code: int, place: int) -> int:
    """The place of the next entry with this hash's half after ``place``, which is -1 at first."""
    mask, half = table.shape[0] - 1, code >> 32
    place = half & mask if place < 0 else (place + 1) & mask
    while table[place] != -1:
        if table[place] >> 32 == half:
            return place
        place = (place + 1) & mask
    return -1


@compiled
def _enter(table: NDArray[np.int64], entries: NDArray[np.int64]) -> None:
    mask = table.shape[0] - 1
    for i in range(entries.shape[0]):
        place = (entries[i] >> 32) & mask
        while table[place] != -1:
            place = (place + 1) & mask
        table[place] = entries[i]


@compiled
def _set_row(table: NDArray[np.int64], code: int, row: int, to: int) -> None:
    """The entry of a row, whose key has this hash, is of another row now."""
    mask, half = table.shape[0] - 1, code >> 32
    place = half & mask
    while table[place] != ((half << 32) | row):
        place = (place + 1) & mask
    table[place] = (half << 32) | to


@compiled
def _free(table: NDArray[np.int64], place: int) -> None:
    """Take an entry out; those after it move up, so that probing for them meets no gap."""
    mask = table.shape[0] - 1
    gap = place
    while True:
        place = (place + 1) & mask
        entry = table[place]
        if entry == -1:
            break
        home = (entry >> 32) & mask
        # It may move where its home is not between the gap and itself.
        if (place - home) & mask >= (place - gap) & mask:
            table[gap] = entry
            gap = place
    table[gap] = -1
