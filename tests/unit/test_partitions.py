"""Restoring a partition: the newest version of every key, whatever the order it was written in."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams_fakes import (
    IDENTITY,
    KafkaRecord,
    RecordingSensor,
    asynchronous,
    make_profile,
    profile_record,
)

from store.errors import CorruptRecordError, EncoderMismatchError
from store.interner import Interner
from store.profile import FENCE_HEADER, Fence, ProfileState, version_of
from store.record import Record
from store.table import Memory, ProfileTable, Vocabulary
from streams.activity import Activities
from streams.errors import BrokerUnavailableError
from streams.health import Health
from streams.partitions import OwnedPartitions, RestoreAbandonedError
from streams.restore import Restore, newest_versions

#: Kafka lets the value of a header be null.
NULL_FENCE = KafkaRecord("profiles", b"ann", None, 3, 41, headers=((FENCE_HEADER, None),))  # type: ignore[arg-type]


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


# The tables of the partitions that are owned


class Topic:
    """The topic ``profiles``: what it holds by partition, an exception to be raised there."""

    def __init__(self, **contents: list[KafkaRecord | BaseException]) -> None:
        self.contents = contents
        self.sources: dict[int, list[Source]] = {}

    def read(self, partition: int) -> Source:
        source = Source(list(self.contents.get(f"p{partition}", [])))
        self.sources.setdefault(partition, []).append(source)
        return source


class Source:
    """Offsets are places in the list; two records at a time."""

    def __init__(self, contents: list[KafkaRecord | BaseException]) -> None:
        self.contents = contents
        self.started = self.stopped = 0
        self.begun: int | None = None
        self.after_chunk: asyncio.Event | None = None

    async def start(self) -> None:
        self.started += 1

    async def stop(self) -> None:
        self.stopped += 1

    async def bounds(self) -> tuple[int, int]:
        return 0, len(self.contents)

    async def chunks(self, begin: int) -> AsyncIterator[tuple[Sequence[Record], int]]:
        self.begun = begin
        for at in range(begin, len(self.contents), 2):
            records = []
            for one in self.contents[at : at + 2]:
                if isinstance(one, BaseException):
                    raise one
                records.append(one)
            yield records, at + len(records)


class Snapshots:
    def __init__(self, **tables: tuple[ProfileTable, int]) -> None:
        self.tables = tables
        self.asked: list[tuple[int, int, int]] = []
        self.saved: list[tuple[ProfileTable, int]] = []

    def load(self, partition: int, first: int, end: int) -> tuple[ProfileTable, int] | None:
        self.asked.append((partition, first, end))
        return self.tables.get(f"p{partition}")

    def save(self, table: ProfileTable, offset: int) -> None:
        self.saved.append((table, offset))


def owning(
    topic: Topic, snapshots: Snapshots | None = None, health: Health | None = None
) -> tuple[OwnedPartitions, RecordingSensor]:
    sensor = RecordingSensor()
    owned = OwnedPartitions(
        topic.read, IDENTITY, Memory(), Vocabulary(Interner(), Interner()), sensor,
        health=health or Health(), activities=Activities(time.monotonic), snapshots=snapshots,
    )  # fmt: skip
    return owned, sensor


def changed(table: ProfileTable) -> set[str]:
    return {key.decode() for key, _ in table.take_changes().listed()}


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
    await owned.restore([0, 1, 2])
    assert [changed(owned.table(number)) for number in range(3)] == [{"ann"}, set(), set()]
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
    owned, _ = owning(topic := Topic(p0=[profile_record("ann", make_profile(5))]))
    await owned.restore([0])
    table = owned.table(0)
    await owned.restore([0, 1])
    assert owned.table(0) is table
    assert len(topic.sources[0]) == 1


@asynchronous
async def test_a_partition_given_up_is_read_again() -> None:
    owned, _ = owning(topic := Topic(p0=[profile_record("ann", make_profile(5))]))
    await owned.restore([0])
    owned.drop_all()
    with pytest.raises(KeyError):
        owned.table(0)
    assert owned.watched() == {}
    topic.contents["p0"].append(profile_record("ann", make_profile(9)))
    await owned.restore([0])
    assert owned.table(0).state("ann") == make_profile(9)


@asynchronous
async def test_what_was_read_and_what_was_acknowledged_is_known() -> None:
    owned, _ = owning(Topic(p0=[profile_record("ann", make_profile(n)) for n in range(5)]))
    await owned.restore([0])
    _, ranges = owned.watched()[0]
    assert ranges.known == 5
    owned.on_acknowledged(0, 7, 2)
    owned.on_acknowledged(3, 0, 9)  # not ours any more
    assert ranges.known == 5
    owned.on_acknowledged(0, 5, 2)
    assert ranges.known == 9


@asynchronous
async def test_a_snapshot_saves_reading_what_it_holds() -> None:
    table = new_table()
    table.take_over("ann", make_profile(5))
    table.take_over("bob", make_profile(6))
    topic = Topic(
        p0=[
            KafkaRecord("profiles", b"ann", b"\xc1 not read"),
            KafkaRecord("profiles", b"bob", b"\xc1 not read"),
            profile_record("ann", make_profile(4)),  # a late write
            profile_record("bob", make_profile(8)),
        ]
    )
    owned, sensor = owning(topic, snapshots := Snapshots(p0=(table, 2)))
    await owned.restore([0])
    assert snapshots.asked == [(0, 0, 4)]
    assert topic.sources[0][0].begun == 2
    assert owned.table(0).state("ann") == make_profile(5)
    assert owned.table(0).state("bob") == make_profile(8)
    assert changed(owned.table(0)) == {"ann"}
    assert owned.watched()[0][1].known == 4
    assert sensor.restored == [(0, 2)]


@asynchronous
async def test_what_is_given_up_is_saved_if_it_may_be() -> None:
    owned, _ = owning(Topic(p0=[profile_record("ann", make_profile(5))]), snapshots := Snapshots())
    await owned.restore([0])
    table = owned.table(0)
    owned.drop_all(save=True)
    assert snapshots.saved == [(table, 1)]
    await owned.restore([0])
    owned.drop_all()
    assert len(snapshots.saved) == 1


@asynchronous
async def test_a_worker_that_stops_abandons_its_restores() -> None:
    topic = Topic(p0=[profile_record("ann", make_profile(5))])
    source = topic.read(0)
    waits = asyncio.Event()

    async def start() -> None:
        waits.set()
        await asyncio.Event().wait()

    source.start = start  # type: ignore[method-assign]
    topic.read = lambda partition: source  # type: ignore[method-assign]  # noqa: ARG005
    owned, _ = owning(topic)
    restoring = asyncio.create_task(owned.restore([0]))
    await waits.wait()
    owned.stop()
    with pytest.raises(RestoreAbandonedError):
        await restoring
    assert source.stopped == 1
    with pytest.raises(RestoreAbandonedError):
        await owned.restore([0])


@asynchronous
async def test_a_restore_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    health, said = Health(), []
    records = [profile_record(f"u{n}", make_profile(n)) for n in range(10)]

    class Looking(Topic):
        def read(self, partition: int) -> Source:
            source = super().read(partition)
            chunks = source.chunks

            async def looking(begin: int) -> AsyncIterator[tuple[Sequence[Record], int]]:
                async for chunk in chunks(begin):
                    said.append(health.ready().line)
                    yield chunk

            source.chunks = looking  # type: ignore[method-assign]
            return source

    clock = iter(range(1_000))
    monkeypatch.setattr("streams.partitions.time.perf_counter", lambda: float(next(clock)))
    owned, _ = owning(Looking(p3=[*records]), health=health)
    with caplog.at_level(logging.INFO):
        await owned.restore([3])
    assert said == [
        f"restoring partition 3: {n} of ~{10 if n else 0} profiles" for n in range(0, 10, 2)
    ]
    assert "restoring profiles: partition=3 read=4 of=10 seconds=" in caplog.text
    assert health.ready().line == "starting"


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (BrokerUnavailableError("no broker"), BrokerUnavailableError),
        (KafkaRecord("profiles", b"ann", b"\xc1"), CorruptRecordError),
        (NULL_FENCE, CorruptRecordError),
        (profile_record("ann", make_profile(encoder="other")), EncoderMismatchError),
    ],
    ids=["broker", "corrupt", "null-fence", "encoder"],
)
def test_a_restore_that_fails_leaves_no_table(
    entry: KafkaRecord | BaseException, error: type[Exception]
) -> None:
    topic = Topic(p0=[profile_record("bob", make_profile()), entry])
    health = Health()
    owned, _ = owning(topic, health=health)

    @asynchronous
    async def steps() -> None:
        with pytest.raises(error):
            await owned.restore([0])
        assert topic.sources[0][0].stopped == 1
        with pytest.raises(KeyError):
            owned.table(0)
        assert "restoring" not in health.ready().line

    steps()
