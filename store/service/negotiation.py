"""JSON or MessagePack: what a client asks for by Accept, and what a body is by Content-Type."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

__all__ = [
    "EVENT_STREAM", "JSON", "MEDIA_TYPES", "BodyError", "MediaType", "encode", "media_type_of",
    "negotiate", "to_json",
]  # fmt: skip

MediaType = Literal[
    "application/json",
    "application/msgpack",
    "application/x-msgpack",  # from before MessagePack was registered
    "application/vnd.msgpack",  # as it was
]
MEDIA_TYPES: tuple[MediaType, ...] = get_args(MediaType)
JSON: MediaType = "application/json"
#: Of an answer that goes on; it is not negotiated.
EVENT_STREAM = "text/event-stream"

_json, _msgpack = msgspec.json.Encoder(), msgspec.msgpack.Encoder()
_read_msgpack = msgspec.msgpack.Decoder()


class BodyError(ValueError):
    """A body is not MessagePack, or holds what JSON has no counterpart of."""


def negotiate(accept: str | None) -> MediaType | None:
    """The media type that an Accept header likes best (RFC 9110, 12.5.1).

    Of types liked the same the one named most exactly, then the first of `MEDIA_TYPES`: JSON. A
    range whose q cannot be read is not regarded.

    Args:
        accept: None or empty: everything is welcome.

    Returns:
        None where it takes none of them.
    """
    if accept is None or not accept.strip():
        return JSON
    ranges = [one for one in map(_range, accept.split(",")) if one is not None]
    best: tuple[float, int] = (0.0, 0)
    chosen: MediaType | None = None
    for media_type in MEDIA_TYPES:
        # The most exact range that matches decides, not the kindest one.
        exactness, q = max(
            ((_exactness(named, media_type), q) for named, q in ranges), default=(0, 0.0)
        )
        if exactness and q > 0 and (q, exactness) > best:
            best, chosen = (q, exactness), media_type
    return chosen


def media_type_of(content_type: str | None) -> MediaType | None:
    """What a Content-Type says, without its parameters; None for what is neither.

    Args:
        content_type: None stands for JSON.
    """
    if content_type is None:
        return JSON
    named = content_type.partition(";")[0].strip().lower()
    return next((one for one in MEDIA_TYPES if one == named), None)


def encode(value: Any, media_type: MediaType) -> bytes:
    """An answer's body: dataclasses, lists, dictionaries, strings and numbers."""
    return _json.encode(value) if media_type == JSON else _msgpack.encode(value)


def to_json(body: bytes) -> bytes:
    """A MessagePack body as JSON, which all that checks requests reads.

    NaN and infinity become null, which no number of a request may be.

    Raises:
        BodyError: it cannot be read.
    """
    try:
        return _json.encode(_read_msgpack.decode(body))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        # the error's own words may repeat what was sent
        raise BodyError("the body is not MessagePack that could be JSON") from error


def _range(text: str) -> tuple[str, float] | None:
    named, *parameters = text.split(";")
    q = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                q = float(value)
            except ValueError:
                return None
            if not 0 <= q <= 1:
                return None
    return named.strip().lower(), q


def _exactness(named: str, media_type: MediaType) -> int:
    """3 for the type itself, 2 for its group, 1 for everything, 0 for another."""
    if named == media_type:
        return 3
    return {"application/*": 2, "*/*": 1}.get(named, 0)
