"""A request's body, read before the application sees the request: bounded, in time, and as JSON."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from store.service.context import current
from store.service.errors import ApiError, invalid
from store.service.negotiation import JSON, MEDIA_TYPES, BodyError, media_type_of, to_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]

__all__ = ["read_body", "replay", "with_json_body"]


async def read_body(receive: Receive, max_bytes: int) -> bytes | None:
    """The body; None where the client has gone.

    Raises:
        ApiError: 413 over ``max_bytes``, 408 where it is not all here by the deadline.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(current().remaining):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > max_bytes:
                    reason = f"the body is over {max_bytes} bytes"
                    raise ApiError(413, "body_too_large", reason, "send less at once")
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        raise ApiError(
            408, "body_too_slow", "the body did not come in time", "send it faster, or less at once"
        ) from None


def with_json_body(scope: Message, body: bytes, content_type: str | None) -> bytes:
    """The body in JSON, and the request's headers changed as if it had been sent so.

    Raises:
        ApiError: 415 for what is neither JSON nor MessagePack, 422 for broken MessagePack.
    """
    if not body:
        return body
    media_type = media_type_of(content_type)
    if media_type is None:
        raise ApiError(
            415,
            "unsupported_media_type",
            "the body's Content-Type is neither JSON nor MessagePack",
            f"send one of {', '.join(MEDIA_TYPES)}",
        )
    if media_type == JSON:
        return body
    try:
        body = to_json(body)
    except BodyError as error:
        raise invalid(str(error)) from error
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name not in {b"content-type", b"content-length"}
    ]
    headers += [
        (b"content-type", JSON.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    scope["headers"] = headers
    return body


def replay(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the body once, then what comes after it."""
    unread = True

    async def replayed() -> Message:
        nonlocal unread
        if unread:
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replayed
