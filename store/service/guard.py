"""Around every request: a bound on the body, one shape of error, and a measurement."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from store.sensor import Sensor

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Message, Receive, Send], Awaitable[None]]

__all__ = ["RequestGuard", "error_body"]

logger = logging.getLogger(__name__)


def error_body(code: str, reason: str, hint: str) -> dict[str, dict[str, str]]:
    """The one shape of every error."""
    return {"error": {"code": code, "reason": reason, "hint": hint}}


class RequestGuard:
    """ASGI middleware.

    The body is read before the application sees the request, up to ``max_body_bytes``: a longer
    one is answered with 413. What the application raises is logged and answered with 500.
    """

    def __init__(self, app: App, *, max_body_bytes: int, sensor: Sensor) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._sensor = sensor

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._serve(scope, receive, watched)
        except Exception:
            logger.exception("unexpected error: %s %s", scope["method"], scope["path"])
            if status:
                raise  # half an answer is sent: the server can only close the connection
            await _send_error(
                watched,
                500,
                error_body(
                    "internal", "an unexpected error; it is in the log", "report it if it stays"
                ),
            )
        finally:
            # the template, not the path: one label per route, not per user
            route = getattr(scope.get("route"), "path", "unmatched")
            self._sensor.on_request(route, status, time.perf_counter() - started)

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has gone
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._max_body_bytes:
                reason = f"the body is over {self._max_body_bytes} bytes"
                error = error_body("body_too_large", reason, "send less at once")
                await _send_error(send, 413, error)
                return
        unread = True

        async def replayed() -> Message:
            nonlocal unread
            if unread:
                unread = False
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        await self._app(scope, replayed, send)


async def _send_error(send: Send, status: int, error: dict[str, dict[str, str]]) -> None:
    body = json.dumps(error).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
