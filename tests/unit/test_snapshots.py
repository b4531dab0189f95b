"""Which snapshots may be used, and that none of them stops the work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streams_fakes import IDENTITY, NOW, asynchronous, let_run, make_profile, until

from store.interner import Interner
from store.policies import Policy
from store.snapshot import save_table
from store.table import Identity, Memory, ProfileTable, Vocabulary
from streams.ranges import ForeignRanges
from streams.sensor import Sensor
from streams.snapshots import LocalSnapshots, Snapshotter
from streams.topics import TopicIdentity

TOPIC = TopicIdentity("profiles", "id-1", tombstone_ms=1_000)


class Counting(Sensor):
    def __init__(self) -> None:
        self.written = self.failed = 0

    def on_snapshot(self, seconds: float | None) -> None:
        if seconds is None:
            self.failed += 1
        else:
            self.written += 1


class Disk:
    """A folder, and a worker's view of it; each one has a vocabulary of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOW
        self.sensor = Counting()

    def snapshots(
        self,
        topic: TopicIdentity = TOPIC,
        identity: Identity = IDENTITY,
        *,
        clock_skew_ms: int = 100,
    ) -> LocalSnapshots:
        vocabulary = Vocabulary(Interner(), Interner())
        return LocalSnapshots(
            self.folder, topic, identity, Memory(), vocabulary, lambda: self.now, self.sensor,
            clock_skew_ms=clock_skew_ms,
        )  # fmt: skip


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "snapshots")


def table_of(partition: int = 2, offset: int = 5) -> ProfileTable:
    table = ProfileTable(partition, IDENTITY, Memory(), Vocabulary(Interner(), Interner()))
    table.take_over("ann", make_profile(offset, partition=partition))
    return table


def saved(disk: Disk, table: ProfileTable, offset: int = 40) -> None:
    snapshots = disk.snapshots()
    snapshots.save(table, offset).result(20)
    snapshots.close(20)


def test_what_is_saved_is_loaded(disk: Disk) -> None:
    saved(disk, table_of())
    loaded = disk.snapshots().load(2, 0, 40)
    assert loaded is not None
    assert loaded[0].state("ann") == make_profile(5, partition=2)
    assert loaded[1] == 40
    assert disk.snapshots().load(1, 0, 40) is None
    assert disk.sensor.written == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("recreated", "was made anew since"),
        ("tombstones", "older than half of the topic's delete.retention.ms"),
        ("future", "from 0.1 s in the future"),
        ("far future", "from 86400.0 s in the future, so its age is not known"),
        ("beyond", "the topic has offsets 0 to 39, it ends at 40"),
        ("before", "the topic has offsets 41 to 90, it ends at 40"),
        ("policy", "folded by|policy"),
        ("damaged", "checksum|damaged|CRC"),
        ("unreadable", "Is a directory"),
    ],
)
def test_one_that_may_not_be_used_is_refused_with_the_reason(
    disk: Disk, change: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    saved(disk, table_of())
    snapshots, first, end = disk.snapshots(), 0, 90
    path = snapshots.path(2)
    if change == "recreated":
        snapshots = disk.snapshots(replace(TOPIC, topic_id="id-2"))
    elif change == "tombstones":
        disk.now += 501
    elif change == "future":
        disk.now -= 101
    elif change == "far future":
        disk.now -= 24 * 3600 * 1000
    elif change == "beyond":
        end = 39
    elif change == "before":
        first = 41
    elif change == "policy":
        snapshots = disk.snapshots(identity=replace(IDENTITY, policy=Policy("constant", k=0.1)))
    elif change == "damaged":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()
        path.mkdir()
    assert snapshots.load(2, first, end) is None
    (record,) = [one for one in caplog.records if "is not used" in one.message]
    assert any(part in record.message for part in why.split("|")), record.message


def test_a_clock_may_be_ahead_by_its_skew_and_by_half_of_what_tombstones_have(disk: Disk) -> None:
    saved(disk, table_of())
    disk.now -= 100
    assert disk.snapshots().load(2, 0, 40) is not None
    disk.now -= 400
    generous = disk.snapshots(clock_skew_ms=300_000)
    assert generous.load(2, 0, 40) is not None
    disk.now -= 1
    assert generous.load(2, 0, 40) is None


def test_one_that_cannot_be_written_is_told_and_the_one_before_stays(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    saved(disk, table_of())
    before = disk.snapshots().path(2).read_bytes()
    disk.snapshots().path(2).with_name("profiles-2.tms.partial").mkdir()  # in the way
    saved(disk, table_of(offset=9), offset=50)
    assert (disk.sensor.written, disk.sensor.failed) == (1, 1)
    assert disk.snapshots().path(2).read_bytes() == before
    assert "cannot be written" in caplog.text


def test_a_disk_that_hangs_does_not_hold_up_the_end(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hangs = threading.Event()
    monkeypatch.setattr("streams.snapshots.save_table", lambda *_: hangs.wait(60))
    snapshots = disk.snapshots()
    snapshots.save(table_of(), 40)
    snapshots.close(0.05)
    assert "not all snapshots were written within" in caplog.text
    hangs.set()


class SlowDisk:
    """Writes once it is released; ``begun`` says that the first table has come."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.released = threading.Event(), threading.Event()
        monkeypatch.setattr("streams.snapshots.save_table", self.save)

    def save(self, *given: Any) -> None:
        self.begun.set()
        assert self.released.wait(60)
        save_table(*given)


def test_of_a_partition_only_the_newest_table_waits(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, snapshots = SlowDisk(monkeypatch), disk.snapshots()
    being_written = snapshots.save(table_of(), 40)
    assert slow.begun.wait(20)
    replaced = [snapshots.save(table_of(), offset) for offset in range(41, 50)]
    newest, other = snapshots.save(table_of(), 50), snapshots.save(table_of(1), 7)
    assert all(one.done() for one in replaced)  # nobody waits for what is not written
    assert not any(one.done() for one in (being_written, newest, other))
    slow.released.set()
    snapshots.close(20)
    assert being_written.done()
    assert newest.done()
    assert disk.sensor.written == 3
    assert [disk.snapshots().load(n, 0, 99)[1] for n in (1, 2)] == [7, 50]  # type: ignore[index]


def test_the_writer_survives_whatever_a_table_raises(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    raised: list[Exception] = [MemoryError("no room"), KeyError("a defect")]

    def save(*given: Any) -> None:
        if raised:
            raise raised.pop(0)
        save_table(*given)

    monkeypatch.setattr("streams.snapshots.save_table", save)
    snapshots = disk.snapshots()
    for offset in (40, 50, 60):
        snapshots.save(table_of(), offset).result(20)
    snapshots.close(20)
    assert (disk.sensor.written, disk.sensor.failed) == (1, 2)
    assert "profiles-2.tms cannot be written: MemoryError: no room;" in caplog.text
    assert "KeyError: 'a defect'" in caplog.text
    assert all(one.exc_info for one in caplog.records)  # unforeseen: where it happened is shown


@asynchronous
async def test_who_leaves_while_a_table_is_written_does_not_end_the_writer(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that stops cancels its `Snapshotter`, and saves what it gives up."""
    slow, snapshots = SlowDisk(monkeypatch), disk.snapshots()
    waiting = asyncio.wrap_future(snapshots.save(table_of(), 40))
    snapshots.save(table_of(1), 7)
    await until(slow.begun.is_set)
    waiting.cancel()
    await let_run()
    slow.released.set()
    snapshots.close(20)
    assert disk.sensor.written == 2


class Owner:
    def __init__(self) -> None:
        self.tables = {n: table_of(n) for n in range(2)}
        self.ranges = {n: ForeignRanges(10) for n in range(2)}
        self.is_settled = True
        self.rounds = 0

    def watched(self) -> Mapping[int, tuple[ProfileTable, ForeignRanges]]:
        self.rounds += 1
        return {n: (self.tables[n], self.ranges[n]) for n in self.tables}

    @asynccontextmanager
    async def settled(self) -> AsyncIterator[bool]:
        yield self.is_settled


@asynchronous
async def test_every_partition_is_written_and_again_where_something_came(disk: Disk) -> None:
    owner, snapshots = Owner(), disk.snapshots()
    running = asyncio.create_task(
        Snapshotter(snapshots, owner, owner.settled, interval=0.001).run()
    )

    async def rounds(more: int) -> None:
        wanted = owner.rounds + more
        await until(lambda: owner.rounds >= wanted)

    async def written(count: int) -> None:
        await until(lambda: disk.sensor.written >= count)

    await written(2)
    await rounds(6)
    assert disk.sensor.written == 2
    owner.is_settled = False
    owner.ranges[1].explain(10, 20)
    await rounds(6)
    assert disk.sensor.written == 2  # what is not published is not written
    owner.is_settled = True
    await written(3)
    running.cancel()
    snapshots.close(20)
    assert [disk.snapshots().load(n, 0, 99)[1] for n in range(2)] == [10, 20]  # type: ignore[index]
