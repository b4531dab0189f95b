"""A TCP proxy before a broker's listener: it makes the broker slow, or a request late."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BrokerProxy", "HeldRequest", "hold"]

_PRODUCE = 0  # the api key of a Produce request
_CHUNK = 64 * 1024
_LINGER_SECONDS = 2.0


class HeldRequest:
    """The first Produce request that names a topic, kept back on its way to the broker.

    What follows on its connection waits behind it; other connections go on.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic.encode()
        self._caught = asyncio.Event()
        self._released = asyncio.Event()

    @property
    def caught(self) -> bool:
        """Whether one is held, or was."""
        return self._caught.is_set()

    async def wait_caught(self, seconds: float) -> bool:
        """Whether one came in time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._caught.wait(), seconds)
        return self.caught

    def release(self) -> None:
        """Let it arrive, and catch no other."""
        self._released.set()

    async def pass_on(self, request: bytes) -> None:
        """Return at once, or if this is the one, when it is released."""
        if self.caught or self._released.is_set():
            return
        # api key, api version, correlation id, client id, ...
        if int.from_bytes(request[:2]) == _PRODUCE and self._topic in request:
            self._caught.set()
            await self._released.wait()


class BrokerProxy:
    """Listens on a free port of loopback, and passes on to a port of it.

    Attributes:
        port: where it listens.
        delay: seconds that each request waits; those of one connection wait one after another.
        held: kept back if it comes.
    """

    def __init__(self, broker: int) -> None:
        self._broker = broker
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0
        self.delay = 0.0
        self.held: HeldRequest | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None  # noqa: S101 # entered
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 # asyncio runs each connection in one
        self._connections.add(task)
        try:
            broker, requests = await asyncio.open_connection("127.0.0.1", self._broker)
        except OSError:
            # The broker is down: the client is told as the broker's own port would tell it.
            answers.close()
            self._connections.discard(task)
            return
        back = asyncio.create_task(_copy(broker, answers))
        try:
            # The client may hang up while a request is held: what it sent arrives all the same.
            await self._pass_requests(client, requests)
            # And the broker may not be hung up on while it reads it.
            await asyncio.wait([back], timeout=_LINGER_SECONDS)
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            await _close(requests, answers)
            self._connections.discard(task)

    async def _pass_requests(
        self, client: asyncio.StreamReader, broker: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = await client.readexactly(4)
                request = await client.readexactly(int.from_bytes(size))
                if self.held is not None:
                    await self.held.pass_on(request)
                if self.delay:
                    await asyncio.sleep(self.delay)
                broker.write(size + request)
                await broker.drain()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(_CHUNK):
            target.write(data)
            await target.drain()
    # A broker that is gone must be seen to be gone.
    target.close()


async def _close(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def hold(proxies: Iterable[BrokerProxy], topic: str) -> HeldRequest:
    """Have all of these proxies keep back one request between them."""
    held = HeldRequest(topic)
    for proxy in proxies:
        proxy.held = held
    return held
