"""The tables of the partitions that a worker owns: restored, given up, saved."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence

import pytest
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
from store.profile import FENCE_HEADER, Fence
from store.record import Record
from store.table import Memory, ProfileTable, Vocabulary
from streams.activity import Activities
from streams.errors import BrokerUnavailableError
from streams.health import Health
from streams.partitions import OwnedPartitions, RestoreAbandonedError

#: Kafka lets the value of a header be null.
NULL_FENCE = KafkaRecord("profiles", b"ann", None, 3, 41, headers=((FENCE_HEADER, None),))


def fence(applied: int, forgotten_ts: int = 5) -> Fence:
    return Fence(partition=0, applied={"actions": applied}, forgotten_ts=forgotten_ts)


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
    table = ProfileTable(0, IDENTITY, Memory(), Vocabulary(Interner(), Interner()))
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
