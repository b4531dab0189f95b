"""What the transport does with a fetch: its methods, on stand-ins for Faust's and Kafka's parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError
from faust.types.tuples import TP

from streams import transport
from streams.chunk import ChunkRecord, RecordChunk
from streams.offsets import OffsetTracker
from streams.transport import Consumer, ConsumerThread, FetchedBatch

A0, A1, B0 = TP("a", 0), TP("a", 1), TP("b", 0)


def records(first: int, count: int = 3) -> list[RecordChunk]:
    return [chunk(first, count)]


def chunk(first: int, count: int) -> RecordChunk:
    offsets = range(first, first + count)
    return RecordChunk.of(ChunkRecord(offset, 1_000 + offset, b"k", None) for offset in offsets)


class FakeConsumer:
    """As much of Faust's consumer as a fetch uses."""

    def __init__(self, fetched: dict[TP, list[Any]] | None, active: set[TP]) -> None:
        self.app = SimpleNamespace(
            consumer_generation_id=7,
            in_recovery=False,
            monitor=SimpleNamespace(track_tp_end_offset=lambda *_: None),
        )
        self.offsets: OffsetTracker[TP] = OffsetTracker()
        self.era = 3
        self.flow_active = True
        self.should_stop = False
        self._buffered_partitions: set[TP] = set()
        self._active_partitions: set[TP] | None = None
        self._read_offset: dict[TP, int | None] = {}
        self._thread = SimpleNamespace(rewind=self._rewind)
        self._fetched, self._active = fetched, active
        self.during_fetch: Callable[[], None] = lambda: None
        self.rewound: dict[TP, int] = {}

    async def _wait_next_records(self, _: float) -> tuple[Any, set[TP]]:
        self.during_fetch()
        return self._fetched, self._active

    async def _rewind(self, firsts: dict[TP, int]) -> dict[TP, int]:
        self.rewound.update(firsts)
        return firsts

    def highwater(self, _: TP) -> int:
        return 99

    _batch_message = Consumer._batch_message  # noqa: SLF001
    _undo_fetch = Consumer._undo_fetch  # noqa: SLF001

    def rebalance(self) -> None:
        self.app.consumer_generation_id += 1

    def hand_over(self, after_each: Callable[[], None] = lambda: None) -> list[Any]:
        async def main() -> list[Any]:
            messages = []
            async for _, message in Consumer.getmany(self, 1.0):  # type: ignore[arg-type]
                messages.append(message)
                after_each()
            return messages

        return asyncio.run(main())


def test_a_message_carries_a_partitions_whole_batch() -> None:
    consumer = FakeConsumer({A0: records(5), B0: records(0, 1), A1: []}, {A0, A1, B0})
    first, second = consumer.hand_over()
    assert isinstance(first.value, FetchedBatch)
    assert [record.offset for record in first.value.records] == [5, 6, 7]
    assert (first.tp, first.offset, first.generation_id) == (A0, 7, 7)
    assert first.value.era == 3
    assert (second.tp, second.offset) == (B0, 0)
    assert consumer.rewound == {}
    consumer.offsets.done(first.value.delivery)
    assert consumer.offsets.committable(A0) == 8
    assert consumer.offsets.committable(B0) is None


def test_chunks_of_a_partition_come_in_their_order() -> None:
    consumer = FakeConsumer({A0: [chunk(5, 2), chunk(7, 3)], B0: [chunk(0, 1)]}, {A0, B0})
    messages = consumer.hand_over()
    assert [(message.tp, message.offset) for message in messages] == [(A0, 6), (A0, 9), (B0, 0)]


def test_chunks_that_were_not_handed_over_are_undone_from_the_first() -> None:
    consumer = FakeConsumer({A0: [chunk(5, 2), chunk(7, 3), chunk(10, 1)]}, {A0})
    (handed,) = consumer.hand_over(after_each=consumer.rebalance)
    assert handed.offset == 6
    assert consumer.rewound == {A0: 7}


def test_an_empty_fetch_hands_over_nothing() -> None:
    nothing: list[dict[TP, list[Any]] | None] = [{}, None, {A0: []}]
    for fetched in nothing:
        consumer = FakeConsumer(fetched, {A0})
        consumer.during_fetch = consumer.rebalance
        assert consumer.hand_over() == []
        assert consumer.rewound == {}


def test_a_fetch_over_a_rebalance_is_undone_from_its_first_offsets() -> None:
    """Also for a partition whose first offset is 0: nothing was ever committed there."""
    consumer = FakeConsumer({A0: records(5), B0: records(0)}, {A0, B0})
    consumer.during_fetch = consumer.rebalance
    assert consumer.hand_over() == []
    assert consumer.rewound == {A0: 5, B0: 0}
    assert consumer._read_offset == {A0: 5, B0: None}  # noqa: SLF001
    assert consumer.offsets.in_flight(A0) == 0


def test_a_rebalance_is_seen_where_the_group_starts_over_with_the_same_generation() -> None:
    consumer = FakeConsumer({A0: records(5)}, {A0})
    consumer.during_fetch = lambda: setattr(consumer, "era", 4)
    assert consumer.hand_over() == []
    assert consumer.rewound == {A0: 5}


def test_what_was_not_handed_over_before_a_rebalance_is_undone() -> None:
    consumer = FakeConsumer({A0: records(5), B0: records(2)}, {A0, B0})
    (handed,) = consumer.hand_over(after_each=consumer.rebalance)
    assert handed.tp == A0
    assert consumer.rewound == {B0: 2}


def test_a_flow_that_stopped_undoes_too() -> None:
    consumer = FakeConsumer({A0: records(5)}, {A0})
    consumer.during_fetch = lambda: setattr(consumer, "flow_active", False)
    assert consumer.hand_over() == []
    assert consumer.rewound == {A0: 5}


@pytest.mark.parametrize("change", [Consumer.on_buffer_full, Consumer.on_buffer_drop])
def test_the_next_fetch_is_of_all_partitions_whatever_buffer_is_full(
    change: Callable[[Any, TP], None],
) -> None:
    """Of the others alone it would last its whole second, also when there is room again."""
    consumer = FakeConsumer({}, {A0, A1})
    consumer._active_partitions = {A0, A1}  # noqa: SLF001
    change(consumer, A0)
    assert Consumer._get_active_partitions(consumer) == {A0, A1}  # noqa: SLF001
    assert consumer._buffered_partitions == set()  # noqa: SLF001


def test_a_commit_under_way_is_not_taken_for_a_later_one() -> None:
    class Committing(Consumer):
        """Commits slowly what is acknowledged when it begins."""

        def __init__(self) -> None:
            self.app = SimpleNamespace(client_only=False)
            self._commit_fut = None
            self.loop = asyncio.get_running_loop()
            self.acknowledged, self.committed = [1], list[int]()
            self.begun = asyncio.Event()
            self.gate = asyncio.Event()

        async def force_commit(self, *_: object, **__: object) -> bool:
            taken, self.acknowledged = self.acknowledged, []
            self.begun.set()
            await self.gate.wait()
            self.committed += taken
            return True

    async def main() -> None:
        consumer = Committing()
        periodic = asyncio.create_task(consumer.commit())
        await asyncio.wait_for(consumer.begun.wait(), 5)
        consumer.acknowledged.append(2)
        last = asyncio.create_task(consumer.commit())
        await asyncio.sleep(0)
        consumer.gate.set()
        await asyncio.gather(periodic, last)
        assert consumer.committed == [1, 2]

    asyncio.run(main())


def rewind(
    positions: dict[TP, int | None] | None, firsts: dict[TP, int]
) -> tuple[dict[TP, int], dict[TP, int]]:
    """`ConsumerThread._rewind` on a client with these positions (None: not known yet)."""
    sought: dict[TP, int] = {}
    assignment = None
    if positions is not None:
        assignment = SimpleNamespace(
            tps=set(positions),
            state_value=lambda tp: SimpleNamespace(
                has_valid_position=positions[tp] is not None, position=positions[tp]
            ),
        )
    client = SimpleNamespace(
        _subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment)),
        seek=sought.__setitem__,
    )
    thread = SimpleNamespace(_ensure_consumer=lambda: client)
    rewound = asyncio.run(ConsumerThread._rewind(thread, firsts))  # type: ignore[arg-type] # noqa: SLF001
    return rewound, sought


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ({A0: 8}, {A0: 5}),  # moved past by this fetch
        ({A0: 5}, {}),  # reset by the rebalance to this very offset
        ({A0: 2}, {}),  # reset to what was committed, before it: going forward would skip
        ({A0: None}, {}),  # will be set to what was committed, or to the beginning
        ({A1: 9}, {}),  # no longer ours
        ({}, {}),
        (None, {}),  # between two assignments
    ],
)
def test_rewinding_goes_back_only(
    positions: dict[TP, int | None] | None, expected: dict[TP, int]
) -> None:
    rewound, sought = rewind(positions, {A0: 5})
    assert rewound == sought == expected


class FakeCoordinator:
    """As aiokafka's: what may be mended is tried again, for ever."""

    def __init__(self, *, refusals: int) -> None:
        self._refusals = refusals
        self.committed: dict[Any, Any] = {}

    async def _do_commit_offsets(self, _: Any, offsets: dict[Any, Any]) -> None:
        self._refusals -= 1
        if self._refusals >= 0:
            raise GroupCoordinatorNotAvailableError
        self.committed.update(offsets)

    async def commit(self, offsets: dict[Any, Any]) -> None:
        while True:
            try:
                return await self._do_commit_offsets(None, offsets)
            except GroupCoordinatorNotAvailableError:
                await asyncio.sleep(0.001)


def commit(coordinator: FakeCoordinator) -> bool:
    thread = ConsumerThread.__new__(ConsumerThread)
    consumer = SimpleNamespace(_coordinator=coordinator, commit=coordinator.commit)
    thread.__dict__ |= {
        "_ensure_consumer": lambda: consumer,
        "assignment": lambda: {A0, A1},
        "tp_last_committed_at": {},
    }
    return asyncio.run(thread._commit({A0: 5, A1: 7}))  # noqa: SLF001


def test_a_commit_that_is_refused_for_a_moment_is_made() -> None:
    coordinator = FakeCoordinator(refusals=3)
    assert commit(coordinator)
    assert {tuple(tp): made.offset for tp, made in coordinator.committed.items()} == {A0: 5, A1: 7}


def test_a_commit_that_is_refused_on_and_on_has_failed_and_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(transport, "_COMMIT_SECONDS", 0.05)
    assert not commit(FakeCoordinator(refusals=1_000_000))
    (said,) = [one.getMessage() for one in caplog.records]
    assert "offsets are not committed, and tried again: partitions=2" in said
    assert "GroupCoordinatorNotAvailableError" in said


def test_what_was_refused_is_committed_also_where_nothing_new_comes() -> None:
    """Faust takes note of an offset as committed whether it was or not."""
    consumer = Consumer.__new__(Consumer)
    consumer.offsets = OffsetTracker()
    consumer.__dict__["_committed_offset"] = {A0: 6}
    consumer.offsets.done(consumer.offsets.deliver(A0, 5, 1_000, 5))
    assert consumer._filter_committable_offsets([A0]) == {A0: 6}  # noqa: SLF001
    consumer.offsets.committed(A0, 6)
    assert consumer._filter_committable_offsets([A0]) == {}  # noqa: SLF001
