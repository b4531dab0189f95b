"""The compiled scan: what it reads the decoder reads the same; what it leaves, that decides."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams_fakes import NOW, KafkaRecord, action_record, raw_record

from streams.decode import ActionDecoder, Limits
from streams.errors import RejectedError
from streams.scan import Scan, scan_actions

LIMITS = Limits(message_bytes=2_000, text_chars=200, id_chars=20, context_entries=3)
DECODER = ActionDecoder("msgpack", LIMITS)


def scan(*records: KafkaRecord, now: int = NOW) -> Scan:
    return scan_actions(records, LIMITS, now)


def is_plain(message: object, key: bytes | None = b"ann") -> bool:
    return bool(scan(raw_record(message, key=key)).plain[0])


def span(found: Scan, name: str, place: int = 0) -> str | None:
    start, end = getattr(found, f"{name}_starts")[place], getattr(found, f"{name}_ends")[place]
    return None if start < 0 else bytes(found.buffer[start:end]).decode()


def test_a_plain_action_is_read_into_columns() -> None:
    found = scan(
        action_record("ann", "rate", item_id="film", rating=4.5, offset=7, timestamp=NOW + 1),
        action_record("bob", "view", event_id="e1", ts=NOW - 5, context={"device": "tv", "n": 3}),
    )
    assert found.plain.all()
    assert [span(found, "action", i) for i in (0, 1)] == ["rate", "view"]
    assert [span(found, "item", i) for i in (0, 1)] == ["film", None]
    assert found.ts.tolist() == [NOW, NOW - 5]
    assert found.offsets.tolist() == [7, 0]
    assert found.published.tolist() == [NOW + 1, NOW]
    assert found.ratings[0] == 4.5
    assert math.isnan(found.ratings[1])
    assert found.events[0] == 0 != found.events[1]


PLAIN: dict[str, Any] = {"user_id": "ann", "action": "view", "ts": NOW}


@pytest.mark.parametrize(
    "changed",
    [
        {"item_id": None, "text": None, "rating": None, "context": None, "event_id": None},
        {"user_id": "ann", "text": "two words"},
        {"rating": 4},
        {"rating": -3},
        {"v": 1},
        {"newer_field": "a newer producer's"},
        {"newer_field": 2.5},
        {"context": {"a": True, "b": -70_000, "c": 1.5}},
        {"item_id": "фильм"},
        {"item_id": "🎬"},
    ],
)
def test_these_are_plain(changed: dict[str, Any]) -> None:
    assert is_plain({**PLAIN, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"user_id": "bob"},  # not the key
        {"user_id": None},
        {"ts": 0},
        {"ts": -5},
        {"ts": float(NOW)},
        {"ts": 2**64 - 1},
        {"ts": NOW + LIMITS.clock_skew_ms + 1},
        {"v": 2},
        {"v": None},
        {"item_id": "x" * 21},
        {"item_id": 5},
        {"event_id": ""},
        {"text": "x" * 201},
        {"rating": math.nan},
        {"rating": math.inf},
        {"rating": "5"},
        {"rating": True},
        {"context": {"a": math.nan}},
        {"context": {"a": None}},
        {"context": {"a": [1]}},
        {"context": {"a": "x" * 21}},
        {"context": {str(i): i for i in range(4)}},
        {"context": [1]},
        {"newer_field": {"a": 1}},  # the decoder skips it
    ],
)
def test_these_are_left_to_the_decoder(changed: dict[str, Any]) -> None:
    assert not is_plain({**PLAIN, **changed})


@pytest.mark.parametrize("field", ["user_id", "ts"])
def test_what_is_needed_must_be_there(field: str) -> None:
    assert not is_plain({name: value for name, value in PLAIN.items() if name != field})


def test_an_action_may_be_named_by_the_topic() -> None:
    found = scan(raw_record({"user_id": "ann", "ts": NOW}))
    assert found.plain[0]
    assert span(found, "action") is None


def test_a_rating_may_be_a_short_float() -> None:
    value = msgpack.packb({**PLAIN, "rating": 4.5}, use_single_float=True)
    assert scan(raw_record(value)).ratings.tolist() == [4.5]


def test_a_field_given_twice_is_left_to_the_decoder() -> None:
    once = msgpack.packb(PLAIN)
    twice = bytes([once[0] + 1]) + once[1:] + msgpack.packb("ts") + msgpack.packb(5)
    assert is_plain(once)
    assert not is_plain(twice)


@pytest.mark.parametrize(
    "value", [None, b"", b"\x80", b"\x83", b"\x93\x01\x02\x03", b"\xc0", b"\xff" * 9]
)
def test_no_message_is_not_plain(value: bytes | None) -> None:
    assert not scan(KafkaRecord("actions", b"ann", value)).plain[0]


def test_a_key_is_needed() -> None:
    assert not is_plain(PLAIN, key=None)
    assert not is_plain({**PLAIN, "user_id": ""}, key=b"")


def test_an_oversized_message_is_left_to_the_decoder() -> None:
    fits = {**PLAIN, **{f"newer{i}": "x" * 190 for i in range(9)}}
    assert is_plain(fits)
    assert not is_plain({**fits, "newer9": "x" * 190})


def test_skipping_reads_nothing() -> None:
    record = action_record()
    assert scan_actions([record], LIMITS, NOW).plain[0]
    assert not scan_actions([record], LIMITS, NOW, skip=True).plain[0]


def test_one_bad_record_does_not_move_the_others() -> None:
    records = [
        action_record("ann", item_id="a"),
        raw_record(b"\xd9"),
        action_record("bob", item_id="b"),
    ]
    found = scan(*records)
    assert found.plain.tolist() == [True, False, True]
    assert [span(found, "item", i) for i in range(3)] == ["a", None, "b"]


words = st.text(max_size=24)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | words
times = st.integers(NOW - 10, NOW + 10) | st.integers(-(2**63), 2**64 - 1)
messages = st.fixed_dictionaries(
    {"user_id": st.just("ann") | words, "action": words, "ts": times},
    optional={
        "item_id": st.none() | words,
        "text": st.none() | st.text(max_size=220),
        "rating": scalars,
        "context": st.none() | st.dictionaries(words, scalars, max_size=4),
        "event_id": st.none() | words,
        "v": st.sampled_from([0, 1, 2]),
        "newer": scalars | st.lists(st.booleans()) | st.dictionaries(words, words, max_size=2),
    },
)


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """A message's bytes, now and then with a few of them changed, removed or doubled."""
    value = bytearray(msgpack.packb(draw(messages)))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(value) - 1))
        change = draw(st.sampled_from(["set", "cut", "double", "end"]))
        if change == "set":
            value[at] = draw(st.integers(0, 255))
        elif change == "cut" and len(value) > 1:
            del value[at]
        elif change == "double":
            value[at:at] = value[at : at + draw(st.integers(1, 8))]
        else:
            del value[at + 1 :]
    return bytes(value)


@given(values(), st.sampled_from([b"ann", b"", None, "é".encode()]), st.integers(-1, NOW + 10))
@settings(max_examples=1_500, deadline=None)
def test_what_the_scan_reads_the_decoder_reads_the_same(
    value: bytes, key: bytes | None, published: int
) -> None:
    record = KafkaRecord("actions", key, value, timestamp=published)
    found = scan(record)
    if not found.plain[0]:
        return
    if found.action_starts[0] < 0:
        with pytest.raises(RejectedError, match="action"):
            DECODER.decode(record, NOW)
        return
    action = DECODER.decode(record, NOW)  # raises where the scan accepted too much
    assert span(found, "action") == action.action
    assert span(found, "item") == action.item_id
    assert found.ts[0] == action.ts
    np.testing.assert_equal(found.ratings[0], math.nan if action.rating is None else action.rating)
    assert (found.events[0] != 0) == (action.event_id is not None)


def test_the_decoder_decides_on_every_kind_that_is_left_to_it() -> None:
    """The scan is no second opinion: a valid action that is not plain is still an action."""
    message = {**PLAIN, "newer_field": {"a": 1}}
    assert not is_plain(message)
    assert DECODER.decode(raw_record(msgspec.msgpack.encode(message)), NOW).user_id == "ann"
