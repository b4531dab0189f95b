"""What is read of packed profiles is what decoding them says: held against a plain reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from store.interner import Interner
from store.profile import Contribution
from store.ranking.blend import new_blend
from store.ranking.changes import Change, asker_of
from store.ranking.choices import POSITIVE, close_for, open_for
from store.ranking.columns import ACTS, FOLLOWED, NEAR, RECENT, new_items, new_moment
from store.ranking.features import CONTEXTS, FEATURES
from store.ranking.learner import Learner
from store.ranking.packed import new_scratch
from store.ranking.pairs import NOBODY, PairTable
from store.user_profile import UserProfile

DIM = 4
#: Some begin alike, one is of two bytes a character, one longer than a short string's head says.
KNOWN = [*(f"item-{at}" for at in range(90)), "é", "i", "long" * 10]
UNKNOWN = [f"gone-{at}" for at in range(10)]
NOW = 1_700_000_000_000


class Choice(NamedTuple):
    item: str
    ts: int
    strength: float
    recent: list[str]
    learns: bool


def profile(seen: Sequence[str], contributions: Sequence[Contribution], count: int) -> UserProfile:
    return UserProfile(
        version=count, count=count, last_ts=NOW + count, norm=1.0, partition=0,
        packed_applied=b"\x80", packed_seen=msgspec.msgpack.encode(seen),
        packed_contributions=msgspec.msgpack.encode(contributions),
    )  # fmt: skip


def choices(change: Change) -> Iterator[Choice]:
    """The reference: by objects, one rule after the other."""
    before, now, direction = change
    if before is None:
        liked = {one.item_id: one.strength for one in now.contributions}
        came = [(item, liked.get(item, math.nan)) for item in now.seen]
        recent: list[str] = []
    else:
        new = now.count - before.count
        latest = now.contributions[-new:] if new > 0 else []
        came = [
            (one.item_id, one.strength)
            for one in latest
            if one.item_id is not None and one.item_id not in before.seen
        ]
        recent = [one for one in before.seen[::-1][:RECENT] if one in KNOWN]
    first = True
    for item, strength in came:
        if item not in KNOWN or item in recent:
            continue
        learns = first and direction is not None and bool(recent) and strength >= POSITIVE
        yield Choice(item, now.last_ts, strength, recent, learns)
        recent = [item, *recent[: RECENT - 1]]
        first = False


contributions = st.builds(
    Contribution,
    st.sampled_from(["view", "a longer name of an action than fits a short head"]),
    st.none() | st.sampled_from(KNOWN) | st.sampled_from(UNKNOWN),
    st.just(0.9),
    st.sampled_from([-0.25, 0.0, 0.3, 0.5, 1.0]),
)
seens = st.lists(st.sampled_from([*KNOWN, *UNKNOWN]), unique=True, max_size=100)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    kept = draw(st.sampled_from([2, 10, 40]))
    count = draw(st.integers(0, 200))
    latest = draw(st.lists(contributions, max_size=kept))
    before = profile(draw(seens), latest, count)
    acts = draw(st.lists(contributions, max_size=5))
    seen = [*before.seen, *(one.item_id for one in acts if one.item_id is not None)]
    now = profile(
        list(dict.fromkeys(reversed(seen)))[::-1][-100:],
        [*latest, *acts][-kept:],
        count + draw(st.sampled_from([len(acts), len(acts), len(acts) + 50, -1])),
    )
    direction = draw(st.sampled_from([None, np.ones(DIM, np.float32)]))
    return Change(None if draw(st.booleans()) else before, now, direction)


def counted(table: PairTable) -> dict[tuple[int, int], float]:
    return {
        (int(item), int(table.partners[item, place])): float(table.counts[item, place])
        for item, place in np.argwhere(table.partners != NOBODY)
    }


def rows(count: int) -> NDArray[np.float32]:
    found = np.random.default_rng(0).normal(size=(count, DIM)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(changes(), min_size=1, max_size=6))
def test_what_is_counted_is_what_decoding_says(told: list[Change]) -> None:
    made = Learner(DIM, partners=1_024)
    made.put_items(KNOWN, rows(len(KNOWN)))
    made.observe(told)
    users, liked, rated = np.zeros((3, len(KNOWN)))
    together: dict[tuple[int, int], float] = {}
    follows: dict[tuple[int, int], float] = {}
    learned = total = 0
    for choice in (one for change in told for one in choices(change)):
        item = KNOWN.index(choice.item)
        users[item] += 1
        if not math.isnan(choice.strength):
            liked[item] += np.float32(choice.strength)
            rated[item] += 1
        for back, name in enumerate(choice.recent[:NEAR]):
            other = KNOWN.index(name)
            together[item, other] = together.get((item, other), 0.0) + 1.0
            together[other, item] = together.get((other, item), 0.0) + 1.0
            if back < FOLLOWED:
                follows[other, item] = follows.get((other, item), 0.0) + 0.8**back
        learned += choice.learns
        total += 1
    assert (made.counted, made.learned) == (total, learned)
    assert int(made.blend.steps[0]) == learned
    held = slice(len(KNOWN))
    assert made.items.users[held].tolist() == users.tolist()
    assert made.items.liked[held].tolist() == pytest.approx(liked.tolist())
    assert made.items.rated[held].tolist() == rated.tolist()
    assert counted(made.items.together) == together
    assert counted(made.items.follows) == pytest.approx(follows)


@settings(max_examples=60, deadline=None)
@given(seens, st.lists(contributions, max_size=40))
def test_who_asks_is_read_as_decoding_says(seen: list[str], acts: list[Contribution]) -> None:
    keys = Interner()
    keys.codes_of(KNOWN, insert=True)
    items, moment = (
        new_items(DIM, len(KNOWN), 16),
        new_moment(DIM, len(KNOWN), len(FEATURES), len(CONTEXTS)),
    )
    asker = asker_of(profile(seen, acts, 7), np.ones(DIM, np.float32), NOW + 10)
    assert open_for(items, moment, new_blend(DIM), keys.keys, asker, new_scratch(0), NOW + 10)
    recent, latest = moment.counts.tolist()
    wanted = [one for one in acts[::-1] if one.item_id in KNOWN][:ACTS]
    assert [KNOWN[at] for at in moment.recent[:recent]] == [
        one for one in seen[::-1][:RECENT] if one in KNOWN
    ]
    assert [KNOWN[at] for at in moment.acts[:latest]] == [one.item_id for one in wanted]
    assert moment.liked[:latest].tolist() == [np.float32(one.strength) for one in wanted]
    close_for(items, moment)


@pytest.mark.parametrize(
    ("seen", "contributions"),
    [
        (b"\x91\xa5abc", b"\x90"),  # cut off
        (b"\x91\xa1a\xa1b", b"\x90"),  # more than it says
        (b"\x91\xa2\xff\xff", b"\x90"),  # no UTF-8
        (b"\xc0", b"\x90"),  # no list
        (b"\x91\xa1i", b"\x91\x93\xa1v\xa1i\xcb"),  # a contribution of three fields
        (b"\x91\xa1i", b"\x91\x94\xa1v\xa1x\x01"),  # cut off
        (b"\x91\xa1i", b"\x91\x94\xa1v\xa1x\x01\xcb\x7f\xf0\0\0\0\0\0\0"),  # s is infinite
        (b"\x91\xa1i", b"\x92\xc1"),  # what is passed over is no value
        (b"\x91\xa1i", b""),
    ],
)
@pytest.mark.parametrize("learns", [False, True])
def test_lists_that_cannot_be_read_are_told_of_and_count_nothing(
    seen: bytes, contributions: bytes, learns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    made = Learner(DIM, partners=64)
    made.put_items(KNOWN, rows(len(KNOWN)))
    good = profile(["item-1"], [], 0)
    bad = msgspec.structs.replace(good, packed_seen=seen, packed_contributions=contributions)
    now = msgspec.structs.replace(bad, count=1)
    made.observe([Change(bad, now, np.ones(DIM, np.float32) if learns else None)])
    assert (made.counted, made.learned) == (0, 0)
    assert "ranking leaves a user out" in caplog.text
    assert "times=1" in caplog.text
    assert not made.items.users.any()
