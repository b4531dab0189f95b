"""The view: which version stands, what is counted, what queries answer."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_fakes import (
    DIM,
    ENCODER,
    FakeRecord,
    RecordingSensor,
    X,
    Y,
    Z,
    item_record,
    make_state,
    make_view,
    profile_record,
    tombstone,
)

from store.catalogue import Wanted
from store.errors import UnknownCategoryError, UnknownItemError, UnknownUserError
from store.indexes.factory import make_index
from store.item_vector import ITEM_OFFSET_HEADER
from store.mean_vector import LEAST_ITEMS
from store.profile import Contribution, Fence
from store.question import answered
from store.view import RetrievalView

if TYPE_CHECKING:
    import random

    from store.indexes.protocol import VectorIndex

ROOT = Path(__file__).parents[2]
#: MessagePack whose strings are none, and a list in a list in a list…
NOT_UTF8 = b"\x81\xa7encoder\xa2\xff\xff"
NESTED = b"\x81\xa1x" + b"\x91" * 100_000


def put(view: RetrievalView, *records: FakeRecord, now_ms: int = 0) -> None:
    view.apply_profiles(records, lambda: now_ms)


# --- which version stands ---


def test_the_newest_state_stands_whatever_comes_after_it() -> None:
    view = make_view()
    put(view, profile_record("u", make_state(X, offset=5)))
    put(view, profile_record("u", make_state(Y, offset=3)))
    assert view.vector("u").tolist() == X.tolist()
    assert view.records.stale == 1


def test_the_order_rule_holds_within_one_batch() -> None:
    view = make_view()
    put(
        view,
        profile_record("u", make_state(X, offset=1)),
        profile_record("u", make_state(Y, offset=9)),
        profile_record("u", make_state(Z, offset=4)),
    )
    assert view.vector("u").tolist() == Y.tolist()
    assert view.records.stale == 1


def test_of_an_item_the_highest_source_offset_stands() -> None:
    """A late writer may send an older vector, or one of an item deleted since."""
    view = make_view()
    deleted = FakeRecord("item-vectors", b"b", None, headers=((ITEM_OFFSET_HEADER, b"7"),))
    view.apply_items(
        [
            item_record("a", X, source_offset=5),
            item_record("a", Y, source_offset=3),
            item_record("b", X, source_offset=6),
            deleted,
        ]
    )
    view.apply_items([item_record("b", X, source_offset=6)])
    assert view.item("a") is not None
    assert view.item("b") is None
    assert answered(view.answers.ask_items(X, 1))[0].score == pytest.approx(1.0)
    assert view.records.stale == 2
    view.apply_items([item_record("b", Z, source_offset=8), FakeRecord("item-vectors", b"a", None)])
    assert (view.item("a") is None, view.item("b") is None) == (True, False)
    for value in (b"x", None):
        bad = FakeRecord("item-vectors", b"b", None, headers=((ITEM_OFFSET_HEADER, value),))  # type: ignore[arg-type]
        view.apply_items([bad])
    assert view.item("b") is not None
    assert view.records.corrupt == 2


def test_the_version_is_the_sum_over_source_topics() -> None:
    view = make_view()
    put(view, profile_record("u", make_state(X, applied={"clicks": 5, "orders": 5})))
    put(view, profile_record("u", make_state(Y, applied={"clicks": 6})))
    assert view.vector("u").tolist() == X.tolist()


def test_the_same_version_again_changes_nothing() -> None:
    view = make_view()
    view.live = True
    record = profile_record("u", make_state(offset=1, fresh_from=10, seen=["a"]))
    put(view, record, now_ms=20)
    put(view, record, now_ms=900)
    assert view.records.stale == 1
    assert view.freshness.count == 1
    assert view.popularity.counts() == {"a": 1}


def test_a_forgotten_user_is_gone_and_older_states_stay_out() -> None:
    view = make_view()
    put(view, profile_record("u", make_state(offset=3, seen=["a"])), tombstone("u", 4))
    with pytest.raises(UnknownUserError):
        view.profile("u")
    assert answered(view.answers.ask_profiles(X, 5)) == []
    assert view.popularity.counts() == {}
    put(view, profile_record("u", make_state(offset=3)))
    with pytest.raises(UnknownUserError):
        view.profile("u")
    assert view.records.stale == 1
    assert view.fence("u") == Fence(partition=0, applied={"actions": 4}, forgotten_ts=1)


def test_a_forgotten_user_who_comes_back_is_held_again() -> None:
    view = make_view()
    put(view, tombstone("u", 4), profile_record("u", make_state(Y, offset=5)))
    assert view.vector("u").tolist() == Y.tolist()
    assert view.fence("u") is None


def test_an_older_tombstone_does_not_remove_a_newer_state() -> None:
    view = make_view()
    put(view, profile_record("u", make_state(offset=9)), tombstone("u", 4))
    assert view.profile("u").count == 10
    assert view.records.stale == 1


def test_an_older_tombstone_does_not_lower_the_fence() -> None:
    view = make_view()
    put(view, tombstone("u", 9), tombstone("u", 4), profile_record("u", make_state(offset=6)))
    with pytest.raises(UnknownUserError):
        view.profile("u")
    assert view.records.stale == 2


def test_a_tombstone_without_a_fence_simply_deletes() -> None:
    view = make_view()
    put(view, profile_record("u", make_state(offset=9)), tombstone("u", None))
    with pytest.raises(UnknownUserError):
        view.profile("u")
    put(view, profile_record("u", make_state(offset=2)))
    assert view.profile("u").count == 3


def test_has_applied_looks_at_states_and_fences() -> None:
    view = make_view()
    put(view, tombstone("gone", 4), profile_record("here", make_state(offset=4)))
    for user in ("gone", "here"):
        assert view.has_applied(user, "actions", 0, 4)
        assert not view.has_applied(user, "actions", 0, 5)
        assert not view.has_applied(user, "actions", 1, 4)
        assert not view.has_applied(user, "orders", 0, 0)
    assert not view.has_applied("nobody", "actions", 0, 0)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.booleans()), max_size=30),
    st.randoms(use_true_random=False),
)
def test_any_order_and_batching_of_the_same_records_gives_the_same_view(
    changes: list[tuple[int, int, bool]], shuffle: random.Random
) -> None:
    # one record per user and offset, as one partition's log has
    log = {
        (user, offset): tombstone(f"u{user}", offset)
        if gone
        else profile_record(f"u{user}", make_state(offset=offset, seen=[f"i{offset % 4}"]))
        for user, offset, gone in changes
    }
    in_order = [log[at] for at in sorted(log)]
    shuffled = list(in_order)
    shuffle.shuffle(shuffled)
    one, other = make_view(), make_view()
    put(one, *in_order)
    while shuffled:
        size = shuffle.randint(1, 5)
        put(other, *shuffled[:size])
        del shuffled[:size]
    assert one.profile_count == other.profile_count
    assert one.popularity.counts() == other.popularity.counts()
    assert one.applied == other.applied
    for user in range(4):
        assert one.fence(f"u{user}") == other.fence(f"u{user}")
    found, expected = (
        sorted(answered(view.answers.ask_profiles(X, 9)), key=lambda user: user.user_id)
        for view in (one, other)
    )
    assert found == expected


# --- popularity ---


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.integers(0, 20), st.none() | st.lists(st.sampled_from("xyz"))
        ),
        max_size=40,
    )
)
def test_popularity_kept_by_differences_is_popularity_counted_afresh(
    changes: list[tuple[str, int, list[str] | None]],
) -> None:
    view = make_view()
    for user, offset, seen in changes:
        put(
            view,
            tombstone(user, offset)
            if seen is None
            else profile_record(user, make_state(offset=offset, seen=seen)),
        )
    expected: Counter[str] = Counter()
    for user in "abc":
        try:
            expected.update(set(view.profile(user).seen))
        except UnknownUserError:
            continue
    assert view.popularity.counts() == dict(expected)


def test_popular_items_come_by_users_then_id_and_only_from_the_catalogue() -> None:
    view = make_view()
    view.apply_items([item_record(one, categories=["c"]) for one in ("a", "b")])
    view.apply_items([item_record("d")])
    put(
        view,
        profile_record("u", make_state(seen=["a", "b", "d", "not-in-the-catalogue"])),
        profile_record("v", make_state(seen=["b"])),
    )
    assert [(one.item_id, one.score) for one in view.answers.popular(9)] == [
        ("b", 2),
        ("a", 1),
        ("d", 1),
    ]
    assert [one.item_id for one in view.answers.popular(1, exclude=["b"])] == ["a"]
    assert [one.item_id for one in view.answers.popular(9, wanted=Wanted("c"))] == ["b", "a"]
    with pytest.raises(UnknownCategoryError):
        view.answers.popular(9, wanted=Wanted("nothing"))


# --- what is skipped ---


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (FakeRecord("profiles", b"u", b"\xc1", offset=7), "cannot be read"),
        (FakeRecord("profiles", None, None, offset=7), "no key"),
        (FakeRecord("profiles", b"\xff", None, offset=7), "not UTF-8"),
        (FakeRecord("profiles", b"u", None, (("tidemark-fence", b"\xc1"),), offset=7), "fence"),
        (FakeRecord("profiles", b"u", None, (("tidemark-fence", None),), offset=7), "is null"),  # type: ignore[arg-type]
        (FakeRecord("profiles", b"u", NOT_UTF8), "cannot be read"),
        (FakeRecord("profiles", b"u", NESTED), "cannot be read"),
        (FakeRecord("profiles", b"u", None, (("tidemark-fence", NOT_UTF8),)), "fence"),
        (profile_record("u", make_state([1, 2])), "expected 4"),
        (profile_record("u", make_state([np.nan, 0, 0, 0])), "NaN"),
        (profile_record("u", make_state([np.inf, 0, 0, 0])), "NaN"),
        (profile_record("before", make_state(offset=9, seen=[5])), "cannot be read"),  # type: ignore[list-item]
        (profile_record("before", make_state(offset=9, contributions=[1])), "cannot"),  # type: ignore[list-item]
    ],
    ids=[
        "bytes",
        "no-key",
        "key",
        "fence",
        "null",
        "utf8",
        "nested",
        "fence-utf8",
        "dim",
        "nan",
        "inf",
        "seen",
        "contributions",
    ],
)
def test_a_corrupt_profile_is_counted_logged_and_skipped(
    record: FakeRecord, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    sensor = RecordingSensor()
    view = make_view(sensor)
    put(view, profile_record("before", make_state()), record, profile_record("u2", make_state()))
    assert view.profile_count == 2
    assert view.records.corrupt == 1
    assert sensor.records.count(("profiles", "corrupt")) == 1
    line = caplog.messages[-1]
    assert f"topic=profiles partition=0 offset={record.offset}" in line
    assert reason in line


@pytest.mark.parametrize(
    "record",
    [
        FakeRecord("item-vectors", b"i", b"\xc1"),
        FakeRecord("item-vectors", b"i", NOT_UTF8),
        FakeRecord("item-vectors", None, b""),
        item_record("i", [1, 2]),
        item_record("i", [np.nan, 0, 0, 0]),
        item_record("i", [3e38, 3e38, 0, 0]),
    ],
    ids=["bytes", "utf8", "no-key", "dim", "nan", "huge"],
)
def test_a_corrupt_item_is_counted_and_skipped(record: FakeRecord) -> None:
    view = make_view()
    view.apply_items([record, item_record("good")])
    assert view.item_count == 1
    assert view.records.corrupt == 1


def test_records_of_another_encoder_are_not_mixed_in() -> None:
    view = make_view()
    put(view, profile_record("u", make_state([1, 2], encoder="other")))
    view.apply_items([item_record("i", encoder="third")])
    assert (view.profile_count, view.item_count, view.records.foreign) == (0, 0, 2)
    assert view.mismatch is not None
    assert "\n" not in view.mismatch
    assert "'other'" in view.mismatch
    assert repr(ENCODER) in view.mismatch


# --- freshness ---


def test_freshness_counts_only_once_live_and_where_it_is_known() -> None:
    sensor = RecordingSensor()
    view = make_view(sensor)
    put(view, profile_record("u", make_state(offset=1, fresh_from=1000)), now_ms=9_000_000)
    view.live = True
    put(view, profile_record("u", make_state(offset=2, fresh_from=1000)), now_ms=1250)
    put(view, profile_record("u", make_state(offset=3)), now_ms=9000)
    put(view, profile_record("u", make_state(offset=1, fresh_from=1000)), now_ms=9000)  # stale
    put(view, profile_record("v", make_state(offset=4, fresh_from=2000)), now_ms=1990)  # skew
    assert sensor.freshness == [0.25, 0.0]
    assert view.freshness.count == 2
    assert view.freshness.quantile(1.0) == 0.25


def test_freshness_has_no_quantile_before_the_first() -> None:
    assert make_view().freshness.quantile(0.5) is None


# --- what is kept ---


def test_applied_is_the_highest_offset_per_source_partition() -> None:
    view = make_view()
    put(
        view,
        profile_record("u", make_state(applied={"clicks": 9, "orders": 2}, partition=1)),
        profile_record("v", make_state(applied={"clicks": 4}, partition=1)),
        profile_record("w", make_state(applied={"clicks": 7}, partition=0)),
        tombstone("x", 11, partition=2, topic="orders"),
    )
    assert view.applied == {"clicks": {1: 9, 0: 7}, "orders": {1: 2, 2: 11}}


def test_a_profile_keeps_what_the_state_says() -> None:
    view = make_view()
    parts = [Contribution("click", "a", 0.5, 1.0), Contribution("search", None, 0.7, 0.5)]
    state = make_state([3, 4, 0, 0], offset=6, seen=["a"], contributions=parts)
    put(view, profile_record("u", state))
    held = view.profile("u")
    assert (held.count, held.last_ts, held.seen) == (7, state.last_ts, ("a",))
    assert (held.norm, held.applied) == (5.0, {"actions": 6})
    assert held.contributions == parts
    np.testing.assert_allclose(view.vector("u"), [3, 4, 0, 0], rtol=1e-6)


def test_a_profile_of_norm_zero_is_held_but_not_indexed() -> None:
    sensor = RecordingSensor()
    view = make_view(sensor)
    put(view, profile_record("u", make_state(X, offset=1)))
    put(view, profile_record("u", make_state(np.zeros(DIM), offset=2)))
    assert view.profile("u").count == 3
    assert view.vector("u").tolist() == [0] * DIM
    assert sensor.sizes["profiles"] == 0
    with pytest.raises(UnknownUserError, match="norm 0"):
        answered(view.answers.ask_candidates("u", 3))
    with pytest.raises(UnknownUserError, match="norm 0"):
        answered(view.answers.ask_neighbours("u", 3))


def test_profiles_of_extreme_norms_are_indexed_as_unit_vectors() -> None:
    view = make_view()
    put(
        view,
        profile_record("huge", make_state(np.full(DIM, 3e38))),
        profile_record("tiny", make_state(np.full(DIM, 1e-40))),
    )
    scores = [
        one.score
        for one in answered(view.answers.ask_profiles(np.full(DIM, 0.5, dtype=np.float32), 2))
    ]
    np.testing.assert_allclose(scores, [1, 1], atol=1e-4)


# --- queries ---


def stocked() -> RetrievalView:
    view = make_view()
    view.apply_items(
        [
            item_record("x", X, categories=["film", "old"]),
            item_record("y", Y, categories=["film"]),
            item_record("xy", (X + Y) / np.sqrt(2), categories=["book"]),
        ]
    )
    put(
        view,
        profile_record("ann", make_state(2 * X, seen=["x"])),
        profile_record("bob", make_state(X + 0.1 * Y)),
        profile_record("cy", make_state(Y)),
    )
    return view


def test_candidates_are_the_nearest_items_not_yet_seen() -> None:
    found = answered(stocked().answers.ask_candidates("ann", 2))
    assert [one.item_id for one in found] == ["xy", "y"]
    assert found[0].score == pytest.approx(2**-0.5)
    assert (found[0].title, found[0].categories) == ("Title of xy", ("book",))


def test_candidates_may_include_seen_items_and_keep_to_a_category() -> None:
    view = stocked()
    assert [
        one.item_id for one in answered(view.answers.ask_candidates("ann", 1, exclude_seen=False))
    ] == ["x"]
    assert [
        one.item_id
        for one in answered(view.answers.ask_candidates("ann", 9, wanted=Wanted("film")))
    ] == ["y"]
    assert answered(view.answers.ask_candidates("ann", 9, wanted=Wanted("old"))) == []
    with pytest.raises(UnknownCategoryError, match="'none'"):
        answered(view.answers.ask_candidates("ann", 9, wanted=Wanted("none")))
    with pytest.raises(UnknownUserError, match="'nobody'"):
        answered(view.answers.ask_candidates("nobody", 9))


def hundred_alike(**options: Any) -> RetrievalView:
    """A hundred items that all have X in common, and ann, of whom Y is told little beside X."""
    view = make_view(**options)
    rows = {"x": X, "y": (0.6 * X + 0.8 * Y)}
    rows |= {f"z{at}": 0.8 * X + 0.6 * Z for at in range(LEAST_ITEMS)}
    view.apply_items([item_record(item_id, row) for item_id, row in rows.items()])
    put(view, profile_record("ann", make_state(2 * (0.9 * X + 0.19**0.5 * Y))))
    return view


def nearest(view: RetrievalView) -> list[str]:
    return [one.item_id for one in answered(view.answers.ask_candidates("ann", 2))]


def test_what_all_items_share_is_left_out_of_a_profile_that_is_searched_for() -> None:
    view = hundred_alike()
    assert nearest(view) == ["y", "x"]
    found = answered(view.answers.ask_candidates("ann", 1))[0]
    rows = [X, 0.6 * X + 0.8 * Y, *([0.8 * X + 0.6 * Z] * LEAST_ITEMS)]
    moved = 0.9 * X + 0.19**0.5 * Y - np.mean(rows, axis=0)
    expected = (0.6 * X + 0.8 * Y) @ (moved / np.linalg.norm(moved))
    assert found.score == pytest.approx(expected, abs=1e-5)


def test_the_mean_may_be_kept() -> None:
    assert nearest(hundred_alike(mean_removal=False)) == ["x", "y"]


def test_a_whitened_search_goes_by_what_the_items_are_once_they_are_served() -> None:
    view = hundred_alike(whitening=0.5)
    centred = answered(hundred_alike().answers.ask_candidates("ann", 1))[0].score
    assert answered(view.answers.ask_candidates("ann", 1))[0].score == pytest.approx(centred)
    view.begin_serving()
    served = answered(view.answers.ask_candidates("ann", 1))[0].score
    assert served != pytest.approx(centred, abs=1e-3)
    view.apply_items([item_record(f"w{at}", Y) for at in range(LEAST_ITEMS)])
    view.live = True
    view.maintain()
    assert answered(view.answers.ask_candidates("ann", 1))[0].score != pytest.approx(
        served, abs=1e-3
    )


@pytest.mark.parametrize("whitening", [0.0, 0.25])
def test_many_users_and_what_is_watched_are_searched_for_alike(whitening: float) -> None:
    view = hundred_alike(whitening=whitening)
    view.begin_serving()
    alone = answered(view.answers.ask_candidates("ann", 2))
    assert view.answers.candidates_of(["ann"], 2) == [alone]
    ids = [one.item_id for one in alone]
    unit = view.direction("ann")
    assert view.answers.nearest_items(unit, ())[:2] == ids
    assert view.answers.best_items("nearest", view.profile("ann"), unit, 0)[:2] == ids


def test_a_vector_that_is_given_is_searched_for_as_it_is() -> None:
    view = hundred_alike()
    found = answered(view.answers.ask_items(view.direction("ann"), 2))
    assert [one.item_id for one in found] == ["x", "y"]


def without(*item_ids: str) -> list[FakeRecord]:
    return [FakeRecord("item-vectors", item_id.encode(), None) for item_id in item_ids]


def scored(view: RetrievalView) -> dict[str, float]:
    found = answered(view.answers.ask_candidates("ann", 5))
    return {one.item_id: one.score for one in found}


def restored(view: RetrievalView) -> RetrievalView:
    again = make_view()
    for part in view.parts():
        again.put(part)
    return again


def test_the_mean_is_that_of_the_items_held_whatever_was_before() -> None:
    view = hundred_alike()
    assert scored(restored(view)) == pytest.approx(scored(view), abs=1e-6)
    for offset in range(3):  # items that come again, with other vectors or the same
        view.apply_items([item_record("x", Z, source_offset=offset)])
        view.apply_items([item_record("z1", 0.8 * X + 0.6 * Z, source_offset=offset)])
    view.apply_items([item_record(f"new{at}", Y) for at in range(50)])
    view.apply_items(without(*(f"z{at}" for at in range(20))))
    assert scored(restored(view)) == pytest.approx(scored(view), abs=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_an_index_that_rounds_leaves_nothing_of_what_came_again(
    precision: Literal["bfloat16", "int8"],
) -> None:
    def rounded(dim: int, _: object) -> VectorIndex:
        return make_index("faiss", dim, precision=precision)

    once, often = (RetrievalView(DIM, ENCODER, rounded) for _ in range(2))
    row = 0.37 * X + 0.86 * Y + 0.35 * Z
    for view, times in ((once, 1), (often, 300)):
        view.apply_items([item_record(f"z{at}", 0.8 * X + 0.6 * Z) for at in range(LEAST_ITEMS)])
        for _ in range(times):
            view.apply_items([item_record("again", row / np.linalg.norm(row))])
        put(view, profile_record("ann", make_state(0.9 * X + 0.4 * Y)))
    assert scored(often) == pytest.approx(scored(once), abs=1e-6)


def test_with_fewer_than_a_hundred_items_left_the_mean_is_kept() -> None:
    view = hundred_alike()
    assert nearest(view) == ["y", "x"]
    view.apply_items(without(*(f"z{at}" for at in range(3))))
    assert nearest(view) == ["x", "y"]
    for _ in range(LEAST_ITEMS):  # one that comes again is no other
        view.apply_items([item_record("y", 0.6 * X + 0.8 * Y)])
    assert nearest(view) == ["x", "y"]


def test_neighbours_leave_the_user_out() -> None:
    found = answered(stocked().answers.ask_neighbours("ann", 9))
    assert [one.user_id for one in found] == ["bob", "cy"]


def test_the_audience_is_the_users_nearest_to_an_item() -> None:
    view = stocked()
    assert [one.user_id for one in answered(view.answers.ask_audience("y", 2))] == ["cy", "bob"]
    with pytest.raises(UnknownItemError, match="'none'"):
        answered(view.answers.ask_audience("none", 2))


def test_items_and_profiles_are_searched_by_vector() -> None:
    view = stocked()
    assert [one.item_id for one in answered(view.answers.ask_items(Y, 2))] == ["y", "xy"]
    assert [
        one.item_id for one in answered(view.answers.ask_items(Y, 2, wanted=Wanted("book")))
    ] == ["xy"]
    assert [one.user_id for one in answered(view.answers.ask_profiles(Y, 1))] == ["cy"]


def test_an_item_is_replaced_and_deleted_with_its_categories() -> None:
    view = stocked()
    view.apply_items([item_record("x", Z, title="New", categories=["film"])])
    item = view.item("x")
    assert item is not None
    assert item.title == "New"
    with pytest.raises(UnknownCategoryError):
        answered(view.answers.ask_items(X, 1, wanted=Wanted("old")))
    view.apply_items([FakeRecord("item-vectors", b"x", None), item_record("z", Z)])
    assert view.item("x") is None
    assert [one.item_id for one in answered(view.answers.ask_items(Z, 1))] == ["z"]
    assert view.item_count == 3


def test_an_item_deleted_and_written_again_in_one_batch_is_there() -> None:
    view = stocked()
    view.apply_items([FakeRecord("item-vectors", b"x", None), item_record("x", Z)])
    assert [one.item_id for one in answered(view.answers.ask_items(Z, 1))] == ["x"]


def test_the_pure_modules_import_nothing_heavy() -> None:
    code = (
        "import sys, store.view, store.follower, store.indexes, store.indexes.exact, "
        "store.indexes.slots\n"
        "heavy = {'fastapi', 'faiss', 'faust', 'torch', 'prometheus_client', 'aiokafka'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
