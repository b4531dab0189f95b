"""What every `VectorIndex` promises of filters."""

from __future__ import annotations

import numpy as np
import pytest
from index_makers import MAKERS, Make, filled, unit

from store.indexes import Filter
from store.indexes.exact import ExactIndex


@pytest.mark.parametrize("barred", [1, 40, 1500])
def test_excluded_keys_do_not_come_back_and_k_others_do(
    make: Make, error: float, barred: int
) -> None:
    index, keys, vectors = filled(make, 2000)
    exclude = {*keys[:barred], "nobody"}
    hits = index.search(vectors[:1], 10, Filter(exclude=exclude))[0]
    assert len(hits.keys) == 10
    assert not exclude.intersection(hits.keys)
    rest = np.sort(vectors[barred:] @ vectors[0])[::-1][:10]
    np.testing.assert_allclose(hits.scores, rest, atol=error)


@pytest.mark.parametrize("allowed", [3, 17, 400])
@pytest.mark.parametrize("queries", [1, 8])
def test_fields_are_looked_at_within_the_search(
    make: Make, error: float, allowed: int, queries: int
) -> None:
    index, vectors = make(), unit(500)
    keys = [f"k{i}" for i in range(500)]
    worst_first = np.argsort(vectors @ vectors[0])
    horror = {keys[i] for i in worst_first[:allowed]}
    index.upsert(keys, vectors, [{"category": ["Horror"] if k in horror else []} for k in keys])
    found = index.search(vectors[:queries], 10, Filter(fields={"category": ["Horror"]}))
    for query, hits in zip(vectors[:queries], found, strict=True):
        assert len(hits.keys) == min(10, allowed)
        assert horror.issuperset(hits.keys)
        expected = np.sort(vectors[worst_first[:allowed]] @ query)[::-1][:10]
        np.testing.assert_allclose(hits.scores, expected, atol=error)
    assert index.search(vectors[:1], 10, Filter(fields={"category": ["Comedy"]}))[0].keys == []
    assert index.search(vectors[:1], 10, Filter(fields={"category": []}))[0].keys == []


def test_every_field_must_agree_with_any_of_its_values(make: Make) -> None:
    index, vectors = make(), unit(5)
    index.upsert(
        ["a", "b", "c", "d", "e"],
        vectors,
        [
            {"category": ("Horror", "Comedy"), "tenant": ("x",)},
            {"category": ("Comedy",), "tenant": ("y",)},
            {"category": ("War",), "tenant": ("x",)},
            {"tenant": ("x",)},
            {"category": ("Horror",), "tenant": ("x", "y")},
        ],
    )

    def found(exclude: tuple[str, ...] = (), **fields: list[str]) -> str:
        hits = index.search(vectors[:1], 5, Filter(exclude, fields))[0]
        return "".join(sorted(hits.keys))

    assert found() == "abcde"
    assert found(category=["Comedy"]) == "ab"
    assert found(category=["Comedy", "War"]) == "abc"
    assert found(category=["Horror"], tenant=["y"]) == "e"
    assert found(("a",), tenant=["x"]) == "cde"
    assert found(language=["en"]) == ""


def test_metadata_stays_until_it_is_written_again(make: Make) -> None:
    index, vectors = make(), unit(4)
    wanted = Filter(fields={"tenant": ["x"]})
    index.upsert(["a", "b", "c"], vectors[:3], [{"tenant": ["x"]}] * 3)
    index.upsert(["a", "d"], vectors[[1, 3]])
    assert sorted(index.search(vectors[:1], 9, wanted)[0].keys) == ["a", "b", "c"]
    index.upsert(["b"], vectors[1:2], [{"tenant": ["y"]}])
    assert sorted(index.search(vectors[:1], 9, wanted)[0].keys) == ["a", "c"]
    index.delete(["a"])
    index.upsert(["a"], vectors[:1])
    assert index.search(vectors[:1], 9, wanted)[0].keys == ["c"]


def test_metadata_that_changes_again_and_again_is_let_go() -> None:
    index = MAKERS["exact"][0]()
    assert isinstance(index, ExactIndex)
    vectors = unit(1)
    for price in range(5_000):
        index.upsert(["a"], vectors, [{"tenant": ["x"], "price": [str(price)]}])
    assert len(index._labels._sets) < 2_000  # noqa: SLF001
    where = Filter(fields={"tenant": ["x"], "price": ["4999"]})
    assert index.search(vectors, 1, where)[0].keys == ["a"]
    where = Filter(fields={"price": ["4998"]})
    assert index.search(vectors, 1, where)[0].keys == []
