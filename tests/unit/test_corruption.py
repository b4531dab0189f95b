"""Logs that are spoilt on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from streams.schema import Item
from tidemark.errors import EvaluationError
from tidemark.evaluation.corruption import (
    corrupted,
    moved,
    with_bot,
    with_random_items,
    with_random_users,
    without_users,
)
from tidemark.evaluation.log import ActionLog
from tidemark.evaluation.moments import Moments


def make_log() -> ActionLog:
    draw = np.random.default_rng(0)
    n = 400
    items = draw.integers(0, 30, n).astype(np.int32)
    items[::50] = -1
    return ActionLog(
        name="made", users=draw.integers(0, 20, n).astype(np.int32), items=items,
        ts=np.sort(draw.integers(0, 10**8, n)).astype(np.int64), actions=np.zeros(n, np.int16),
        ratings=np.full(n, 3.0, np.float32), user_ids=("bot-0", *map(str, range(19))),
        catalogue=tuple(Item(item_id=str(one), title=str(one)) for one in range(30)),
        action_names=("rate",), texts={7: "words"},
        context={"device": (np.ones(n, np.int32), ("a", "b"))},
    )  # fmt: skip


def test_a_share_of_the_items_is_drawn_anew_and_nothing_else() -> None:
    log = make_log()
    spoilt, origin = with_random_items(log, 0.1, 1)
    genuine = origin >= 0
    assert (~genuine).sum() == round(0.1 * (log.items >= 0).sum())
    np.testing.assert_array_equal(spoilt.items[genuine], log.items[genuine])
    assert (spoilt.items[~genuine] >= 0).all()
    assert (spoilt.items[~genuine] != log.items[~genuine]).mean() > 0.8
    np.testing.assert_array_equal(spoilt.users, log.users)
    again, _ = with_random_items(log, 0.1, 1)
    np.testing.assert_array_equal(again.items, spoilt.items)
    assert (with_random_items(log, 0.1, 2)[0].items != spoilt.items).any()


def test_some_users_act_at_random_and_the_others_are_left_alone() -> None:
    log = make_log()
    spoilt, origin = with_random_users(log, 0.2, 1)
    genuine = origin >= 0
    theirs = set(log.users[~genuine].tolist())
    assert not theirs & set(log.users[genuine].tolist())
    largest = np.bincount(log.users).max()
    assert 0.2 * len(log) <= (~genuine).sum() < 0.2 * len(log) + largest
    np.testing.assert_array_equal(spoilt.items[genuine], log.items[genuine])
    np.testing.assert_array_equal(spoilt.items < 0, log.items < 0)
    had = ~genuine & (log.items >= 0)
    assert (spoilt.items[had] != log.items[had]).mean() > 0.8


def test_the_same_users_can_be_left_out() -> None:
    log = make_log()
    random, left_out = with_random_users(log, 0.2, 1), without_users(log, 0.2, 1)
    np.testing.assert_array_equal(left_out.origin, random.origin)
    theirs = left_out.origin < 0
    assert (left_out.log.items[theirs] == -1).all()
    np.testing.assert_array_equal(left_out.log.items[~theirs], log.items[~theirs])


def moments_of(log: ActionLog, places: list[int]) -> Moments:
    none = np.zeros(len(places), np.bool_)
    return Moments(
        places=np.array(places), users=log.users[places], items=log.items[places],
        eligible=len(places), early=none, tail=~none,
    )  # fmt: skip


@pytest.mark.parametrize("said", ["random:0.3", "random-users:0.3", "without-users:0.3", "bot:0.3"])
def test_moments_are_found_again_where_they_are_as_they_were(said: str) -> None:
    log = make_log()
    moments = moments_of(log, list(range(0, 400, 3)))
    spoilt, origin = corrupted(log, said, 2)
    there, left = moved(moments, origin)
    assert len(there) == left.sum() == len(there.tail)
    assert 80 < len(there) < len(moments) or said.startswith("bot")
    np.testing.assert_array_equal(origin[there.places], moments.places[left])
    for now, column in ((there.users, spoilt.users), (there.items, spoilt.items)):
        np.testing.assert_array_equal(now, column[there.places])
    assert not set(moments.places[~left].tolist()) & set(origin.tolist())


def test_where_no_moment_is_left_that_is_said() -> None:
    log = make_log()
    for said in ("random-users:1", "without-users:1"):
        with pytest.raises(EvaluationError, match="no moment is left"):
            moved(moments_of(log, [3, 5]), corrupted(log, said, 0).origin)


def test_bots_flood_one_item_beside_the_others() -> None:
    log = make_log()
    spoilt, origin = with_bot(log, 0.25, 1, bots=2)
    genuine = origin >= 0
    np.testing.assert_array_equal(origin[genuine], np.arange(len(log)))
    for name in ("users", "items", "ts", "ratings"):
        np.testing.assert_array_equal(getattr(spoilt, name)[genuine], getattr(log, name))
    assert (~genuine).sum() == 100
    assert spoilt.user_ids[20:] == ("bot-bot-0", "bot-1")  # one is called bot-0 already
    assert set(spoilt.users[~genuine].tolist()) == {20, 21}
    assert len(set(spoilt.items[~genuine].tolist())) == 1
    assert (spoilt.ratings[~genuine] == log.highest).all()
    assert spoilt.ts[~genuine].min() == log.ts[200]
    ((place, words),) = spoilt.texts.items()
    assert (words, spoilt.ts[place]) == ("words", log.ts[7])
    codes, _ = spoilt.context["device"]
    assert set(codes[~genuine].tolist()) == {-1}


@pytest.mark.parametrize("said", ["random:2", "random-users:2", "random:x", "noise", "bot:-1", ""])
def test_what_cannot_be_done_is_said(said: str) -> None:
    with pytest.raises(EvaluationError, match="expected"):
        corrupted(make_log(), said, 0)


def test_words_say_how() -> None:
    log = make_log()
    for said, other in (
        ("random:0.1", with_random_items),
        ("random-users", with_random_users),
        ("without-users", without_users),
        ("bot", with_bot),
    ):
        found, _ = corrupted(log, said, 3)
        expected, _ = other(log, 0.1, 3)
        np.testing.assert_array_equal(found.items, expected.items)
