"""Which changes of profiles are counted, and which are learned from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
import numpy as np
import pytest
from ranking_fakes import profile as make_profile
from store_fakes import DIM, X, Y, item_record, make_state, make_view, profile_record

from store.profile import Contribution
from store.question import answered
from store.ranking.changes import Change
from store.ranking.image import RankingPart, parts_of_learner
from store.ranking.learner import Learner
from store.ranking.sampling import SampledLearning
from store.view import RetrievalView

NOW = 1_700_000_000_000


def view_with(
    learner: Learner, *, counted: float = 1e6, learned: float = 1e6, live: bool = True
) -> RetrievalView:
    view = make_view(learner=learner, counted_per_second=counted, learned_per_second=learned)
    view.apply_items([item_record(f"i{at}", X + at * Y) for at in range(6)])
    view.live = live
    return view


def act(view: RetrievalView, user: str, *items: str, now_ms: int = NOW) -> None:
    """The user comes to these, one after another, in records of their own."""
    for count in range(1, len(items) + 1):
        seen = items[:count]
        state = make_state(
            X, offset=count - 1, seen=seen,
            contributions=[Contribution("click", one, 0.5, 1.0) for one in seen],
        )  # fmt: skip
        view.apply_profiles([profile_record(user, state)], lambda: now_ms)


def test_what_comes_while_it_serves_is_counted_and_learned_from() -> None:
    learner = Learner(DIM, partners=16)
    act(view_with(learner), "ann", "i1", "i2", "i3")
    assert (learner.counted, learner.learned) == (3, 2)


def test_the_history_is_counted_once_it_is_read_and_not_learned_from() -> None:
    learner = Learner(DIM, partners=16)
    view = view_with(learner, live=False)
    act(view, "ann", "i1", "i2", "i3")
    view.maintain()
    assert learner.counted == 0
    view.live = True
    view.maintain()
    view.maintain()
    assert (learner.counted, learner.learned) == (3, 0)
    assert learner.items.users[1:4].tolist() == [1.0, 1.0, 1.0]


def test_the_history_is_whole_where_profiles_come_before_their_items() -> None:
    learner = Learner(DIM, partners=16)
    view = make_view(learner=learner)
    act(view, "ann", "i1", "i2", "i3")
    view.apply_items([item_record(f"i{at}", X + at * Y) for at in range(6)])
    view.live = True
    view.maintain()
    assert learner.counted == 3


def test_what_comes_while_the_history_is_counted_is_counted_once() -> None:
    learner = Learner(DIM, partners=16)
    view = view_with(learner, live=False)
    for at in range(40):
        act(view, f"u{at}", "i1", "i2")
    view.live = True
    act(view, "u0", "i1", "i2", "i3")  # more than is counted of the history by then
    for _ in range(4):
        view.maintain()
    assert learner.counted == 2 * 40 + 1
    assert learner.items.users[1:4].tolist() == [40.0, 40.0, 1.0]


def test_a_ranking_that_lacks_some_of_the_history_is_in_no_snapshot() -> None:
    learner = Learner(DIM, partners=16)
    view = view_with(learner, live=False)
    for at in range(20):
        act(view, f"u{at}", "i1")
    view.live = True
    view.maintain()
    assert 0 < learner.counted < 20
    assert not any(isinstance(part, RankingPart) for part in view.parts())
    view.maintain()
    assert learner.counted == 20
    assert any(isinstance(part, RankingPart) for part in view.parts())


def test_behind_a_snapshot_changes_are_counted_as_they_are_read() -> None:
    learner = Learner(DIM, partners=16)
    view = view_with(learner)
    act(view, "ann", "i1", "i2")
    again = Learner(DIM, partners=16)
    other = make_view(learner=again)
    for part in view.parts():
        other.put(part)
    act(other, "ann", "i1", "i2", "i3")
    assert again.counted == 1
    other.live = True
    other.maintain()
    assert again.counted == 1
    assert again.items.users[1:4].tolist() == [1.0, 1.0, 1.0]


def test_of_more_than_is_worth_it_a_sample_is_taken() -> None:
    learner = Learner(DIM, partners=16)
    view = view_with(learner, counted=10, learned=4)
    records = [profile_record(f"u{at}", make_state(X, seen=["i1"])) for at in range(100)]
    view.apply_profiles(records, lambda: NOW)
    assert learner.counted == 10
    view.apply_profiles(
        [profile_record(f"v{at}", make_state(X, seen=["i2"])) for at in range(100)],
        lambda: NOW + 500,
    )
    assert learner.counted == 15


def test_no_more_is_learned_from_than_was_counted() -> None:
    learner = Learner(DIM, partners=16)
    view = view_with(learner, counted=1e6, learned=2)
    for at in range(5):
        act(view, f"u{at}", "i1", "i2", "i3")
    assert learner.counted == 15
    assert 0 < learner.learned <= 2


@pytest.mark.parametrize(("rate", "first"), [(2, 30), (0, 0)])
def test_the_first_changes_are_learned_from_however_fast_they_come(rate: int, first: int) -> None:
    told: list[bool] = []

    class Listening(Learner):
        def observe(self, changes: Sequence[Change]) -> None:
            told.extend(one.direction is not None for one in changes)

    learner, one = Listening(DIM, partners=16), make_profile(["i1"])
    learner.blend.steps[0] = 10  # of a snapshot
    learning = SampledLearning(
        learner, lambda users: dict.fromkeys(users, X),
        counted_per_second=1e6, learned_per_second=rate, learned_first=40,
    )  # fmt: skip
    learning.now_ms = NOW
    learning.begin(())
    for _ in range(3):
        learning([(f"u{at}", one, one) for at in range(20)])
    assert sum(told) == first + rate
    learning.now_ms += 1000
    learning([(f"u{at}", one, one) for at in range(20)])
    assert sum(told) == first + 2 * rate


def test_new_users_do_not_use_up_what_is_to_be_learned_from_others() -> None:
    told: list[bool] = []

    class Listening(Learner):
        def observe(self, changes: Sequence[Change]) -> None:
            told.extend(one.direction is not None for one in changes)

    learning = SampledLearning(
        Listening(DIM, partners=16), lambda users: dict.fromkeys(users, X),
        counted_per_second=1e6, learned_per_second=2, learned_first=40,
    )  # fmt: skip
    learning.now_ms = NOW
    learning.begin(())
    one = make_profile(["i1"])
    learning([(f"new{at}", None, one) for at in range(1_000)])
    assert not any(told)
    learning([("new", None, one), *((f"u{at}", one, one) for at in range(100)), ("n", None, one)])
    assert sum(told) == 40 + 2
    assert (told[1_000], told[-1]) == (False, False)


def test_each_change_is_as_likely_to_be_learned_from_as_any_other() -> None:
    told: list[int] = []

    class Listening(Learner):
        def observe(self, changes: Sequence[Change]) -> None:
            told.extend(at for at, one in enumerate(changes) if one.direction is not None)

    learning = SampledLearning(
        Listening(DIM, partners=16), lambda users: dict.fromkeys(users, X),
        counted_per_second=1e6, learned_per_second=20,
    )  # fmt: skip
    learning.begin(())
    one = make_profile(["i1"])
    for second in range(200):
        learning.now_ms = NOW + 1000 * second
        learning([(f"u{at}", one, one) for at in range(40)])
    counts = np.bincount(told, minlength=40)
    assert 20 * 200 <= counts.sum() <= 20 * 200 + 1
    assert counts.min() > 60  # of 100 that are expected
    assert counts.max() < 140


def waiting_view(learner: Learner, at_once: int) -> RetrievalView:
    view = make_view(
        learner=learner, counted_per_second=1e6, learned_per_second=1e6, learned_at_once=at_once
    )
    view.apply_items([item_record(f"i{at}", X + at * Y) for at in range(6)])
    view.live = True
    return view


def test_changes_wait_for_each_other_and_for_eight_batches_at_most() -> None:
    learner = Learner(DIM, partners=16)
    view = waiting_view(learner, at_once=4)
    act(view, "ann", "i1", "i2", "i3")
    for _ in range(7):
        view.maintain()
    assert learner.counted == 0
    act(view, "bob", "i1")
    assert (learner.counted, learner.learned) == (4, 2)
    act(view, "eve", "i1", "i2")
    for _ in range(7):
        view.maintain()
    assert learner.counted == 4
    view.apply_items([item_record("i9", X)])  # what else comes does not put it off
    view.maintain()
    assert (learner.counted, learner.learned) == (6, 3)


def test_what_waited_is_taken_in_in_its_order() -> None:
    told: list[int] = []

    class Listening(Learner):
        def observe(self, changes: Sequence[Change]) -> None:
            told.extend(one.now.count for one in changes)

    learning = SampledLearning(
        Listening(DIM, partners=16), lambda users: dict.fromkeys(users, X),
        counted_per_second=1e6, learned_per_second=1e6, at_once=5,
    )  # fmt: skip
    learning.begin(())
    for at in range(5):
        one = make_profile(["i1"], count=at + 1)
        learning([("ann", one, one)])
    assert told == [1, 2, 3, 4, 5]


def test_what_waits_is_in_a_snapshot() -> None:
    learner = Learner(DIM, partners=16)
    view = waiting_view(learner, at_once=100)
    act(view, "ann", "i1", "i2", "i3")
    again = Learner(DIM, partners=16)
    put_back = make_view(learner=again)
    for part in view.parts():
        put_back.put(part)
    assert learner.counted == 3
    assert again.items.users[1:4].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.5, 3.0])
def test_a_rate_that_is_no_whole_number_is_kept_to(rate: float) -> None:
    learner = Learner(DIM, partners=16)
    view = view_with(learner, counted=rate)
    for second in range(40):
        records = [profile_record(f"u{second}-{at}", make_state(X, seen=["i1"])) for at in range(5)]
        view.apply_profiles(records, partial(int, NOW + 1000 * second))
    assert abs(learner.counted - 40 * rate) <= rate + 1


def test_a_profile_that_cannot_be_read_is_left_out_and_the_others_are_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    learner = Learner(DIM, partners=16)
    view = view_with(learner)
    act(view, "ann", "i1", "i2")
    good = view.profile("ann")
    bad = msgspec.structs.replace(good, packed_seen=b"\x91\xa2\xff\xff")
    learner.observe([Change(None, bad, None), Change(None, good, None)])
    assert learner.counted == 2 + 2
    assert "ranking leaves a user out" in caplog.text


def test_a_view_put_back_from_its_parts_ranks_as_before() -> None:
    learner = Learner(DIM, partners=16)
    view = view_with(learner)
    for at in range(8):
        act(view, f"u{at}", "i1", "i2", "i3")
    act(view, "ann", "i1")
    fresh = Learner(DIM, partners=16)
    other = make_view(learner=fresh)
    for part in view.parts():
        other.put(part)
    before, after = (
        answered(one.answers.ask_candidates("ann", 4, rank="blend", now_ms=NOW + 1000))
        for one in (view, other)
    )
    assert [one.item_id for one in after] == [one.item_id for one in before]
    assert np.allclose([one.score for one in after], [one.score for one in before], atol=1e-4)
    assert [part.ids for part in parts_of_learner(fresh)] == [
        part.ids for part in parts_of_learner(learner)
    ]


def test_without_what_was_learned_it_is_counted_from_the_profiles_put_back() -> None:
    learner = Learner(DIM, partners=16)
    view = view_with(learner)
    act(view, "ann", "i1", "i2")
    fresh = Learner(DIM, partners=16)
    other = make_view(learner=fresh)
    for part in view.parts():
        if not isinstance(part, RankingPart):
            other.put(part)
    other.live = True
    other.maintain()
    assert fresh.counted == 2
