"""Readers and the outbox leave no connection open, however their stop or their start ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams import closing
from streams.outbox import KafkaOutbox
from streams.peek import TopicPeek
from streams.tail import TopicTail


class Connection:
    """Stands in for one of aiokafka's to a broker."""

    def __init__(self) -> None:
        self.open = True

    def close(self, **_: object) -> asyncio.Future[None]:
        self.open = False
        closed = asyncio.get_running_loop().create_future()
        closed.set_result(None)
        return closed


def connected(leave: Callable[[], Awaitable[None]]) -> tuple[AIOKafkaConsumer, Connection]:
    """A consumer with a connection, whose fetches are left so; a started one needs a broker."""
    consumer, connection = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1"), Connection()
    consumer._closed = False  # noqa: SLF001
    consumer._fetcher = SimpleNamespace(close=leave)  # noqa: SLF001
    consumer._client._conns = {"broker": connection}  # noqa: SLF001
    return consumer, connection


async def cancelled_fetch() -> None:
    """As aiokafka's own fetch task, cancelled in its pause before the next try."""
    task = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await task


async def forever() -> None:
    await asyncio.Event().wait()


def test_the_cancelling_of_the_clients_own_task_does_not_get_out() -> None:
    ended = []

    async def caller() -> None:
        consumer, connection = connected(cancelled_fetch)
        tail = TopicTail("127.0.0.1:1", {"profiles": None})
        tail._consumer = consumer  # noqa: SLF001
        await tail.stop()
        ended.append(connection)

    asyncio.run(caller())
    assert [one.open for one in ended] == [False]


def test_a_stop_that_is_itself_cancelled_ends() -> None:
    async def main() -> None:
        consumer, connection = connected(forever)
        stopping = asyncio.create_task(closing.close(consumer))
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert not connection.open

    asyncio.run(main())


def test_who_was_cancelled_before_stops_all_that_is_left() -> None:
    """Their own cancelling is not taken for the caller's, which was told of already."""
    left: list[Connection] = []

    async def caller() -> None:
        consumers = [connected(cancelled_fetch) for _ in range(2)]
        left.extend(connection for _, connection in consumers)
        try:
            await forever()
        finally:
            for consumer, _ in consumers:
                await closing.close(consumer)

    async def main() -> None:
        working = asyncio.create_task(caller())
        await asyncio.sleep(0)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working

    asyncio.run(main())
    assert [one.open for one in left] == [False, False]


def test_what_swallows_its_cancelling_is_cancelled_again() -> None:
    async def main() -> None:
        consumer, _ = connected(cancelled_fetch)

        class Fetcher:
            close = staticmethod(cancelled_fetch)

            async def fetch(self) -> None:
                with contextlib.suppress(asyncio.CancelledError):
                    await forever()
                await forever()

        consumer._fetcher = Fetcher()  # noqa: SLF001
        fetching = asyncio.create_task(consumer._fetcher.fetch())  # noqa: SLF001
        await asyncio.sleep(0)
        await closing.close(consumer)
        assert fetching.cancelled()

    asyncio.run(main())


def test_what_does_not_stop_in_time_is_disconnected_and_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(closing, "_STOP_SECONDS", 0.01)

    async def main() -> None:
        consumer, connection = connected(forever)
        await closing.close(consumer)
        assert not connection.open

    asyncio.run(main())
    assert "a reader did not stop cleanly: not before 0.01 s were over" in caplog.text


def test_connections_that_do_not_close_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(closing, "_STOP_SECONDS", 0.01)
    monkeypatch.setattr(Connection, "close", lambda _, **__: asyncio.Future())

    async def main() -> None:
        await closing.close(connected(cancelled_fetch)[0])

    asyncio.run(main())
    assert "the connections of a reader did not close" in caplog.text


@pytest.mark.parametrize(
    ("reader", "client"),
    [
        (TopicTail("127.0.0.1:1", {"profiles": None}), AIOKafkaConsumer),
        (TopicPeek("127.0.0.1:1"), AIOKafkaConsumer),
        (KafkaOutbox("127.0.0.1:1"), AIOKafkaProducer),
    ],
)
def test_who_is_cancelled_while_connecting_lets_go_of_what_is_connected(
    reader: TopicTail | TopicPeek | KafkaOutbox,
    client: type[AIOKafkaConsumer | AIOKafkaProducer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop, stopped = client.stop, []

    async def connect(_: AIOKafkaConsumer | AIOKafkaProducer) -> None:
        await asyncio.Event().wait()

    async def let_go(consumer: AIOKafkaConsumer | AIOKafkaProducer) -> None:
        stopped.append(consumer)
        await stop(consumer)

    monkeypatch.setattr(client, "start", connect)
    monkeypatch.setattr(client, "stop", let_go)

    async def main() -> None:
        starting = asyncio.create_task(reader.start())
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(main())
    assert len(stopped) == 1
