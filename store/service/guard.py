"""Around every request: who may, how large, how many at once, how long; and what is noted of it."""

from __future__ import annotations

import logging
import re
import secrets
import time
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from store.service.auth import Tokens, scope_of
from store.service.body import read_body, replay, with_json_body
from store.service.context import RequestContext, current, request
from store.service.errors import ApiError, answer_error, invalid, without_words
from store.service.models import ErrorDetail
from store.service.negotiation import EVENT_STREAM, MEDIA_TYPES, negotiate
from store.service.places import Places

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from store.generations import Generations
    from store.sensor import Sensor
    from store.service.settings import ServiceSettings
    from store.tokens import Scope

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Message, Receive, Send], Awaitable[None]]

__all__ = ["RequestGuard"]

logger = logging.getLogger(__name__)

#: An id of the client's own that is taken over: nothing that could break a line of the log.
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TIMEOUT_HEADER = "x-request-timeout"


class RequestGuard:
    """ASGI middleware.

    With a request it does, in this order:

    1. names it: X-Request-Id, the client's where that is sane;
    2. chooses the answer's format by Accept, refuses it where the token may not, or the deadline
       (X-Request-Timeout, seconds) makes no sense;
    3. reads the body, up to a limit and to the deadline; MessagePack becomes JSON;
    4. takes one of the places for its kind, holds the generation that answers, and hands it to the
       application;
    5. answers what that raises with 500, and writes it to the log.

    The log has the request's id and route, never its path, its parameters, its body or an error's
    words: users' ids and texts are in those.
    """

    def __init__(
        self, app: App, *, settings: ServiceSettings, sensor: Sensor, generations: Generations
    ) -> None:
        self._app = app
        self._generations = generations
        self._settings = settings
        self._sensor = sensor
        self._tokens = Tokens(settings.tokens)
        self._bodies = Places(settings.max_waiting, "requests that are still being sent")
        self._kinds = {
            "read": Places(settings.max_waiting, "requests"),
            "write": Places(settings.max_waiting, "forgets"),
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = _headers(scope)
        context = RequestContext(id=_id_of(headers))
        token = request.set(context)
        status, answered = 0, None

        async def noted(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                given = dict(message.get("headers", []))
                if given.get(b"content-type", b"").startswith(EVENT_STREAM.encode()):
                    answered = time.perf_counter()
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", context.id.encode()),
                    (b"vary", b"accept"),
                ]
                if b"cache-control" not in given:
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        try:
            await self._serve(scope, headers, receive, noted)
        except ApiError as error:
            answer = answer_error(error.status, error.detail, error.headers)
            await answer(scope, receive, noted)
        except Exception as error:  # noqa: BLE001 - it is logged, and answered
            logger.error(  # noqa: TRY400 - the traceback would hold the error's words
                "unexpected error: request=%s route=%s\n%s",
                context.id, _route(scope), without_words(error),
            )  # fmt: skip
            if status:
                # half an answer is sent: the server can only close the connection
                raise RuntimeError("an answer broke off; see the line before") from None
            detail = ErrorDetail(
                "internal", "an unexpected error; it is in the log", "report it if it stays"
            )
            await answer_error(500, detail)(scope, receive, noted)
        finally:
            # A stream is answered when it begins, and open for as long as someone watches.
            seconds = (answered or time.perf_counter()) - started
            self._sensor.on_request(_route(scope), status, seconds)
            logger.debug(
                "answered: request=%s route=%s status=%d seconds=%.4f token=%s",
                context.id, _route(scope), status, seconds, context.token_name,
            )  # fmt: skip
            request.reset(token)

    async def _serve(
        self, scope: Message, headers: dict[str, str], receive: Receive, send: Send
    ) -> None:
        kind = scope_of(scope["method"], scope["path"])
        self._decide(kind, headers)
        with self._bodies.one() if kind else nullcontext():
            body = await read_body(receive, self._settings.max_body_bytes)
        if body is None:
            return  # the client has gone
        body = with_json_body(scope, body, headers.get("content-type"))
        with ExitStack() as place:
            if kind in self._kinds:
                place.enter_context(self._kinds[kind].one())
            current().generation = place.enter_context(self._generations.held())

            async def answered(message: Message) -> None:
                place.close()  # who reads the answer slowly keeps neither place nor generation
                await send(message)

            await self._app(scope, replay(body, receive), answered)

    def _decide(self, kind: Scope | None, headers: dict[str, str]) -> None:
        """What can be said of a request by its headers."""
        context = current()
        media_type = negotiate(headers.get("accept"))
        if media_type is not None:
            context.media_type = media_type
        context.deadline = time.monotonic() + self._settings.request_seconds
        context.token_name = self._tokens.admit(headers.get("authorization"), kind)
        if kind in self._kinds and media_type is None:
            raise ApiError(
                406,
                "not_acceptable",
                "the header Accept takes neither JSON nor MessagePack",
                f"accept one of {', '.join(MEDIA_TYPES)}",
            )
        if _TIMEOUT_HEADER in headers:
            context.deadline = time.monotonic() + self._seconds(headers[_TIMEOUT_HEADER])
            context.deadline_given = True

    def _seconds(self, given: str) -> float:
        most = self._settings.max_request_seconds
        try:
            seconds = float(given)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds <= most:
            raise invalid(f"X-Request-Timeout is not a number of seconds above 0, at most {most:g}")
        return seconds


def _headers(scope: Message) -> dict[str, str]:
    """By name in lower case; of several of a name, all, separated by commas."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return found


def _id_of(headers: dict[str, str]) -> str:
    given = headers.get("x-request-id", "")
    return given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)


def _route(scope: Message) -> str:
    """The template, not the path: one per route, not per user."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
