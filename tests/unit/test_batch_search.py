"""Many queries at once find what each finds by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import pytest
from numpy.typing import NDArray

from store import batch_search
from store.batch_search import search_each
from store.indexes.exact import ExactIndex
from store.indexes.filters import Filter
from store.indexes.protocol import Hits, VectorIndex

DIM, ROWS = 16, 300


@pytest.fixture
def index() -> ExactIndex:
    random = np.random.default_rng(3)
    made = ExactIndex(DIM)
    keys = [f"i{row}" for row in range(ROWS)]
    kinds = [{"category": ("even" if row % 2 == 0 else "odd",)} for row in range(ROWS)]
    made.upsert(keys, random.standard_normal((ROWS, DIM)).astype(np.float32), kinds)
    return made


def counted(index: VectorIndex, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries each search of the index had."""
    sizes: list[int] = []
    search: Callable[..., list[Hits]] = index.search

    def counting(queries: NDArray[np.float32], k: int, where: Filter) -> list[Hits]:
        sizes.append(len(queries))
        return search(queries, k, where)

    monkeypatch.setattr(index, "search", counting)
    return sizes


@pytest.mark.parametrize("k", [1, 7, ROWS + 5])
@pytest.mark.parametrize("fields", [{}, {"category": ("odd",)}])
def test_as_one_by_one(
    index: ExactIndex,
    k: int,
    fields: dict[str, tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_search, "MAX_OVERFETCH", 40)
    random = np.random.default_rng(4)
    queries = random.standard_normal((9, DIM)).astype(np.float32)
    excluded: list[Collection[str]] = []
    for query, count in zip(queries, (0, 1, 5, 40, 41, 299, 300, 3, 0), strict=True):
        # the best ones of all, which the answer would have
        best = index.search(query[np.newaxis], ROWS)[0].keys[:count]
        excluded.append((*best, "not in the index"))
    alone = [
        index.search(query[np.newaxis], k, Filter(keys, fields))[0]
        for query, keys in zip(queries, excluded, strict=True)
    ]
    sizes = counted(index, monkeypatch)
    together = search_each(index, queries, k, excluded, fields)
    assert sizes == [5, 1, 1, 1, 1]
    assert len(together) == len(alone)
    for one, other in zip(together, alone, strict=True):
        assert one.keys == other.keys
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_nothing_is_left_where_all_are_excluded(index: ExactIndex) -> None:
    queries = np.ones((1, DIM), np.float32)
    (hits,) = search_each(index, queries, 5, [[f"i{row}" for row in range(ROWS)]], {})
    assert hits.keys == []
    assert hits.scores.shape == (0,)
