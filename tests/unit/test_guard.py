"""What others write to an owned partition is found, and what it overtook is published again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams_fakes import (
    IDENTITY,
    KafkaRecord,
    asynchronous,
    make_profile,
    profile_record,
    until,
)

from store.interner import Interner
from store.profile import FENCE_HEADER, Fence
from store.record import Record
from store.table import Memory, ProfileTable, Vocabulary
from streams.guard import ProfileGuard
from streams.ranges import ForeignRanges
from streams.sensor import Sensor

# The ranges


def test_a_partition_that_only_the_owner_writes_to_is_never_read() -> None:
    ranges = ForeignRanges(10)
    assert ranges.look(0.0, 10, None) == []
    ranges.explain(10, 15)
    ranges.explain(15, 40)
    assert ranges.look(1.0, 40, None) == []
    assert ranges.look(2.0, 40, None) == []
    assert ranges.known == 40


def test_what_nobody_explains_is_read_at_the_second_look() -> None:
    ranges = ForeignRanges(10)
    ranges.explain(13, 20)
    ranges.explain(25, 30)
    assert ranges.look(0.0, 32, None) == []  # our own may be on their way
    assert ranges.look(1.0, 50, None) == [(10, 13), (20, 25), (30, 32)]
    assert ranges.known == 10
    ranges.explain(10, 13)
    assert ranges.known == 20
    ranges.explain(30, 34)  # the batch that 32 was in
    ranges.explain(20, 25)
    assert ranges.known == 34


def test_what_is_being_sent_may_be_our_own() -> None:
    ranges = ForeignRanges(0)
    assert ranges.look(1.0, 5, None) == []
    assert ranges.look(2.0, 5, 0.5) == []  # begun before the end was seen
    assert ranges.look(3.0, 9, 1.0) == []
    assert ranges.look(4.0, 9, 3.5) == [(0, 5)]  # begun after it
    assert ranges.look(5.0, 9, None) == [(0, 9)]


def test_ranges_that_overlap_are_one() -> None:
    ranges = ForeignRanges(0)
    for first, stop in [(5, 9), (20, 30), (8, 12), (15, 22), (12, 15), (3, 3)]:
        ranges.explain(first, stop)
    assert ranges.look(0.0, 40, None) == []
    assert ranges.look(1.0, 40, None) == [(0, 5), (30, 40)]


@dataclass
class Log:
    """A partition that the owner and others append to; acknowledgements come late."""

    ranges: ForeignRanges = field(default_factory=lambda: ForeignRanges(0))
    mine: list[bool] = field(default_factory=list)
    unacknowledged: list[tuple[float, int, int]] = field(default_factory=list)
    now: float = 0.0
    dealt_with: set[int] = field(default_factory=set)

    def append(self, count: int, *, mine: bool) -> None:
        first = len(self.mine)
        self.mine += [mine] * count
        if mine:
            self.unacknowledged.append((self.now, first, first + count))

    def acknowledge(self) -> None:
        if self.unacknowledged:
            _, first, stop = self.unacknowledged.pop(0)
            self.ranges.explain(first, stop)

    def look(self) -> None:
        since = min((begun for begun, _, _ in self.unacknowledged), default=None)
        unknown = self.ranges.look(self.now, len(self.mine), since)
        for first, stop in unknown:
            assert not any(self.mine[first:stop]), "read what we wrote ourselves"
            self.dealt_with.update(range(first, stop))
            self.ranges.explain(first, stop)
        foreign = {offset for offset, mine in enumerate(self.mine) if not mine}
        assert {one for one in foreign if one < self.ranges.known} <= self.dealt_with


@given(st.lists(st.sampled_from(["mine", "other", "acknowledge", "look", "pass"]), max_size=60))
def test_every_foreign_record_is_read_and_none_of_our_own(steps: list[str]) -> None:
    log = Log()
    for number, step in enumerate(steps):
        if step in {"mine", "other"}:
            log.append(1 + number % 3, mine=step == "mine")
        elif step == "acknowledge":
            log.acknowledge()
        elif step == "look":
            log.look()
        log.now += 1.0
    while log.unacknowledged:
        log.acknowledge()
    for _ in range(2):
        log.look()
        log.now += 1.0
    assert log.dealt_with == {offset for offset, mine in enumerate(log.mine) if not mine}
    assert log.ranges.known == len(log.mine)


# The guard


class FakePeek:
    """A topic of two partitions, read two records at a time."""

    def __init__(self) -> None:
        self.log: dict[int, list[Record]] = {0: [], 1: []}
        self.reads: list[tuple[int, int, int]] = []
        self.error: Exception | None = None
        self.unreadable: set[int] = set()
        self.ended = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.ended = True

    async def ends(self, partitions: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], int]:
        if self.error is not None:
            raise self.error
        return {(topic, number): len(self.log[number]) for topic, number in partitions}

    async def read(
        self, topic: str, partition: int, first: int, stop: int
    ) -> AsyncIterator[tuple[Sequence[Record], int]]:
        assert topic == "profiles"
        self.reads.append((partition, first, stop))
        if partition in self.unreadable:
            raise TimeoutError(f"nothing comes of {partition}")
        for at in range(first, stop, 2):
            end = min(at + 2, stop)
            yield self.log[partition][at:end], end


class Owner(Sensor):
    """Two tables and their guard; what is published again comes to the log's end."""

    def __init__(self) -> None:
        vocabulary = Vocabulary(Interner(), Interner())
        self.tables = {n: ProfileTable(n, IDENTITY, Memory(), vocabulary) for n in range(2)}
        self.ranges = {n: ForeignRanges(0) for n in range(2)}
        self.peek = FakePeek()
        self.published: list[str] = []
        self.overtaken = 0
        self.seconds = 0.0
        self.guard = ProfileGuard(
            "profiles", self, self.peek, self.publish, lambda: None, self, self.clock,
            unavailable=(TimeoutError,), interval=0.001,
        )  # fmt: skip

    def clock(self) -> float:
        self.seconds += 1.0
        return self.seconds

    def watched(self) -> Mapping[int, tuple[ProfileTable, ForeignRanges]]:
        return {n: (self.tables[n], self.ranges[n]) for n in self.tables}

    def on_overtaken(self, profiles: int) -> None:
        self.overtaken += profiles

    async def publish(self) -> None:
        for number, table in self.tables.items():
            known = self.ranges[number].known
            changes = table.take_changes()
            for key, value in changes.listed():
                assert known < len(self.peek.log[number]), "known before it was published again"
                self.write(number, KafkaRecord("profiles", key, value, number), mine=True)
                self.published.append(key.decode())

    def write(self, partition: int, *records: KafkaRecord, mine: bool = False) -> None:
        log = self.peek.log[partition]
        log += records
        if mine:
            self.ranges[partition].explain(len(log) - len(records), len(log))

    def hold(self, user: str, offset: int, partition: int = 0) -> None:
        """A state that the owner holds and has published."""
        state = make_profile(offset, partition=partition)
        self.tables[partition].take_over(user, state)
        self.write(partition, profile_record(user, state, partition=partition), mine=True)

    async def looks(self) -> int:
        return sum([await self.guard.look() for _ in range(3)])


@asynchronous
async def test_its_own_records_are_not_read() -> None:
    owner = Owner()
    owner.hold("ann", 5)
    owner.hold("ben", 6, partition=1)
    assert await owner.looks() == 0
    assert owner.peek.reads == []


@asynchronous
async def test_a_late_state_makes_the_newest_be_published_again() -> None:
    owner = Owner()
    owner.hold("ann", 5)
    owner.hold("ben", 6)
    owner.write(
        0,
        profile_record("ann", make_profile(3)),
        profile_record("ann", make_profile(4)),
        profile_record("ben", make_profile(9)),  # newer than ours: we are about to reach it
    )
    owner.hold("cid", 7)
    assert await owner.looks() == 1
    assert owner.published == ["ann"]
    assert owner.overtaken == 1
    assert owner.peek.reads == [(0, 2, 5)]
    assert owner.ranges[0].known == len(owner.peek.log[0])


@asynchronous
async def test_a_late_state_does_not_bring_a_forgotten_user_back() -> None:
    owner = Owner()
    owner.tables[1].take_over("ann", Fence(partition=1, applied={"actions": 8}, forgotten_ts=1))
    owner.write(1, profile_record("ann", make_profile(4, partition=1), partition=1))
    assert await owner.looks() == 1
    last = owner.peek.log[1][-1]
    assert (last.key, last.value) == (b"ann", None)


@asynchronous
async def test_a_late_tombstone_does_not_forget() -> None:
    owner = Owner()
    owner.hold("ann", 5)
    late = Fence(partition=0, applied={"actions": 2}, forgotten_ts=1)
    owner.write(0, profile_record("ann", late), profile_record("zoe", None))
    assert await owner.looks() == 1
    assert owner.published == ["ann"]


@asynchronous
async def test_what_cannot_be_read_is_told_and_passed(caplog: pytest.LogCaptureFixture) -> None:
    owner = Owner()
    owner.hold("ann", 5)
    owner.write(
        0,
        KafkaRecord("profiles", b"ann", b"\xc1", 0, 1),
        KafkaRecord("profiles", b"ann", None, 0, 2, headers=((FENCE_HEADER, None),)),
        profile_record("ann", make_profile(1)),
    )
    assert await owner.looks() == 1
    for offset in (1, 2):
        assert f"profiles, partition 0, offset {offset}: " in caplog.text


@asynchronous
async def test_a_partition_that_cannot_be_read_does_not_hide_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner = Owner()
    for number, user in enumerate(["ann", "ben"]):
        owner.hold(user, 5, partition=number)
        late = make_profile(1, partition=number)
        owner.write(number, profile_record(user, late, partition=number))
    owner.peek.unreadable = {0}
    assert await owner.looks() == 1
    assert owner.published == ["ben"]
    assert "profiles cannot be watched for late writes now: partition 0: TimeoutError" in (
        caplog.text
    )
    assert "partition 1: " not in caplog.text
    owner.peek.unreadable = set()
    assert await owner.looks() == 1  # nothing was taken for read
    assert owner.published == ["ben", "ann"]


@asynchronous
async def test_a_broker_that_is_away_does_not_end_the_guard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner = Owner()
    owner.hold("ann", 5)
    owner.write(0, profile_record("ann", make_profile(1)))
    owner.peek.error = TimeoutError("nobody there")

    class PublishedError(Exception):
        pass

    publish = owner.publish

    async def publish_and_raise() -> None:
        await publish()
        raise PublishedError

    owner.guard._republish = publish_and_raise  # noqa: SLF001 # ends the run
    running = asyncio.create_task(owner.guard.run())
    await until(lambda: "cannot be watched" in caplog.text)
    owner.peek.error = None
    with pytest.raises(PublishedError):
        await running
    assert owner.published == ["ann"]
    assert owner.peek.ended
