"""The inbox: first in, first out, bounded by records."""

from __future__ import annotations

import asyncio

from streams_fakes import action_record, asynchronous, let_run

from streams.batches import Inbound
from streams.inbox import Inbox


def batch(size: int, partition: int = 0) -> Inbound:
    records = [action_record(offset=offset) for offset in range(size)]
    return Inbound("actions", partition, records, lambda: None, 1)


@asynchronous
async def test_what_was_put_is_taken_in_order() -> None:
    inbox = Inbox(100)
    batches = [batch(1, partition) for partition in range(5)]
    for one in batches:
        await inbox.put(one)
    assert await inbox.take(100) == batches


@asynchronous
async def test_batches_are_taken_until_they_are_enough() -> None:
    inbox = Inbox(100)
    batches = [batch(4), batch(4), batch(4)]
    for one in batches:
        await inbox.put(one)
    assert await inbox.take(5) == batches[:2]
    assert await inbox.take(5) == batches[2:]


@asynchronous
async def test_many_small_batches_are_taken_at_once() -> None:
    inbox = Inbox(100)
    for _ in range(50):
        await asyncio.wait_for(inbox.put(batch(1)), 1)
    assert len(await inbox.take(100)) == 50


@asynchronous
async def test_nobody_puts_while_enough_records_wait() -> None:
    inbox = Inbox(10)
    await inbox.put(batch(9))
    await inbox.put(batch(9))  # fewer than 10 waited
    putting = asyncio.create_task(inbox.put(batch(1)))
    await let_run()
    assert not putting.done()
    await inbox.take(1)
    await putting
    assert [len(one.records) for one in await inbox.take(100)] == [9, 1]


@asynchronous
async def test_who_takes_waits_for_one_batch() -> None:
    inbox = Inbox(10)
    taking = asyncio.create_task(inbox.take(10))
    await let_run()
    assert not taking.done()
    await inbox.put(batch(1))
    assert len(await taking) == 1


@asynchronous
async def test_a_take_that_is_cancelled_loses_nothing() -> None:
    inbox = Inbox(10)
    taking = asyncio.create_task(inbox.take(10))
    await let_run()
    taking.cancel()
    await inbox.put(batch(3))
    assert [len(one.records) for one in await inbox.take(10)] == [3]
