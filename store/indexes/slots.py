"""Which row of a matrix holds which key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["SlotMap"]


class SlotMap:
    """Key ↔ row, the n keys always in rows 0 … n-1.

    A removed key's row is taken over by the last one, so there are never holes: the matrix that
    the map stands for can be scanned from its start to row n.
    """

    __slots__ = ("_keys", "_rows")

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._keys: list[str] = []

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def row(self, key: str) -> int | None:
        """The key's row, or None."""
        return self._rows.get(key)

    def rows(self, keys: Iterable[str]) -> NDArray[np.int64]:
        """Rows of those keys that are held, in the order given."""
        held = self._rows
        return np.array([held[key] for key in keys if key in held], dtype=np.int64)

    def key(self, row: int) -> str:
        """The key in a row.

        Raises:
            IndexError: no such row.
        """
        return self._keys[row]

    def keys(self) -> list[str]:
        """All keys, by row; a copy."""
        return list(self._keys)

    def missing(self, keys: Iterable[str]) -> int:
        """How many of the keys, all different, are not held."""
        return sum(key not in self._rows for key in keys)

    def place(self, keys: Iterable[str]) -> NDArray[np.int64]:
        """The row of each key; those not held take new rows at the end."""
        rows = []
        for key in keys:
            row = self._rows.get(key)
            if row is None:
                row = len(self._keys)
                self._rows[key] = row
                self._keys.append(key)
            rows.append(row)
        return np.array(rows, dtype=np.int64)

    def remove(self, key: str) -> tuple[int, int] | None:
        """Give the key's row up to the last key.

        Returns:
            ``(row, last)``: the caller copies row ``last`` over ``row`` (the same where the key
            was the last one). None where the key is not held.
        """
        row = self._rows.pop(key, None)
        if row is None:
            return None
        last_key = self._keys.pop()
        last = len(self._keys)
        if row != last:
            self._keys[row] = last_key
            self._rows[last_key] = row
        return row, last
