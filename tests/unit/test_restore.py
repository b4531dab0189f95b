"""Restoring a partition: the newest version of every key, whatever the order it was written in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams_fakes import (
    IDENTITY,
    KafkaRecord,
    make_profile,
    profile_record,
)

from store.errors import CorruptRecordError
from store.interner import Interner
from store.profile import FENCE_HEADER, Fence, ProfileState, version_of
from store.table import Memory, ProfileTable, Vocabulary
from streams.restore import Restore, newest_versions

#: Kafka lets the value of a header be null.
NULL_FENCE = KafkaRecord("profiles", b"ann", None, 3, 41, headers=((FENCE_HEADER, None),))


def fence(applied: int, forgotten_ts: int = 5) -> Fence:
    return Fence(partition=0, applied={"actions": applied}, forgotten_ts=forgotten_ts)


def newest(
    *found: ProfileState | Fence | None,
) -> tuple[ProfileState | Fence | None, bool]:
    """Of one user's records in this order: the newest version, and whether it was overtaken."""
    versions, outdated = newest_versions([profile_record("ann", one) for one in found])
    assert list(versions) == ["ann"]
    assert outdated <= {"ann"}
    return versions["ann"], "ann" in outdated


# The newest version


def test_nothing_gives_nothing() -> None:
    assert newest_versions([]) == ({}, set())


def test_the_last_of_a_row_of_versions_is_the_newest() -> None:
    assert newest(make_profile(1), make_profile(2), make_profile(5)) == (make_profile(5), False)


def test_an_older_state_after_a_newer_one_is_outdated() -> None:
    assert newest(make_profile(5), make_profile(2)) == (make_profile(5), True)


def test_a_state_that_was_published_again_is_not_outdated_any_more() -> None:
    found = newest(make_profile(5), make_profile(2), make_profile(5))
    assert found == (make_profile(5), False)
    found = newest(make_profile(5), make_profile(2), make_profile(7))
    assert found == (make_profile(7), False)


def test_older_states_do_not_hide_behind_each_other() -> None:
    found = newest(make_profile(5), make_profile(2), make_profile(3), make_profile(4))
    assert found == (make_profile(5), True)


def test_of_several_topics_the_sum_counts() -> None:
    older, newer = make_profile({"a": 9, "b": 0}), make_profile({"a": 5, "b": 5})
    assert newest(older, newer) == (newer, False)
    assert newest(newer, older) == (newer, True)
    # a first action of a second topic counts, though its offset is 0
    first, second = make_profile({"a": 9}), make_profile({"a": 9, "b": 0})
    assert newest(second, first) == (second, True)


def test_a_tombstone_forgets_what_is_older() -> None:
    assert newest(make_profile(5), fence(6)) == (fence(6), False)


def test_an_older_state_does_not_bring_a_forgotten_user_back() -> None:
    assert newest(make_profile(5), fence(6), make_profile(4)) == (fence(6), True)


def test_a_newer_state_follows_a_tombstone() -> None:
    assert newest(fence(6), make_profile(7)) == (make_profile(7), False)


def test_an_older_tombstone_does_not_forget_a_newer_state() -> None:
    assert newest(make_profile(7), fence(6)) == (make_profile(7), True)


def test_a_tombstone_written_by_hand_means_what_it_says() -> None:
    assert newest(make_profile(5), None) == (None, False)
    assert newest(None) == (None, False)
    assert newest(fence(6), None) == (None, False)
    assert newest(None, make_profile(5)) == (make_profile(5), False)


def test_an_older_state_does_not_undo_a_tombstone_written_by_hand() -> None:
    assert newest(make_profile(5), None, make_profile(2)) == (None, True)
    assert newest(make_profile(5), None, make_profile(6)) == (make_profile(6), False)


def test_users_are_told_apart() -> None:
    versions, outdated = newest_versions(
        [
            profile_record("ann", make_profile(5)),
            profile_record("bob", make_profile(1)),
            profile_record("ann", make_profile(2)),
            profile_record("zoë", fence(3)),
            profile_record("bob", make_profile(4)),
        ]
    )
    assert versions == {"ann": make_profile(5), "bob": make_profile(4), "zoë": fence(3)}
    assert outdated == {"ann"}


written = st.one_of(
    st.builds(make_profile, st.integers(0, 20)),
    st.builds(fence, st.integers(0, 20)),
)


@given(st.lists(st.tuples(st.sampled_from(["ann", "bob"]), written)))
def test_the_highest_version_wins_in_any_order(
    log: list[tuple[str, ProfileState | Fence]],
) -> None:
    versions, outdated = newest_versions([profile_record(*entry) for entry in log])
    assert versions.keys() == {user_id for user_id, _ in log}
    for user_id, found in versions.items():
        assert found is not None
        of_user = [version_of(one.applied) for user, one in log if user == user_id]
        assert version_of(found.applied) == max(of_user)
        assert (user_id in outdated) == (of_user[-1] < max(of_user))


@pytest.mark.parametrize(
    "record",
    [
        KafkaRecord("profiles", b"ann", b"\xc1", 3, 41),
        KafkaRecord("profiles", b"ann", b"", 3, 41),
        KafkaRecord("profiles", b"\xff", profile_record("x", make_profile()).value, 3, 41),
        KafkaRecord("profiles", b"ann", None, 3, 41, headers=((FENCE_HEADER, b"\xc1"),)),
        NULL_FENCE,
        profile_record("ann", make_profile(dim=5), partition=3, offset=41),
    ],
    ids=["no-messagepack", "empty", "key", "fence", "null-fence", "dim"],
)
def test_a_record_that_cannot_be_read_stops_the_restore(record: KafkaRecord) -> None:
    with pytest.raises(CorruptRecordError, match=r"profiles, partition 3, offset 41: .*tombstone"):
        newest_versions([profile_record("bob", make_profile()), record])


# The same rule, into a table


def new_table(partition: int = 0) -> ProfileTable:
    return ProfileTable(partition, IDENTITY, Memory(), Vocabulary(Interner(), Interner()))


written_at_all = st.one_of(written, st.none())


@given(
    st.lists(st.tuples(st.sampled_from(["ann", "bob", "zoë"]), written_at_all)), st.integers(1, 5)
)
def test_a_table_is_filled_by_the_rule_however_the_records_are_chunked(
    log: list[tuple[str, ProfileState | Fence | None]], size: int
) -> None:
    records = [profile_record(*entry) for entry in log]
    versions, outdated = newest_versions(records)
    table = new_table()
    restore = Restore(table)
    for start in range(0, len(records), size):
        restore.take(records[start : start + size])
    assert restore.finish() == len(outdated)
    held = {user: table.state(user) if user in table else table.fence(user) for user, _ in log}
    for user, found in versions.items():
        if found is not None:
            assert held[user] == found
        else:  # deleted by hand: gone, and what it was is known
            assert user not in table
    assert {key.decode() for key, _ in table.take_changes().listed()} == {
        user for user in outdated if held[user] is not None
    }


@pytest.mark.parametrize(
    "record",
    [
        KafkaRecord("profiles", b"ann", b"\xc1", 3, 41),
        KafkaRecord("profiles", b"ann", b"", 3, 41),
        KafkaRecord("profiles", b"\xff", profile_record("x", make_profile()).value, 3, 41),
        KafkaRecord("profiles", b"\xff", None, 3, 41),
        KafkaRecord("profiles", b"ann", None, 3, 41, headers=((FENCE_HEADER, b"\xc1"),)),
        NULL_FENCE,
        profile_record("ann", make_profile(dim=5), partition=3, offset=41),
    ],
    ids=["no-messagepack", "empty", "key", "tombstone-key", "fence", "null-fence", "dim"],
)
def test_a_record_that_cannot_be_read_is_named(record: KafkaRecord) -> None:
    with pytest.raises(CorruptRecordError, match=r"profiles, partition 3, offset 41: .*tombstone"):
        Restore(new_table()).take([profile_record("bob", make_profile()), record])
