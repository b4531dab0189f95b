"""A reader whose broker is gone is stopped without harm to the task that stops it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiokafka import AIOKafkaConsumer

from streams.peek import TopicPeek
from streams.tail import TopicTail


class LeavingConsumer:
    """Stands in for aiokafka's consumer, of which only the stop matters here."""

    def __init__(self, leave: Callable[[], Awaitable[None]]) -> None:
        self.stop = leave


def tail_of(leave: Callable[[], Awaitable[None]]) -> TopicTail:
    tail = TopicTail("127.0.0.1:1", {"profiles": None})
    tail._consumer = LeavingConsumer(leave)  # noqa: SLF001 # a started one needs a broker
    return tail


async def cancelled_fetch() -> None:
    """As aiokafka's own fetch task, cancelled in its pause before the next try."""
    task = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await task


def test_the_cancelling_of_the_clients_own_task_does_not_get_out() -> None:
    ended = []

    async def caller() -> None:
        await tail_of(cancelled_fetch).stop()
        ended.append("well")

    asyncio.run(caller())
    assert ended == ["well"]


def test_a_stop_that_is_itself_cancelled_ends() -> None:
    async def main() -> None:
        async def forever() -> None:
            await asyncio.Event().wait()

        stopping = asyncio.create_task(tail_of(forever).stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping

    asyncio.run(main())


@pytest.mark.parametrize(
    "reader", [TopicTail("127.0.0.1:1", {"profiles": None}), TopicPeek("127.0.0.1:1")]
)
def test_who_is_cancelled_while_connecting_lets_go_of_what_is_connected(
    reader: TopicTail | TopicPeek, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, stopped = AIOKafkaConsumer.stop, []

    async def connect(_: AIOKafkaConsumer) -> None:
        await asyncio.Event().wait()

    async def let_go(consumer: AIOKafkaConsumer) -> None:
        stopped.append(consumer)
        await stop(consumer)

    monkeypatch.setattr(AIOKafkaConsumer, "start", connect)
    monkeypatch.setattr(AIOKafkaConsumer, "stop", let_go)

    async def main() -> None:
        starting = asyncio.create_task(reader.start())
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(main())
    assert len(stopped) == 1
