"""Which items go together: for each item its most frequent partners, in a table of fixed width.

A row is a small hash table of counts. Where a partner finds no room among the few places that are
its own, it takes from the least of them what it brings, and its place once nothing is left (the
rule of Misra & Gries, "Finding repeated elements", 1982): frequent partners stay, rare ones pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.compiled import compiled, part

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NOBODY", "PairTable", "add_pair", "empty_table", "grown_table", "put_rows"]

#: In place of a partner's code.
NOBODY = -1
#: Places that a partner may take.
_PROBES = 8
#: Spreads codes that follow each other (Knuth's multiplicative hash).
_SPREAD = 2654435761


class PairTable(NamedTuple):
    """Rows by item code.

    Attributes:
        partners: ``(n, width) int32`` codes, or `NOBODY`.
        counts: ``(n, width) float32``.
    """

    partners: NDArray[np.int32]
    counts: NDArray[np.float32]


def empty_table(items: int, width: int) -> PairTable:
    """A table for so many items; the width is a power of two."""
    return PairTable(
        np.full((items, width), NOBODY, np.int32), np.zeros((items, width), np.float32)
    )


def grown_table(table: PairTable, items: int) -> PairTable:
    """The same with room for more items."""
    larger = empty_table(items, table.partners.shape[1])
    larger.partners[: len(table.partners)] = table.partners
    larger.counts[: len(table.counts)] = table.counts
    return larger


@part
def _first_place(partner: int) -> np.uint32:
    return np.uint32((np.uint64(partner) * np.uint64(_SPREAD)) >> np.uint64(16))


@part
def add_pair(table: PairTable, item: int, partner: int, amount: float) -> None:
    """Count a partner of an item."""
    partners, counts = table.partners[item], table.counts[item]
    mask = np.uint32(partners.shape[0] - 1)
    begin = _first_place(partner)
    least = begin & mask
    for probe in range(_PROBES):
        place = (begin + np.uint32(probe)) & mask
        if partners[place] == partner:
            counts[place] += np.float32(amount)
            return
        if partners[place] == NOBODY:
            partners[place] = partner
            counts[place] = np.float32(amount)
            return
        if counts[place] < counts[least]:
            least = place
    left = counts[least] - np.float32(amount)
    if left < np.float32(0.0):
        partners[least] = partner
        counts[least] = np.float32(amount)
    else:
        counts[least] = left


def put_rows(
    table: PairTable, begin: int, partners: NDArray[np.int32], counts: NDArray[np.float32]
) -> None:
    """Have the rows from ``begin`` on say what rows of any width said; they are empty yet.

    Args:
        table: changed.
        begin: the first row.
        partners: ``(n, any width) int32``, as in a `PairTable`.
        counts: likewise, ``float32``.
    """
    if partners.shape[1] == table.partners.shape[1]:
        table.partners[begin : begin + len(partners)] = partners
        table.counts[begin : begin + len(counts)] = counts
        return
    # the frequent ones first: in a narrower table the others find no room
    order = np.argsort(-counts, axis=1, kind="stable")
    _add_rows(
        table, begin, np.take_along_axis(partners, order, 1), np.take_along_axis(counts, order, 1)
    )


@compiled
def _add_rows(
    table: PairTable, begin: int, partners: NDArray[np.int32], counts: NDArray[np.float32]
) -> None:
    for row in range(partners.shape[0]):
        for place in range(partners.shape[1]):
            if partners[row, place] != NOBODY:
                _put_pair(table, begin + row, partners[row, place], counts[row, place])


@part
def _put_pair(table: PairTable, item: int, partner: int, count: float) -> None:
    """Put a partner in the first of its places that is free; where none is, it is left out."""
    partners = table.partners[item]
    mask = np.uint32(partners.shape[0] - 1)
    begin = _first_place(partner)
    for probe in range(_PROBES):
        place = (begin + np.uint32(probe)) & mask
        if partners[place] == NOBODY:
            partners[place] = partner
            table.counts[item, place] = count
            return
