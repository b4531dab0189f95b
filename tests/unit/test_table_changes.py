"""What a table says is to be published, in the bytes that it writes itself; and what it refuses."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_fakes import NOW, VOCABULARY, apply, forget, make_batch, rejected, take, weighed
from streams_fakes import DIM, IDENTITY, make_profile, unit_rows

from store.errors import CorruptRecordError, EncoderMismatchError
from store.policies import Policy
from store.profile import (
    Contribution,
    Fence,
    ProfileState,
    decode_fence,
    decode_profile,
    encode_profile,
    version_of,
)
from store.table import Identity, Memory, ProfileTable

VECTORS = unit_rows(6)
ROOMY = Memory(seen=400, contributions=20, event_ids=40)


def new_table(memory: Memory = ROOMY, policy: Policy = IDENTITY.policy) -> ProfileTable:
    return ProfileTable(3, Identity(IDENTITY.encoder, DIM, policy), memory, VOCABULARY)


texts = st.text(st.characters(codec="utf-8"), max_size=40)
long = st.sampled_from(["x" * 31, "x" * 32, "x" * 255, "x" * 256, "é" * 32_767, "é" * 32_768])
offsets = st.integers(0, 2**62) | st.sampled_from([127, 128, 255, 256, 65_535, 65_536, 2**32])
# -0.0 is left out by one and written by the other; it means the same
amounts = st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)
narrow = st.floats(width=32, allow_nan=False, allow_infinity=False)
strengths = st.floats(-1, 1, width=32)


@st.composite
def states(draw: st.DrawFn) -> ProfileState:
    return make_profile(
        draw(st.dictionaries(texts, offsets, max_size=3)),
        partition=3,
        vector=np.array(draw(st.lists(narrow, min_size=DIM, max_size=DIM)), "<f4").tobytes(),
        count=draw(offsets),
        last_ts=draw(st.integers(-(2**62), 2**62)),
        mass=draw(amounts),
        sum_k=draw(amounts),
        sum_k2=draw(amounts),
        fresh_from=draw(offsets),
        forgotten_ts=draw(st.integers(-(2**62), 2**62)),
        contributions=draw(
            st.lists(
                st.builds(Contribution, texts, st.none() | texts, narrow, strengths), max_size=5
            )
        ),
        seen=draw(st.lists(texts, max_size=5, unique=True))
        + draw(st.lists(long, max_size=1))
        + [f"item {n}" for n in range(draw(st.sampled_from([0, 0, 0, 300])))],
        event_ids=draw(st.lists(st.integers(1, 2**64 - 1), max_size=18, unique=True)),
    )


@given(st.dictionaries(texts, states(), max_size=3))
def test_the_bytes_say_what_the_table_holds(found: dict[str, ProfileState]) -> None:
    table = new_table()
    for user_id, state in found.items():
        table.take_over(user_id, state)
        table.touch(user_id)
    changes = table.take_changes().listed()
    assert [key.decode() for key, _ in changes] == list(found)
    for key, value in changes:
        assert value is not None
        state = decode_profile(value)
        assert state == found[key.decode()] == table.state(key.decode())
        # the fields, their order, and what is left out, are those that msgspec writes
        ours, theirs = (msgspec.msgpack.decode(one) for one in (value, encode_profile(state)))
        assert list(ours) == list(theirs)


@given(st.dictionaries(texts, states(), max_size=3))
def test_many_are_taken_over_as_one_by_one(found: dict[str, ProfileState]) -> None:
    table = new_table()
    users, values = list(found), [encode_profile(state) for state in found.values()]
    table.take_over_many([user.encode() for user in users], values)
    assert {user: table.state(user) for user in users} == found
    assert len(table) == len(found)
    assert take(table) == ([], [])


def test_very_many_are_taken_over() -> None:
    users = [f"u{n % 5000}" for n in range(6000)]  # the last of a user counts
    values = [make_profile(n, partition=3, seen=[f"i{n % 70}"]) for n in range(6000)]
    table = new_table()
    table.take_over_many([u.encode() for u in users], [encode_profile(one) for one in values])
    assert len(table) == 5000
    for n in (1000, 2047, 2048, 4999, 5000, 5999):
        assert table.state(users[n]) == values[n]


def test_a_value_that_cannot_be_taken_over_is_refused() -> None:
    with pytest.raises(CorruptRecordError):
        new_table().take_over_many([b"ann"], [b"\xc1"])
    with pytest.raises(EncoderMismatchError):
        new_table().take_over_many([b"ann"], [encode_profile(make_profile(encoder="other"))])


def test_a_state_larger_than_the_buffer_is_written() -> None:
    table = new_table(Memory(seen=5000))
    actions = [weighed(n, item_id=f"{n:0200}") for n in range(5000)]
    apply(table, [*actions, weighed(5000, "bob")], VECTORS)
    (_, ann), (_, bob) = table.take_changes().listed()
    assert ann is not None
    assert bob is not None
    assert len(decode_profile(ann).seen) == 5000
    assert decode_profile(ann) == table.state("ann")
    assert decode_profile(bob) == table.state("bob")


def test_more_than_the_buffer_holds_is_written_in_order() -> None:
    table = new_table()
    apply(table, [weighed(n, f"u{n}", item_id="x" * 100) for n in range(3000)], VECTORS)
    changes = table.take_changes().listed()
    assert [key.decode() for key, _ in changes] == [f"u{n}" for n in range(3000)]
    for n in (0, 1234, 2999):
        assert decode_profile(changes[n][1] or b"") == table.state(f"u{n}")


def test_a_tombstone_carries_its_fence() -> None:
    table = new_table()
    apply(table, [weighed(0), weighed(1, "bob"), forget(2, ts=500)], VECTORS)
    changes = table.take_changes()
    ((key, fence),) = changes.forgotten
    assert key == b"ann"
    assert decode_fence([("tidemark-fence", fence)]) == table.fence("ann")
    (bob, value), forgotten = changes.listed()
    assert bob == b"bob"
    assert decode_profile(value or b"") == table.state("bob")
    assert forgotten == (b"ann", None)


def test_each_user_is_published_once_and_then_no_more() -> None:
    table = new_table()
    apply(table, [weighed(n, ("ann", "bob")[n % 2]) for n in range(6)], VECTORS)
    table.touch("ann")
    assert take(table) == (["ann", "bob"], [])
    assert take(table) == ([], [])


def test_touched_users_are_published_again() -> None:
    table = new_table()
    apply(table, [weighed(0), weighed(1, "bob"), forget(2, "cid")], VECTORS)
    take(table)
    for user_id in ("cid", "ann", "nobody", "ann"):
        table.touch(user_id)
    assert take(table) == (["ann"], ["cid"])


def test_a_touched_user_is_as_fresh_as_the_action_that_follows() -> None:
    table = new_table()
    apply(table, [weighed(0, published=20)], VECTORS)
    take(table)
    table.touch("ann")
    assert table.state("ann").fresh_from == 20
    apply(table, [weighed(1, published=90)], VECTORS)
    assert table.state("ann").fresh_from == 90


def test_the_version_is_that_of_state_or_fence() -> None:
    table = new_table()
    assert table.version("ann") is None
    apply(table, [weighed(4)], VECTORS)
    apply(table, [weighed(9)], VECTORS, "orders")
    assert table.version("ann") == version_of(table.state("ann").applied) == 15
    apply(table, [forget(5)], VECTORS)
    assert table.version("ann") == 16
    table.take_over("bob", Fence(partition=3, applied={}, forgotten_ts=5))
    assert table.version("bob") == 0


def test_rejected_actions_leave_no_trace() -> None:
    table = new_table()
    given_ = [rejected(0), weighed(1, "bob"), rejected(2, "bob")]
    assert apply(table, given_, VECTORS) == {"applied": 1}
    assert ("ann" in table, table.version("ann"), len(table)) == (False, None, 1)
    assert table.state("bob").applied == {"actions": 1}
    assert len(table.keys) == 1


def test_a_forgotten_user_costs_no_row() -> None:
    table = new_table()
    for n in range(500):
        apply(table, [weighed(2 * n, f"u{n}", item_id="i", event_id="e")], VECTORS)
        apply(table, [forget(2 * n + 1, f"u{n}")], VECTORS)
    assert len(table) == 0
    assert len(table._columns.rows.counts) == 64  # noqa: SLF001 # as many as at the start


def test_a_state_that_is_not_held_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="'ann' has no profile"):
        new_table().state("ann")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": np.array([6], np.int32)}, r"rows\[0\]=6; .* there are 6 vectors"),
        ({"rows": np.array([-3], np.int32)}, r"rows\[0\]=-3"),
        ({"items": np.array([10**6], np.int32)}, r"items\[0\]=1000000"),
        ({"items": np.array([-2], np.int32)}, r"items\[0\]=-2"),
        ({"actions": np.array([-1], np.int32)}, r"actions\[0\]=-1"),
        ({"user_ends": np.array([4], np.int64)}, r"user_ends\[0\]=4, .* has 3 bytes"),
        ({"user_starts": np.array([-1], np.int64)}, r"user_starts\[0\]=-1"),
        ({"ts": np.array([1, 2], np.int64)}, r"ts is int64 of shape \(2,\); expected int64"),
        ({"weights": np.ones(1, np.float32)}, "weights is float32 .* expected float64"),
    ],
)  # fmt: skip
def test_a_batch_that_names_what_is_not_there_is_refused(
    changes: dict[str, np.ndarray], message: str
) -> None:
    table = new_table()
    batch = dataclasses.replace(make_batch([weighed(0)]), **changes)
    with pytest.raises(ValueError, match=message):
        table.apply("actions", batch, VECTORS)
    assert len(table) == 0


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected float32 of shape \(m, 4\)"):
        apply(new_table(), [weighed(0, ts=NOW)], unit_rows(6, 8))
