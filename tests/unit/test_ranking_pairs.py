"""Counted pairs: exact where there is room, and the frequent ones where there is none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from ranking_fakes import counted

from store.compiled import compiled
from store.ranking.pairs import PairTable, add_pair, empty_table


@compiled
def add_all(
    table: PairTable,
    items: NDArray[np.int64],
    partners: NDArray[np.int64],
    amounts: NDArray[np.float64],
) -> None:
    for at in range(items.shape[0]):
        add_pair(table, items[at], partners[at], amounts[at])


def filled(width: int, pairs: Sequence[tuple[int, int]], items: int = 64) -> PairTable:
    table = empty_table(items, width)
    rows = np.array(pairs, np.int64).reshape(-1, 2)
    add_all(table, rows[:, 0].copy(), rows[:, 1].copy(), np.ones(len(rows)))
    return table


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), max_size=60))
def test_where_there_is_room_pairs_are_counted_exactly(pairs: list[tuple[int, int]]) -> None:
    table = filled(64, pairs)
    for item in range(4):
        wanted: dict[int, float] = {}
        for one, other in pairs:
            if one == item:
                wanted[other] = wanted.get(other, 0.0) + 1.0
        assert counted(table, item) == wanted


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=200), st.integers(0, 2**32 - 1))
def test_where_there_is_none_counts_are_never_too_high_and_the_frequent_stay(
    rare: list[int], seed: int
) -> None:
    pairs = [(0, code + 10) for code in rare] + [(0, 5)] * (len(rare) + 1)
    np.random.default_rng(seed).shuffle(pairs)
    held = counted(filled(16, pairs), 0)
    assert 5 in held
    for code, count in held.items():
        assert count <= sum(1 for _, other in pairs if other == code)
