"""Readers and the outbox leave no connection open, however their stop or their start ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient

from streams import closing
from streams.outbox import KafkaOutbox
from streams.peek import TopicPeek
from streams.tail import TopicTail


class Leaving(AIOKafkaConsumer):  # type: ignore[misc] # aiokafka is untyped
    """A consumer that connects to nothing, and whose stop ends so."""

    def __init__(self, leave: Callable[[], Awaitable[None]]) -> None:
        super().__init__(bootstrap_servers="127.0.0.1:1")
        self.leave = leave

    async def stop(self) -> None:
        await super().stop()
        await self.leave()

    async def fetch(self) -> None:
        """Swallows that it is cancelled, once, as a fetch does that waits for others."""
        with contextlib.suppress(asyncio.CancelledError):
            await forever()
        await forever()


@pytest.fixture
def hung_up(monkeypatch: pytest.MonkeyPatch) -> list[AIOKafkaClient]:
    """Whose connections were closed: once by a consumer's own stop, and again after a bad one."""
    closed: list[AIOKafkaClient] = []
    close = AIOKafkaClient.close

    async def note(network: AIOKafkaClient) -> None:
        closed.append(network)
        await close(network)

    monkeypatch.setattr(AIOKafkaClient, "close", note)
    return closed


async def cancelled_fetch() -> None:
    """As aiokafka's own fetch task, cancelled in its pause before the next try."""
    task = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await task


async def forever() -> None:
    await asyncio.Event().wait()


async def at_once() -> None:
    pass


def test_what_stops_well_is_left_alone(hung_up: list[AIOKafkaClient]) -> None:
    asyncio.run(closed(at_once))
    assert len(hung_up) == 1


async def closed(leave: Callable[[], Awaitable[None]]) -> None:
    await closing.close(Leaving(leave))


def test_the_cancelling_of_the_clients_own_task_does_not_get_out(
    hung_up: list[AIOKafkaClient],
) -> None:
    asyncio.run(closed(cancelled_fetch))
    assert len(hung_up) == 2


def test_a_stop_that_is_itself_cancelled_ends(hung_up: list[AIOKafkaClient]) -> None:
    async def main() -> None:
        left = asyncio.Event()

        async def leave() -> None:
            left.set()
            await forever()

        stopping = asyncio.create_task(closed(leave))
        await left.wait()
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping

    asyncio.run(main())
    assert len(hung_up) == 2


def test_who_was_cancelled_before_stops_all_that_is_left(hung_up: list[AIOKafkaClient]) -> None:
    """Their own cancelling is not taken for the caller's, which was told of already."""

    async def caller() -> None:
        try:
            await forever()
        finally:
            await closed(cancelled_fetch)
            await closed(cancelled_fetch)

    async def main() -> None:
        working = asyncio.create_task(caller())
        await asyncio.sleep(0)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working

    asyncio.run(main())
    assert len(hung_up) == 4


def test_what_swallows_its_cancelling_is_cancelled_again() -> None:
    async def main() -> None:
        consumer = Leaving(cancelled_fetch)
        fetching = asyncio.create_task(consumer.fetch())
        await asyncio.sleep(0)
        await closing.close(consumer)
        assert fetching.cancelled()

    asyncio.run(main())


def test_what_does_not_stop_in_time_is_disconnected_and_told_of(
    hung_up: list[AIOKafkaClient],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(closing, "_STOP_SECONDS", 0.01)
    asyncio.run(closed(forever))
    assert len(hung_up) == 2
    assert "a reader did not stop cleanly: not before 0.01 s were over" in caplog.text


def test_connections_that_do_not_close_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(_: AIOKafkaClient) -> None:
        await forever()

    monkeypatch.setattr(closing, "_STOP_SECONDS", 0.01)
    monkeypatch.setattr(AIOKafkaClient, "close", hang)
    asyncio.run(closed(at_once))
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
