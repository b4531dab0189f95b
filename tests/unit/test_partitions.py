"""Restoring a partition: the newest version of every key, whatever the order it was written in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams_fakes import (
    IDENTITY,
    FakeSource,
    KafkaRecord,
    RecordingSensor,
    asynchronous,
    make_profile,
    profile_record,
    unit_rows,
    weighed,
)

from store.errors import CorruptRecordError, EncoderMismatchError
from store.profile import FENCE_HEADER, Fence, ProfileState, version_of
from store.table import Memory
from streams.errors import BrokerUnavailableError
from streams.partitions import OwnedPartitions, newest_versions


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
        profile_record("ann", make_profile(dim=5), partition=3, offset=41),
    ],
    ids=["no-messagepack", "empty", "key", "fence", "dim"],
)
def test_a_record_that_cannot_be_read_stops_the_restore(record: KafkaRecord) -> None:
    with pytest.raises(CorruptRecordError, match=r"profiles, partition 3, offset 41: .*tombstone"):
        newest_versions([profile_record("bob", make_profile()), record])


# The tables of the partitions that are owned


class Topic:
    """The topic ``profiles``, as fake sources by partition."""

    def __init__(self, **contents: list[KafkaRecord | BaseException]) -> None:
        self.contents = contents
        self.sources: dict[int, list[FakeSource]] = {}

    def read(self, partition: int) -> FakeSource:
        source = FakeSource(list(self.contents.get(f"p{partition}", [])))
        self.sources.setdefault(partition, []).append(source)
        return source


def owning(topic: Topic) -> tuple[OwnedPartitions, RecordingSensor]:
    sensor = RecordingSensor()
    return OwnedPartitions(topic.read, IDENTITY, Memory(), sensor), sensor


@asynchronous
async def test_restore_gives_the_tables_their_profiles() -> None:
    topic = Topic(
        p0=[
            profile_record("ann", make_profile(5)),
            profile_record("ann", make_profile(2)),
            profile_record("bob", fence(3, forgotten_ts=9)),
            profile_record("cid", None),
        ],
        p1=[profile_record("dan", make_profile(1, partition=1))],
    )
    owned, sensor = owning(topic)
    assert await owned.restore([0, 1, 2]) == {0: {"ann"}, 1: set(), 2: set()}
    assert owned.table(0).state("ann") == make_profile(5)
    assert owned.table(0).fence("bob") == fence(3, forgotten_ts=9)
    assert [user_id in owned.table(0) for user_id in ("ann", "bob", "cid")] == [True, False, False]
    assert owned.table(1).state("dan") == make_profile(1, partition=1)
    assert len(owned.table(2)) == 0
    assert [owned.table(number).partition for number in range(3)] == [0, 1, 2]
    assert sorted(sensor.restored) == [(0, 1), (1, 1), (2, 0)]
    assert {n: [(s.started, s.stopped) for s in made] for n, made in topic.sources.items()} == {
        n: [(1, 1)] for n in range(3)
    }


@asynchronous
async def test_a_table_that_is_there_is_kept_as_it_is() -> None:
    topic = Topic(
        p0=[profile_record("ann", make_profile(5)), profile_record("ann", make_profile())]
    )
    owned, _ = owning(topic)
    await owned.restore([0])
    table = owned.table(0)
    table.apply("actions", [weighed(6)], unit_rows(1))
    assert await owned.restore([0, 1]) == {1: set()}
    assert owned.table(0) is table
    assert len(topic.sources[0]) == 1


@asynchronous
async def test_a_partition_given_up_is_read_again() -> None:
    topic = Topic(p0=[profile_record("ann", make_profile(5))])
    owned, _ = owning(topic)
    await owned.restore([0])
    owned.table(0).apply("actions", [weighed(6)], unit_rows(1))
    owned.drop_all()
    with pytest.raises(KeyError):
        owned.table(0)
    topic.contents["p0"].append(profile_record("ann", make_profile(9)))
    assert await owned.restore([0]) == {0: set()}
    assert owned.table(0).state("ann") == make_profile(9)


@asynchronous
async def test_the_fold_goes_on_from_what_was_restored() -> None:
    owned, _ = owning(Topic(p0=[profile_record("ann", make_profile(5))]))
    await owned.restore([0])
    vector = unit_rows(1)
    applied = owned.table(0).apply("actions", [weighed(5), weighed(6)], vector)
    assert applied.counts == {"fenced": 1, "applied": 1}
    # count was 1, so k = 1/2
    expected = (make_profile().array() + vector[0]) / 2
    np.testing.assert_allclose(owned.table(0).state("ann").array(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (BrokerUnavailableError("no broker"), BrokerUnavailableError),
        (KafkaRecord("profiles", b"ann", b"\xc1"), CorruptRecordError),
        (profile_record("ann", make_profile(encoder="other")), EncoderMismatchError),
    ],
    ids=["broker", "corrupt", "encoder"],
)
def test_a_restore_that_fails_leaves_no_table(
    entry: KafkaRecord | BaseException, error: type[Exception]
) -> None:
    topic = Topic(p0=[profile_record("bob", make_profile()), entry])
    owned, _ = owning(topic)

    @asynchronous
    async def steps() -> None:
        with pytest.raises(error):
            await owned.restore([0])
        assert topic.sources[0][0].stopped == 1
        with pytest.raises(KeyError):
            owned.table(0)

    steps()
