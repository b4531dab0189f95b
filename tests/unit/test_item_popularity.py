"""Popularity as a coordinate of the items' vectors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from store_fakes import (
    DIM,
    FakeRecord,
    X,
    Y,
    item_record,
    make_state,
    make_view,
    profile_record,
    tombstone,
)

from store.catalogue import Wanted
from store.indexes.faiss_flat import FaissFlatIndex
from store.indexes.growing import GrowingIndex, Growth
from store.item_popularity import EXTRA, PopularityCoordinate
from store.popularity import Popularity
from store.question import answered
from store.view import RetrievalView


def settled(view: RetrievalView) -> None:
    """Until popularity is followed."""
    for _ in range(3):
        view.maintain()


def scores(view: RetrievalView, weight: float) -> dict[str, float]:
    found = answered(view.answers.ask_items(X, 9, wanted=Wanted(popularity=weight)))
    return {one.item_id: one.score for one in found}


def view_of(seen: dict[str, list[str]]) -> RetrievalView:
    """Items x and y, and users by what they have seen."""
    view = make_view()
    view.apply_items([item_record("x", X), item_record("y", Y)])
    put(view, seen)
    return view


def put(view: RetrievalView, seen: dict[str, list[str]], offset: int = 0) -> None:
    records = [profile_record(one, make_state(seen=s, offset=offset)) for one, s in seen.items()]
    view.apply_profiles(records, lambda: 0)
    settled(view)


def test_a_score_is_the_cosine_and_what_popularity_adds() -> None:
    view = view_of({"a": ["y"], "b": ["y"], "c": ["y", "x"]})
    share = math.log1p(1) / math.log1p(3)
    assert scores(view, 0.0) == pytest.approx({"x": 1.0, "y": 0.0})
    # in 32 steps
    assert scores(view, 0.5) == pytest.approx({"x": 1.0 + 0.5 * share, "y": 0.5}, abs=0.5 / 64)
    assert list(scores(view, 4.0)) == ["y", "x"]


def test_popularity_rises_and_falls_with_the_users() -> None:
    view = view_of({"a": ["y"], "b": ["y"]})
    assert scores(view, 1.0) == pytest.approx({"x": 1.0, "y": 1.0})
    put(view, {"a": ["x"], "b": ["x"]}, offset=1)
    assert scores(view, 1.0) == pytest.approx({"x": 2.0, "y": 0.0})
    view.apply_profiles([tombstone("a", 9), tombstone("b", 9)], lambda: 0)
    settled(view)
    assert scores(view, 1.0) == pytest.approx({"x": 1.0, "y": 0.0})


def test_an_item_that_is_written_again_stays_as_popular() -> None:
    view = view_of({"a": ["y"]})
    view.apply_items([item_record("y", X)])
    assert scores(view, 1.0)["y"] == pytest.approx(2.0)
    view.apply_items([item_record("z", Y)])
    assert scores(view, 1.0)["z"] == pytest.approx(0.0)


def test_it_counts_for_candidates_and_not_in_what_is_told_of_an_item() -> None:
    view = view_of({"a": ["y"], "b": ["y"]})
    put(view, {"new": []}, offset=2)
    wanted = Wanted(popularity=3.0)
    assert [
        one.item_id for one in answered(view.answers.ask_candidates("new", 1, wanted=wanted))
    ] == ["y"]
    (many,) = view.answers.candidates_of(["new"], 1, wanted=wanted)
    assert isinstance(many, list)
    assert [one.item_id for one in many] == ["y"]
    vector = view.item_vector("y")
    assert vector is not None
    assert vector.tolist() == Y.tolist()
    assert {one.user_id for one in answered(view.answers.ask_audience("y", 9))} == {"a", "b", "new"}


def test_rows_as_long_as_faiss_likes() -> None:
    coordinate = PopularityCoordinate(384)
    rows = coordinate.rows(["a"], np.ones((1, 384), np.float32))
    assert rows.shape == (1, 384 + EXTRA)
    assert rows.shape[1] % 16 == 0
    assert rows.max() <= 1.0
    assert coordinate.query(np.ones((2, 384), np.float32), 1.0).shape == (2, 400)


def test_only_what_changed_is_written_again() -> None:
    coordinate, popularity = PopularityCoordinate(DIM), Popularity()
    items = {str(number): None for number in range(2_000)}
    assert coordinate.due(items, popularity) == []
    popularity.change([], ["7", "not an item"])
    due = [one for _ in range(9) for one in coordinate.due(items, popularity)]
    assert due == ["7"]
    popularity.change(["7"], ["7"])
    assert coordinate.due(items, popularity) == []
    coordinate.forget("7")
    popularity.change([], ["8"])
    due = [one for _ in range(9) for one in coordinate.due(items, popularity)]
    assert sorted(due) == ["7", "8"]


def test_a_snapshot_brings_it_along() -> None:
    view = view_of({"a": ["y"]})
    again = make_view()
    for part in view.parts():
        again.put(part)
    assert scores(again, 1.0) == pytest.approx({"x": 1.0, "y": 1.0})
    put(again, {"a": []}, offset=1)
    assert scores(again, 1.0) == pytest.approx({"x": 1.0, "y": 0.0})


def test_attributes_filter_and_one_called_category_is_not_the_category() -> None:
    view = make_view()
    view.apply_items(
        [
            item_record("a", X, categories=["film"], attributes={"tenant": "1", "lang": "en"}),
            item_record("b", X, attributes={"tenant": "2", "category": "film"}),
            item_record("c", X, categories=["book"], attributes={"tenant": "1", "lang": "fr"}),
        ]
    )

    def found(category: str | None = None, **where: list[str]) -> set[str]:
        wanted = Wanted(category, where)
        by_search = {one.item_id for one in answered(view.answers.ask_items(X, 9, wanted=wanted))}
        assert by_search == {one.item_id for one in view.answers.popular(9, wanted=wanted)}
        return by_search

    put(view, {"u": ["a", "b", "c"]})
    assert found() == {"a", "b", "c"}
    assert found(tenant=["1"]) == {"a", "c"}
    assert found(tenant=["1"], lang=["fr", "de"]) == {"c"}
    assert found("film") == {"a"}
    assert found(category_=["x"]) == set()
    assert found("film", tenant=["2"]) == set()
    named_so = answered(view.answers.ask_items(X, 9, wanted=Wanted(None, {"category": ["film"]})))
    assert [one.item_id for one in named_so] == ["b"]
    again = make_view()
    for part in view.parts():
        again.put(part)
    view = again
    assert found(tenant=["1"], lang=["fr", "de"]) == {"c"}


def test_an_item_that_comes_after_its_users_is_as_popular() -> None:
    view = view_of({"a": ["late"], "b": ["late"], "c": ["y"]})
    settled(view)
    view.apply_items([item_record("late", Y)])
    settled(view)
    assert scores(view, 1.0)["late"] == pytest.approx(1.0)
    view.apply_items([FakeRecord("item-vectors", b"late", None)])
    view.apply_items([item_record("late", Y)])
    settled(view)
    assert scores(view, 1.0)["late"] == pytest.approx(1.0)


@pytest.mark.parametrize("dim", [384, 768, 1024])
def test_rows_of_eight_bits_hold_the_most_popular(dim: int) -> None:
    coordinate, popularity = PopularityCoordinate(dim), Popularity()
    for _ in range(9):
        popularity.change([], ["top"])
    popularity.change([], ["mid"])
    items = {"top": None, "mid": None}
    assert sorted(coordinate.due(items, popularity)) == ["mid", "top"]
    index = FaissFlatIndex(dim + EXTRA, "int8")
    vectors = np.zeros((2, dim), np.float32)
    index.upsert(["top", "mid"], coordinate.rows(["top", "mid"], vectors))
    query = coordinate.query(np.zeros(dim, np.float32), 1.0)
    hits = index.search(query[np.newaxis], 2)[0]
    assert hits.keys == ["top", "mid"]
    expected = [1.0, math.log1p(1) / math.log1p(9)]
    np.testing.assert_allclose(hits.scores, expected, atol=0.03)


def test_changes_of_popularity_do_not_wear_out_a_graph_and_all_is_looked_at() -> None:
    dim, count = 32, 4_000
    random = np.random.default_rng(1)
    vectors = random.standard_normal((count, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    keys = [str(number) for number in range(count)]
    coordinate, popularity = PopularityCoordinate(dim), Popularity()
    index = GrowingIndex(
        dim + EXTRA, growth=Growth(above=1_000, by="hnsw", leading=dim, probe_seconds=0)
    )
    index.upsert(keys, coordinate.rows(keys, vectors))
    index.maintain()
    assert index.wait_built(60)
    for number in range(count):
        for _ in range(number % 7):
            popularity.change([], [keys[number]])
    items = dict.fromkeys(keys)
    while due := coordinate.due(items, popularity):
        index.upsert(due, coordinate.rows(due, vectors[[int(key) for key in due]]))
    index.maintain()
    assert not index.building
    assert "hnsw" in index.kind
    for weight in (0.0, 3.0):
        rows = coordinate.rows(keys, vectors)
        queries = coordinate.query(vectors[:20], weight)
        truth = np.argsort(-(queries @ rows.T), axis=1)[:, :10]
        found = [hits.keys for hits in index.search(queries, 10)]
        shares = [
            len({*map(str, one)} & {*two}) / 10 for one, two in zip(truth, found, strict=True)
        ]
        assert np.mean(shares) > 0.95, weight
    index.close()
