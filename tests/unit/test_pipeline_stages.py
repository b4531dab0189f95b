"""The pipeline: how its stages follow each other, what bounds them, and rebalances."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pipeline_rig import ERA, TP, Rig, search
from streams_fakes import (
    KafkaRecord,
    asynchronous,
    bad_record,
    item_record,
    let_run,
    make_profile,
    profile_record,
    until,
)

from store.errors import StoreError
from store.profile import ProfileState
from streams.batches import Inbound
from streams.errors import PublishError, StreamsError

if TYPE_CHECKING:
    from collections.abc import Iterable


# The stages and their bounds


@asynchronous
async def test_a_full_micro_batch_is_prepared_while_one_is_published() -> None:
    rig = Rig(batch_actions=1)
    rig.outbox.gate.clear()
    async with rig.running():
        await rig.pipeline.put(rig.inbound(search(text="a")))
        await until(lambda: rig.outbox.waiting)
        await rig.pipeline.put(rig.inbound(search(text="b", offset=1)))
        await until(lambda: len(rig.encoding.calls) == 2)
        assert rig.outbox.published == []
        rig.outbox.gate.set()
        await until(lambda: rig.acknowledged == [0, 1])
    newest = rig.states()["ann"][-1]
    assert isinstance(newest, ProfileState)
    assert newest.count == 2


@asynchronous
async def test_a_micro_batch_takes_what_is_there_up_to_its_size() -> None:
    rig = Rig(batch_actions=4)
    rig.outbox.gate.clear()
    batches = [
        rig.inbound(*(search(text=f"{n}.{k}", offset=2 * n + k) for k in range(2)))
        for n in range(7)
    ]
    async with rig.running():
        # Two micro-batches are on their way; four actions wait, and a batch more is being put.
        putting = asyncio.create_task(put_all(rig, batches))
        await until(lambda: rig.outbox.waiting)
        rig.outbox.gate.set()
        await until(lambda: len(rig.acknowledged) == 7)
        await putting
    sizes = [len(call) for call in rig.encoding.calls]
    assert sum(sizes) == 14
    assert max(sizes) == 4
    assert rig.acknowledged == list(range(7))


@asynchronous
async def test_put_waits_while_the_pipeline_is_full() -> None:
    rig = Rig(batch_actions=1)
    rig.outbox.gate.clear()
    taken = 0

    async def produce() -> None:
        nonlocal taken
        for offset in range(50):
            await rig.pipeline.put(rig.inbound(search(text=str(offset), offset=offset)))
            taken += 1

    async with rig.running():
        producer = asyncio.create_task(produce())
        await let_run()
        # 1 is published, 1 is folded and waits for it, 1 waits in the inbox
        assert taken == 3
        assert len(rig.encoding.calls) == 2
        rig.outbox.gate.set()
        await producer
        await until(lambda: len(rig.acknowledged) == 50)
    assert rig.acknowledged == list(range(50))
    newest = rig.states()["ann"][-1]
    assert isinstance(newest, ProfileState)
    assert newest.count == 50


async def put_all(rig: Rig, batches: Iterable[Inbound]) -> None:
    for batch in batches:
        await rig.pipeline.put(batch)


# Rebalances


@asynchronous
async def test_dropped_batches_leave_their_place_to_others() -> None:
    rig = Rig(batch_actions=1)
    await rig.pipeline.on_assigned([TP("actions", 0)])
    await rig.pipeline.on_revoked(1)
    old = [rig.inbound(search("old", offset=n), era=1) for n in range(5)]
    async with rig.running():
        await put_all(rig, [*old, rig.inbound(search("new", offset=5), era=2)])
        await until(lambda: rig.acknowledged == [5])
    assert set(rig.states()) == {"new"}


@asynchronous
async def test_batches_of_an_era_that_is_over_are_dropped() -> None:
    rig = Rig()
    await rig.pipeline.on_assigned([TP("actions", 0)])
    await rig.pipeline.on_revoked(1)
    async with rig.running():
        await rig.pipeline.put(rig.inbound(search("old"), era=1))
        await rig.pipeline.put(rig.inbound(search("new", offset=1), era=2))
        await until(lambda: rig.acknowledged)
        await let_run()
    assert list(rig.states()) == ["new"]
    assert rig.acknowledged == [1]


@asynchronous
async def test_what_was_prepared_before_a_revocation_is_dropped() -> None:
    rig = Rig()
    mixed = [
        rig.inbound(search("old"), bad_record(offset=1), era=1),
        rig.inbound(item_record("1"), era=1),
        rig.inbound(search("new", offset=2), era=2),
    ]
    prepared = await rig.preparer.prepare(mixed)
    await rig.pipeline.on_revoked(1)
    folded = await rig.pipeline.fold(prepared)
    assert folded is not None
    await rig.pipeline.publish(folded)
    assert [record.key for record in rig.outbox.published[0]] == [b"new"]
    assert rig.acknowledged == [2]
    assert rig.sensor.dead_letters == []


@asynchronous
async def test_a_revocation_waits_for_what_is_being_published_then_gives_all_up() -> None:
    rig = Rig()
    rig.outbox.gate.clear()
    async with rig.running():
        await rig.pipeline.put(rig.inbound(search()))
        await until(lambda: rig.outbox.waiting)
        revoked = asyncio.create_task(rig.pipeline.on_revoked(ERA))
        await let_run()
        assert not revoked.done()
        assert "ann" in rig.owned.table(0)
        rig.outbox.gate.set()
        await revoked
        assert rig.acknowledged == [0]
        with pytest.raises(KeyError):
            rig.owned.table(0)


@asynchronous
async def test_a_partition_that_comes_back_is_restored_from_the_topic() -> None:
    rig = Rig()
    await rig.take(search(offset=0))
    await rig.pipeline.on_revoked(ERA)
    # meanwhile another worker
    rig.profiles[0] = [profile_record("ann", make_profile(8, count=9))]
    await rig.pipeline.on_assigned([TP("actions", 0)])
    await rig.process(rig.inbound(search(offset=8), search(offset=9), era=ERA + 1))
    newest = rig.states()["ann"][-1]
    assert isinstance(newest, ProfileState)
    assert (newest.count, newest.applied) == (10, {"actions": 9})


@asynchronous
async def test_a_restore_that_fails_lets_nothing_begin_on_other_partitions() -> None:
    """What was restored well would be gone on with until the worker has ended."""
    rig = Rig()
    rig.profiles[1] = [KafkaRecord("profiles", b"ann", b"no profile", 1, 0)]
    await rig.pipeline.put(rig.inbound(search()))
    await rig.pipeline.on_assigned([TP("actions", 0), TP("actions", 1)])
    with pytest.raises(BaseExceptionGroup) as raised:
        await asyncio.wait_for(rig.pipeline.run(), 5)
    assert raised.group_contains(StoreError)
    assert rig.states() == {}
    assert rig.acknowledged == []


@asynchronous
async def test_after_drain_nothing_more_is_published() -> None:
    rig = Rig()
    rig.outbox.gate.clear()
    async with rig.running():
        await rig.pipeline.put(rig.inbound(search()))
        await until(lambda: rig.outbox.waiting)
        drained = asyncio.create_task(rig.pipeline.drain())
        await let_run()
        assert not drained.done()
        await rig.pipeline.put(rig.inbound(search("bob", offset=1)))
        rig.outbox.gate.set()
        await drained
        await let_run()
    assert rig.acknowledged == [0]
    assert list(rig.states()) == ["ann"]


@asynchronous
async def test_a_stray_cancellation_is_an_error_and_no_end() -> None:
    rig = Rig()
    rig.outbox.error = asyncio.CancelledError()  # what a client lets out
    async with rig.running() as task:
        await rig.pipeline.put(rig.inbound(search()))
        await until(task.done)
    (error,) = task.exception().exceptions  # type: ignore[union-attr]
    assert isinstance(error, StreamsError)
    assert rig.acknowledged == []


@asynchronous
async def test_one_is_folded_while_another_is_published_and_never_published_before_it() -> None:
    rig = Rig(batch_actions=1)
    rig.outbox.gate.clear()
    async with rig.running():
        for offset, text in enumerate("abc"):
            await rig.pipeline.put(rig.inbound(search(text=text, offset=offset)))
        await until(lambda: rig.sensor.actions.get("applied") == 2)
        await let_run()
        assert rig.outbox.waiting == 1
        rig.outbox.gate.set()
        await until(lambda: len(rig.acknowledged) == 3)
    versions = [state.applied["actions"] for state in rig.states()["ann"] if state]
    assert versions == [0, 1, 2]
    assert rig.acknowledged == [0, 1, 2]


@asynchronous
async def test_whoever_waits_for_publications_does_not_wait_for_those_that_never_come() -> None:
    rig = Rig(batch_actions=1)
    rig.outbox.gate.clear()
    async with rig.running() as task:
        for offset in range(3):
            await rig.pipeline.put(rig.inbound(search(text=str(offset), offset=offset)))
        await until(lambda: rig.outbox.waiting)
        await let_run()
        revoking = asyncio.create_task(rig.pipeline.on_revoked(ERA))
        rig.outbox.error = PublishError("no broker")
        rig.outbox.gate.set()
        await until(task.done)
        await revoking
    assert isinstance(task.exception(), BaseExceptionGroup)
    assert rig.acknowledged == []
