"""What finds rows as they were at one time, and what to do about those written since.

Nothing can be taken out of a graph, nor written in place on a GPU. So rows written since are
looked at one by one beside it, and what it says of them is not believed; when they are many, it
is worn, and built anew.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from store.indexes.accelerator import Rows
    from store.indexes.rows import Best

__all__ = ["FrozenCopy"]

#: Share of the rows, and least number, that are looked at one by one before it is worn.
_WORN_SHARE, _WORN_LEAST = 0.05, 2_048
#: A copy may be in bfloat16: of what is no farther off nothing is to be gained by looking anew.
_ROUNDED = 2.0**-7
_CHUNK = 4_096


class FrozenCopy(ABC):
    """See the module and `store.indexes.accelerator.Accelerator`.

    Args:
        kind: for operators.
        count: rows of the copy.
        effort: at first.
    """

    def __init__(self, kind: str, count: int, effort: int) -> None:
        self.kind = kind
        self.effort = effort
        self._count = count
        #: Whether a row is not what the copy says, of all rows so far.
        self._changed = np.zeros(count, np.bool_)
        self._changed_rows: NDArray[np.int64] | None = None

    @property
    def worn(self) -> bool:
        """Whether too many rows are looked at one by one."""
        return len(self._rows_changed()) > max(_WORN_LEAST, _WORN_SHARE * self._count)

    def catch_up(self, rows: Rows, changed: NDArray[np.int64]) -> None:
        """While it is built: these rows were written since."""
        for start in range(0, len(changed), _CHUNK):
            some = changed[start : start + _CHUNK]
            self.on_written(some, rows.vectors(some))

    def on_written(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """These rows are new, or were written: perhaps with what the copy has of them."""
        known = np.flatnonzero(rows < len(self._changed))
        known = known[~self._changed[rows[known]]]
        held = self._held(rows[known])
        if held is not None:
            off = np.abs(held - vectors[known]).max(axis=1, initial=0.0)
            same = off <= _ROUNDED * np.abs(vectors[known]).max(axis=1, initial=0.0)
            rows = np.delete(rows, known[same])
        self._mark(rows)

    def on_moved(self, source: int, target: int) -> None:
        """The last row is no more, and what it was is now at ``target``."""
        self._mark(np.array([source, target]))
        self._changed = self._changed[:source]  # of a later row with this number all is new
        self._changed_rows = None

    def maintain(self, vectors: Callable[[NDArray[np.int64]], NDArray[np.float32]]) -> bool:
        """Nothing is put off."""
        del vectors
        return False

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        mask: NDArray[np.bool_] | None,
        score: Callable[[NDArray[np.float32], int, NDArray[np.int64]], Best],
        share: Callable[[int, Callable[[int, int], None]], None],
    ) -> Best:
        """Ask the copy; the rows it finds are scored as they are now."""
        del share
        changed = self._rows_changed()
        # What it finds of changed rows is dropped: of these there are few, and fewer near by.
        near = self._near(queries, min(max(self.effort, k), self._count))
        found = []
        for query, one in zip(queries, near, strict=True):
            rows = one[one >= 0]
            rows = rows[rows < len(self._changed)]
            rows = np.concatenate([rows[~self._changed[rows]], changed])
            if mask is not None:
                rows = rows[mask[rows]]
            found.append(score(query[np.newaxis], k, rows))
        return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])

    @abstractmethod
    def _near(self, queries: NDArray[np.float32], wanted: int) -> NDArray[np.int64]:
        """``(n, wanted)`` rows of the copy; -1 where there are no more."""

    def _held(self, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """The copy's vectors of these rows; None where it does not tell."""
        del rows
        return None

    def _mark(self, rows: NDArray[np.int64]) -> None:
        highest = int(rows.max(initial=-1)) + 1
        if highest > len(self._changed):
            new = np.ones(highest - len(self._changed), np.bool_)
            self._changed = np.concatenate([self._changed, new])
            self._changed_rows = None
        if not self._changed[rows].all():
            self._changed[rows] = True
            self._changed_rows = None

    def _rows_changed(self) -> NDArray[np.int64]:
        if self._changed_rows is None:
            self._changed_rows = np.flatnonzero(self._changed)
        return self._changed_rows
