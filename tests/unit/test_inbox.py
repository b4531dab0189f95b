"""The inbox: first in, first out, a micro-batch at a time."""

from __future__ import annotations

import asyncio

from streams_fakes import action_record, asynchronous, let_run

from streams.batches import Inbound
from streams.inbox import Inbox


def batch(records: int, size: int = 0) -> Inbound:
    found = [action_record(offset=offset) for offset in range(records)]
    return Inbound("actions", 0, found, lambda: None, 1, size)


async def put_all(inbox: Inbox, *sizes: int) -> list[Inbound]:
    batches = [batch(size) for size in sizes]
    for one in batches:
        await asyncio.wait_for(inbox.put(one), 1)
    return batches


async def take(inbox: Inbox) -> list[int]:
    """Sizes of what is taken at once."""
    return [len(one.records) for one in await asyncio.wait_for(inbox.take(), 1)]


@asynchronous
async def test_all_that_waits_is_taken_in_order() -> None:
    inbox = Inbox(100)
    batches = await put_all(inbox, *[1] * 50)
    assert await inbox.take() == batches


@asynchronous
async def test_a_full_micro_batch_is_taken_and_no_more() -> None:
    inbox = Inbox(10)
    await put_all(inbox, 4, 4, 4)
    await inbox.take()
    await put_all(inbox, 5, 6)
    assert await take(inbox) == [5, 6]


@asynchronous
async def test_nobody_puts_while_a_full_micro_batch_waits() -> None:
    inbox = Inbox(10)
    await put_all(inbox, 9, 9)  # fewer than 10 waited
    putting = asyncio.create_task(inbox.put(batch(1)))
    await let_run()
    assert not putting.done()
    assert await take(inbox) == [9, 9]
    await putting
    await inbox.finished()
    assert await take(inbox) == [1]


@asynchronous
async def test_who_takes_waits_for_one_batch() -> None:
    inbox = Inbox(10)
    taking = asyncio.create_task(inbox.take())
    await let_run()
    assert not taking.done()
    await inbox.put(batch(1))
    assert len(await taking) == 1


@asynchronous
async def test_what_comes_while_one_is_under_way_waits_for_its_end() -> None:
    inbox = Inbox(10)
    await put_all(inbox, 1)
    await inbox.take()
    await put_all(inbox, 2, 3)
    taking = asyncio.create_task(inbox.take())
    await let_run()
    assert not taking.done()
    await inbox.finished()
    assert [len(one.records) for one in await taking] == [2, 3]


@asynchronous
async def test_a_full_one_is_taken_beside_another_and_a_third_is_not() -> None:
    inbox = Inbox(10)
    for _ in range(2):
        await put_all(inbox, 10)
        assert await take(inbox) == [10]
    await put_all(inbox, 10)
    taking = asyncio.create_task(inbox.take())
    await let_run()
    assert not taking.done()
    await inbox.finished()
    assert len(await taking) == 1


@asynchronous
async def test_a_take_that_is_cancelled_loses_nothing() -> None:
    inbox = Inbox(10)
    taking = asyncio.create_task(inbox.take())
    await let_run()
    taking.cancel()
    await put_all(inbox, 3)
    assert await take(inbox) == [3]


@asynchronous
async def test_so_many_bytes_are_a_full_micro_batch_however_few_records_they_are() -> None:
    inbox = Inbox(1_000, full_bytes=100)
    for size in (60, 60):
        await asyncio.wait_for(inbox.put(batch(1, size)), 1)
    putting = asyncio.create_task(inbox.put(batch(1, 150)))
    await let_run()
    assert not putting.done()
    assert await take(inbox) == [1, 1]
    await putting
    assert await take(inbox) == [1]  # beside the other: it is full
