"""Which format a client gets, and which a body is in."""

from __future__ import annotations

import json

import msgspec
import pytest

from store.service.negotiation import BodyError, encode, media_type_of, negotiate, to_json

JSON, MSGPACK, X_MSGPACK = "application/json", "application/msgpack", "application/x-msgpack"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/html, */*;q=0.1", JSON),
        (MSGPACK, MSGPACK),
        (X_MSGPACK, X_MSGPACK),
        ("application/vnd.msgpack", "application/vnd.msgpack"),
        ("Application/MsgPack; q=0.9", MSGPACK),
        (f"{MSGPACK}, {JSON}", JSON),
        (f"{MSGPACK}, */*", MSGPACK),
        (f"{MSGPACK};q=0.5, {JSON};q=0.4", MSGPACK),
        (f"{MSGPACK};q=0.5, */*", JSON),
        (f"{JSON};q=0, */*", MSGPACK),
        (f"{JSON};q=0, application/*;q=0.2", MSGPACK),
        (f"{JSON};q=0.1, */*;q=0.9", MSGPACK),
        (f"{JSON};charset=utf-8;q=0.3", JSON),
        (f"{MSGPACK};q=much, {JSON};q=0.1", JSON),
        (f"{MSGPACK};q=2, {JSON};q=0.1", JSON),
        (f"{MSGPACK};q=nan, {JSON};q=0.1", JSON),
        ("text/html", None),
        (f"{JSON};q=0", None),
        ("*/*;q=0", None),
        (",;=,", None),
    ],
)
def test_what_is_liked_best_is_given(accept: str | None, chosen: str | None) -> None:
    assert negotiate(accept) == chosen


@pytest.mark.parametrize(
    ("content_type", "read_as"),
    [
        (None, JSON),
        ("application/json; charset=utf-8", JSON),
        ("APPLICATION/MSGPACK", MSGPACK),
        ("text/plain", None),
        ("", None),
    ],
)
def test_a_body_is_what_its_type_says(content_type: str | None, read_as: str | None) -> None:
    assert media_type_of(content_type) == read_as


def test_both_formats_say_the_same() -> None:
    value = {"a": [1, 2.5, None, "ü"], "b": {"c": True}}
    assert json.loads(encode(value, "application/json")) == value
    assert msgspec.msgpack.decode(encode(value, "application/x-msgpack")) == value
    assert json.loads(to_json(msgspec.msgpack.encode(value))) == value


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        b"\x81\xa1a",  # a map that ends after its key
        b"\x01\x02",  # two values
        b"\xa1\xff",  # a string that is not UTF-8
        msgspec.msgpack.encode(msgspec.msgpack.Ext(5, b"x")),
        b"\x81\x90\x01",  # a list as a key
        b"\x91" * 100_000,
    ],
)
def test_what_is_not_msgpack_or_could_not_be_json_is_refused(body: bytes) -> None:
    with pytest.raises(BodyError):
        to_json(body)
