"""The metadata of rows, for filters."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from store.indexes.filters import Metadata

    #: A row's metadata, to be compared.
    LabelSet = frozenset[tuple[str, str]]

__all__ = ["Labels"]

#: Sets that nobody has any more are let go once there are so many more than rows.
_SPARE = 1_024


class Labels:
    """Rows share sets of labels, ``(field, value)``: a filter looks at sets, not at each row.

    A row costs four bytes, and none while no row has metadata.
    """

    def __init__(self) -> None:
        self._sets: list[LabelSet] = [frozenset()]
        self._numbers: dict[LabelSet, int] = {frozenset(): 0}
        self._of_row = np.zeros(0, np.int32)
        #: Numbers of the sets that have a label: filters do not look at each of very many.
        self._having: dict[tuple[str, str], array[int]] = {}

    def put(self, rows: NDArray[np.int64], metadata: Sequence[Metadata]) -> None:
        """Replace these rows' metadata."""
        numbers = [self._number(one) for one in metadata]
        if not any(numbers) and not len(self._of_row):
            return
        self._reach(int(rows.max(initial=-1)) + 1)
        self._of_row[rows] = numbers

    def clear(self, rows: NDArray[np.int64]) -> None:
        """These rows, which are new, have none."""
        self._of_row[rows[rows < len(self._of_row)]] = 0

    def move(self, source: int, target: int) -> None:
        """Row ``source`` takes the place of ``target``."""
        number = self._of_row[source] if source < len(self._of_row) else 0
        if number or target < len(self._of_row):
            self._reach(target + 1)
            self._of_row[target] = number

    def of(self, row: int) -> Metadata:
        """A row's metadata."""
        found: dict[str, list[str]] = {}
        if row < len(self._of_row) and self._of_row[row]:
            for name, value in sorted(self._sets[self._of_row[row]]):
                found.setdefault(name, []).append(value)
        return found

    def matching(
        self, fields: Mapping[str, Collection[str]], count: int
    ) -> NDArray[np.bool_] | None:
        """``(count,)`` which rows have one of the values in every field; None for no field."""
        if not fields:
            return None
        fits = np.ones(len(self._sets), np.bool_)
        for name, values in fields.items():
            has = np.zeros(len(self._sets), np.bool_)
            for value in values:
                if (having := self._having.get((name, value))) is not None:
                    has[np.frombuffer(having, np.int32)] = True
            fits &= has
        mask = np.full(count, fits[0])
        known = min(count, len(self._of_row))
        mask[:known] = fits[self._of_row[:known]]
        return mask

    def trim(self, count: int) -> None:
        """There are so many rows now: let go of sets that none of them has."""
        if len(self._sets) <= 2 * count + _SPARE:
            return
        # Number 0 is that of no metadata, whether a row has it or not.
        used = np.union1d(self._of_row[:count], np.int32(0))
        self._of_row = np.searchsorted(used, self._of_row[:count]).astype(np.int32)
        self._sets = [self._sets[number] for number in used]
        self._numbers = {labels: number for number, labels in enumerate(self._sets)}
        self._having = {}
        for number, labels in enumerate(self._sets):
            self._note(number, labels)

    def _number(self, metadata: Metadata) -> int:
        labels = frozenset((name, value) for name, values in metadata.items() for value in values)
        number = self._numbers.setdefault(labels, len(self._sets))
        if number == len(self._sets):
            self._sets.append(labels)
            self._note(number, labels)
        return number

    def _note(self, number: int, labels: LabelSet) -> None:
        for label in labels:
            self._having.setdefault(label, array("i")).append(number)

    def _reach(self, count: int) -> None:
        if count > len(self._of_row):
            grown = np.zeros(max(count, len(self._of_row) * 5 // 4), np.int32)
            grown[: len(self._of_row)] = self._of_row
            self._of_row = grown
