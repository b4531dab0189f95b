"""A TCP proxy before a broker's listener: the broker is slow, a request late, a commit refused."""

from __future__ import annotations

import asyncio
import contextlib
from io import BytesIO
from typing import TYPE_CHECKING, Self

from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.protocol.commit import OffsetCommitResponse_v2, OffsetCommitResponse_v3

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BrokerProxy", "HeldRequest", "hold"]

_PRODUCE, _OFFSET_COMMIT = 0, 8  # api keys
#: The answers to the versions of it that the worker's client speaks, by version.
_COMMIT_ANSWERS = {2: OffsetCommitResponse_v2, 3: OffsetCommitResponse_v3}
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
        refuses_commits: answers to OffsetCommit say that the coordinator is not available, as they
            do where ``__consumer_offsets`` has too few copies in sync. All else is answered.
    """

    def __init__(self, broker: int) -> None:
        self._broker = broker
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0
        self.delay = 0.0
        self.held: HeldRequest | None = None
        self.refuses_commits = False

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
        commits: dict[bytes, int] = {}
        back = asyncio.create_task(self._pass_answers(broker, answers, commits))
        try:
            # The client may hang up while a request is held: what it sent arrives all the same.
            await self._pass_requests(client, requests, commits)
            # And the broker may not be hung up on while it reads it.
            await asyncio.wait([back], timeout=_LINGER_SECONDS)
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            await _close(requests, answers)
            self._connections.discard(task)

    async def _pass_requests(
        self, client: asyncio.StreamReader, broker: asyncio.StreamWriter, commits: dict[bytes, int]
    ) -> None:
        """``commits``: the versions of commits are put there, by correlation id."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = await client.readexactly(4)
                request = await client.readexactly(int.from_bytes(size))
                # api key, api version, correlation id, ...
                if int.from_bytes(request[:2]) == _OFFSET_COMMIT:
                    commits[request[4:8]] = int.from_bytes(request[2:4])
                if self.held is not None:
                    await self.held.pass_on(request)
                if self.delay:
                    await asyncio.sleep(self.delay)
                broker.write(size + request)
                await broker.drain()

    async def _pass_answers(
        self, broker: asyncio.StreamReader, client: asyncio.StreamWriter, commits: dict[bytes, int]
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = await broker.readexactly(4)
                answer = await broker.readexactly(int.from_bytes(size))
                version = commits.pop(answer[:4], None)
                if self.refuses_commits and version in _COMMIT_ANSWERS:
                    answer = _refused(answer, version)  # as long as before
                client.write(size + answer)
                await client.drain()
        # A broker that is gone must be seen to be gone.
        client.close()


def _refused(answer: bytes, version: int) -> bytes:
    """The answer to a commit, with the code for each partition that it is refused."""
    kind = _COMMIT_ANSWERS[version]
    *before, topics = kind.SCHEMA.decode(BytesIO(answer[4:]))
    code = GroupCoordinatorNotAvailableError.errno
    refused = [(topic, [(one, code) for one, _ in partitions]) for topic, partitions in topics]
    return answer[:4] + bytes(kind(*before, refused).encode())


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
