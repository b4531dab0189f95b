"""Server-sent events: their text, and the answer that goes on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from store.service.negotiation import EVENT_STREAM

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, MutableMapping

    from starlette.types import Receive, Scope, Send

    Message = MutableMapping[str, Any]

__all__ = ["KEEP_ALIVE", "EventStream", "event"]

#: A comment, which clients skip: shows both ends that the other is there.
KEEP_ALIVE = b": keep-alive\n\n"
#: A client that takes nothing for so long has gone.
_SEND_SECONDS = 30.0


def event(name: str, data: Any, number: int | None = None) -> bytes:
    """One event.

    Args:
        name: of its kind.
        data: JSON as bytes, or what is to be written as such: one line either way.
        number: its id.
    """
    body = data if isinstance(data, bytes) else msgspec.json.encode(data)
    named = b"" if number is None else b"id: %d\n" % number
    return b"%sevent: %s\ndata: %s\n\n" % (named, name.encode(), body)


class EventStream(Response):
    """Sends what an iterator gives until it ends, or until nobody reads it.

    It is an answer of its own, not Starlette's StreamingResponse, for the limit on a client that
    does not read. ``closed`` is called once, when it is over.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        headers: dict[str, str],
        closed: Callable[[], None],
    ) -> None:
        super().__init__(headers=headers, media_type=EVENT_STREAM)
        del self.headers["content-length"]
        self._events = events
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        del scope
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            await self._events.aclose()
            self._closed()
        if not sending.cancelled() and (error := sending.exception()) is not None:
            raise error

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        # The client has gone, or does not read: the connection is closed by the server.
        with suppress(TimeoutError, OSError):
            async for part in self._events:
                async with asyncio.timeout(_SEND_SECONDS):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    """Until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
