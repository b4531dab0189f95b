from __future__ import annotations

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from streams_fakes import let_run

from store.batch import Pairs
from streams.activity import Activities
from streams.errors import PublishError
from streams.outbox import KafkaOutbox
from streams.records import OutPairs, OutRecord
from streams.written_batch import WrittenBatch


class FakeProducer:
    """Takes batches as aiokafka's producer does; fails as often as it is told."""

    def __init__(
        self, *failures: Exception, limit: int = 1 << 30, gate: asyncio.Event | None = None
    ) -> None:
        self.gate = gate
        self.underway: set[int] = set()
        self.at_once = 0
        self.failures = list(failures)
        self.limit = limit
        self.taken: dict[tuple[str, int], list[tuple[bytes | None, int]]] = defaultdict(list)
        self.batches = 0

    def create_batch(self) -> FakeBatch:
        return FakeBatch()

    async def send_batch(
        self, batch: FakeBatch | WrittenBatch, topic: str, *, partition: int
    ) -> asyncio.Future[Any]:
        self.batches += 1
        if self.gate is not None:
            self.underway.add(partition)
            self.at_once = max(self.at_once, len(self.underway))
            await self.gate.wait()
            self.underway.discard(partition)
        found = batch.records if isinstance(batch, FakeBatch) else written_in(batch)
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if any(size > self.limit for _, size in found):
            outcome.set_exception(MessageSizeTooLargeError())
        elif self.failures:
            outcome.set_exception(self.failures.pop(0))
        else:
            offset = len(self.taken[topic, partition])
            self.taken[topic, partition] += found
            outcome.set_result(SimpleNamespace(offset=offset))
        return outcome


class FakeBatch:
    """Holds three records."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, int]] = []
        self.headers: list[object] = []

    def append(
        self, *, timestamp: None, key: bytes | None, value: bytes | None, headers: list[object]
    ) -> object:
        del timestamp
        if len(self.records) == 3:
            return None
        self.records.append((key, len(value or b"")))
        self.headers.append(headers)
        return object()

    def record_count(self) -> int:
        return len(self.records)


def written_in(batch: WrittenBatch) -> list[tuple[bytes | None, int]]:
    """Keys and sizes of values."""
    header = MemoryRecords(bytes(batch._build())).next_batch()  # noqa: SLF001 # as aiokafka calls it
    assert header is not None
    return [(record.key, len(record.value or b"")) for record in header]


def outbox_on(producer: FakeProducer, *, retry_seconds: float = 60.0) -> KafkaOutbox:
    outbox = KafkaOutbox("nowhere:1", retry_seconds=retry_seconds)
    outbox._producer = producer  # noqa: SLF001 # in place of start(), which connects
    return outbox


def records(count: int, partition: int = 0) -> list[OutRecord]:
    return [OutRecord("t", partition, b"%d" % number, b"v") for number in range(count)]


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("streams.outbox.asyncio.sleep", sleep)
    return pauses


def test_records_keep_their_order_by_partition_over_full_batches() -> None:
    producer = FakeProducer()
    mixed = [one for pair in zip(records(7, 0), records(7, 1), strict=True) for one in pair]
    asyncio.run(outbox_on(producer).publish(mixed))
    assert [key for key, _ in producer.taken["t", 0]] == [b"%d" % n for n in range(7)]
    assert [key for key, _ in producer.taken["t", 1]] == [b"%d" % n for n in range(7)]
    assert producer.batches == 6


def pairs(partition: int, *keys: bytes, size: int = 1) -> OutPairs:
    parts = [part for key in keys for part in (key, b"v" * size)]
    bounds = np.cumsum([0, *map(len, parts)])
    return OutPairs("t", partition, Pairs(np.frombuffer(b"".join(parts), np.uint8), bounds))


def test_many_pairs_keep_their_order_among_records() -> None:
    producer = FakeProducer()
    acknowledged: list[tuple[str, int, int, int]] = []
    outbox = outbox_on(producer)
    outbox._on_acknowledged = lambda *place: acknowledged.append(place)  # noqa: SLF001
    mixed: list[OutRecord | OutPairs] = [
        pairs(0, b"a", b"b"),
        OutRecord("t", 0, b"c", None),
        pairs(1, b"x"),
        pairs(0, b"d", b"e", b"f", b"g"),
    ]
    asyncio.run(outbox.publish(mixed))
    assert [key for key, _ in producer.taken["t", 0]] == [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]
    assert [key for key, _ in producer.taken["t", 1]] == [b"x"]
    assert sorted(acknowledged) == [("t", 0, 0, 2), ("t", 0, 2, 1), ("t", 0, 3, 4), ("t", 1, 0, 1)]


def test_pairs_that_failed_are_sent_again(no_waiting: list[float]) -> None:
    producer = FakeProducer(KafkaTimeoutError())
    asyncio.run(outbox_on(producer).publish([pairs(0, b"a", b"b")]))
    assert [key for key, _ in producer.taken["t", 0]] == [b"a", b"b"]
    assert no_waiting == [0.1]


def test_a_profile_that_the_broker_finds_too_large_ends_the_worker() -> None:
    producer = FakeProducer(limit=10)
    with pytest.raises(PublishError, match="too large"):
        asyncio.run(outbox_on(producer).publish([pairs(0, b"a", size=11)]))


def test_a_failed_batch_is_sent_again_with_growing_pauses(no_waiting: list[float]) -> None:
    producer = FakeProducer(KafkaTimeoutError(), KafkaTimeoutError(), KafkaTimeoutError())
    asyncio.run(outbox_on(producer).publish(records(2)))
    assert [key for key, _ in producer.taken["t", 0]] == [b"0", b"1"]
    assert no_waiting == [0.1, 0.2, 0.4]


def test_it_gives_up_after_its_time(no_waiting: list[float]) -> None:
    del no_waiting
    producer = FakeProducer(*[KafkaTimeoutError()] * 10)
    with pytest.raises(PublishError, match="1 records were not acknowledged within 0 s"):
        asyncio.run(outbox_on(producer, retry_seconds=0.0).publish(records(1)))


def test_what_may_be_shortened_is_and_says_so() -> None:
    producer = FakeProducer(limit=100_000)
    letter = OutRecord("dead", 0, b"k", b"x" * 1_000_000, (("error", b"e"),), may_shorten=True)
    asyncio.run(outbox_on(producer).publish([letter, *records(1)]))
    assert producer.taken["dead", 0] == [(b"k", 64 * 1024)]
    assert producer.taken["t", 0][-1] == (b"0", 1)


def test_a_profile_that_is_too_large_is_an_error_and_never_cut() -> None:
    producer = FakeProducer(limit=100_000)
    with pytest.raises(PublishError, match=r"too large.*max\.message\.bytes"):
        asyncio.run(outbox_on(producer).publish([OutRecord("profiles", 0, b"k", b"x" * 1_000_000)]))
    assert not producer.taken


@pytest.mark.parametrize(("size", "at_once"), [(1_000, 3), (1_000_000, 1)])
def test_partitions_are_sent_side_by_side_unless_a_record_is_large(size: int, at_once: int) -> None:
    """aiokafka makes one request of them, and a broker hangs up on one of 100 MiB."""

    async def main() -> FakeProducer:
        producer = FakeProducer(gate=asyncio.Event())
        letters = [OutRecord("dead", n, b"k", b"x" * size) for n in range(3)]
        sending = asyncio.create_task(outbox_on(producer).publish(letters))
        await let_run()
        assert producer.gate is not None
        producer.gate.set()
        await sending
        return producer

    producer = asyncio.run(main())
    assert producer.at_once == at_once
    assert len(producer.taken) == 3


def test_where_the_broker_put_the_records_is_told() -> None:
    """Also of the batches beside one that failed; that one is where it is sent again."""
    told: list[tuple[str, int, int, int]] = []
    producer = FakeProducer(KafkaTimeoutError())
    outbox = KafkaOutbox("nowhere:1", on_acknowledged=lambda *one: told.append(one))
    outbox._producer = producer  # noqa: SLF001
    asyncio.run(outbox.publish(records(4)))
    assert producer.taken["t", 0] == [(b"%d" % n, 1) for n in (3, 0, 1, 2, 3)]
    assert told == [("t", 0, 0, 1), ("t", 0, 1, 3), ("t", 0, 4, 1)]


def test_what_is_published_is_seen_while_it_is() -> None:
    activities = Activities(lambda: 7.0)
    seen: list[tuple[str, str]] = []

    class Looking(FakeProducer):
        def create_batch(self) -> FakeBatch:
            seen.extend((one.stage, one.what) for one in activities.current())
            return super().create_batch()

    outbox = KafkaOutbox("nowhere:1", activities=activities)
    outbox._producer = Looking()  # noqa: SLF001
    asyncio.run(outbox.publish(records(2)))
    assert seen == [("publish", "2 records")]
    assert activities.current() == []
    assert activities.done == 2


def test_nothing_to_publish_sends_nothing() -> None:
    producer = FakeProducer()
    asyncio.run(outbox_on(producer).publish([]))
    assert producer.batches == 0


def test_the_fake_batch_is_used_as_the_real_one_can_be() -> None:
    """aiokafka's own builder takes the same call, and an empty one takes any record."""
    builder = BatchBuilder(
        10, 0, is_transactional=False, key_serializer=None, value_serializer=None
    )
    first = builder.append(timestamp=None, key=b"k", value=b"x" * 1_000, headers=[("a", b"b")])
    assert first is not None
    assert builder.append(timestamp=None, key=b"k", value=b"x", headers=[]) is None
