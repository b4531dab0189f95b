"""What is taken for an action or an item, what is not, and whether the reason helps."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ParamSpec

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams_fakes import NOW, KafkaRecord, action_record, raw_record

from streams.decode import ActionDecoder, ItemDecoder, Limits, WireFormat
from streams.errors import RejectedError, RejectReason
from streams.schema import Action, Item

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")

LIMITS = Limits(
    message_bytes=5_000,
    text_chars=300,
    id_chars=20,
    context_entries=3,
    categories=2,
    clock_skew_ms=10_000,
)
WIRES: list[WireFormat] = ["msgpack", "json"]
VIEW: dict[str, Any] = {"user_id": "ann", "action": "view", "ts": NOW}
TITLE: dict[str, Any] = {"item_id": "i1", "title": "Alien"}
DEEP = 100_000

both_wires = pytest.mark.parametrize("wire", WIRES)


def decode(record: KafkaRecord, wire: WireFormat = "msgpack", now: int = NOW) -> Action:
    return ActionDecoder(wire, LIMITS).decode(record, now)


def decode_item(record: KafkaRecord) -> Item | None:
    return ItemDecoder(LIMITS).decode(record)


def item_raw(message: object, key: bytes | None = b"i1") -> KafkaRecord:
    return raw_record(message, key=key)


def rejection(call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> RejectedError:
    """The error that the call ends in."""
    with pytest.raises(RejectedError) as caught:
        call(*args, **kwargs)
    assert str(caught.value) == caught.value.detail
    return caught.value


# What is read


@both_wires
def test_the_smallest_action(wire: WireFormat) -> None:
    assert decode(raw_record(VIEW, wire=wire), wire) == Action(user_id="ann", action="view", ts=NOW)


@both_wires
def test_every_field_is_read(wire: WireFormat) -> None:
    fields: dict[str, Any] = {
        **VIEW,
        "item_id": "i1",
        "text": "naïve 日本 🙂",
        "rating": 4.5,
        "context": {"device": "phone", "hour": 7, "share": 0.5},
        "event_id": "e1",
        "v": 1,
    }
    assert decode(raw_record(fields, wire=wire), wire) == Action(**fields)


@both_wires
@pytest.mark.parametrize("field", ["item_id", "text", "rating", "context", "event_id"])
def test_null_is_as_a_field_left_out(wire: WireFormat, field: str) -> None:
    assert decode(raw_record({**VIEW, field: None}, wire=wire), wire) == Action(**VIEW)


@both_wires
def test_a_whole_number_is_a_rating(wire: WireFormat) -> None:
    rating = decode(raw_record({**VIEW, "rating": 4}, wire=wire), wire).rating
    assert (rating, type(rating)) == (4.0, float)


@both_wires
def test_a_truth_value_in_the_context_stays_one(wire: WireFormat) -> None:
    context = decode(raw_record({**VIEW, "context": {"new": True}}, wire=wire), wire).context
    assert context is not None
    assert context["new"] is True


@both_wires
def test_unknown_fields_are_ignored(wire: WireFormat) -> None:
    newer = {**VIEW, "mood": {"deep": [1, {"x": None}]}, "colour": "blue"}
    assert decode(raw_record(newer, wire=wire), wire) == Action(**VIEW)


@both_wires
def test_of_a_repeated_field_the_last_counts(wire: WireFormat) -> None:
    value = b'{"user_id":"ann","action":"click","ts":1,"action":"view"}'
    if wire == "msgpack":
        value = b"\x84\xa7user_id\xa3ann\xa6action\xa5click\xa2ts\x01\xa6action\xa4view"
    assert decode(raw_record(value), wire).action == "view"


scalars = st.one_of(
    st.text(max_size=20),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
actions = st.builds(
    Action,
    user_id=st.text(min_size=1, max_size=20),
    action=st.text(max_size=20),
    ts=st.integers(1, NOW),
    item_id=st.none() | st.text(max_size=20),
    text=st.none() | st.text(max_size=300),
    rating=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    context=st.none() | st.dictionaries(st.text(max_size=20), scalars, max_size=3),
    event_id=st.none() | st.text(min_size=1, max_size=20),
)


@given(actions)
def test_both_formats_give_what_was_written(action: Action) -> None:
    key = action.user_id.encode()
    for wire in WIRES:
        assert decode(raw_record(action, key=key, wire=wire), wire) == action


@both_wires
def test_an_action_at_its_limits_is_read(wire: WireFormat) -> None:
    longest = "é" * 20
    fields: dict[str, Any] = {
        "user_id": longest,
        "action": longest,
        "ts": NOW + 10_000,
        "item_id": longest,
        "text": "t" * 300,
        "context": {name * 20: longest for name in "abc"},
        "event_id": longest,
    }
    record = raw_record(fields, key=longest.encode(), wire=wire)
    assert decode(record, wire) == Action(**fields)


# The topic's own action


@both_wires
def test_a_topic_may_say_what_its_actions_are(wire: WireFormat) -> None:
    decoder = ActionDecoder(wire, LIMITS, default_action="purchase")
    bare = {"user_id": "ann", "ts": NOW}
    assert decoder.decode(raw_record(bare, wire=wire), NOW).action == "purchase"
    assert decoder.decode(raw_record(VIEW, wire=wire), NOW).action == "view"
    full = decoder.decode(raw_record({**bare, "item_id": "i", "rating": 1}, wire=wire), NOW)
    assert (full.item_id, full.rating, full.v) == ("i", 1.0, 1)
    assert isinstance(full, Action)


@both_wires
def test_without_it_the_action_is_required(wire: WireFormat) -> None:
    error = rejection(decode, raw_record({"user_id": "ann", "ts": NOW}, wire=wire), wire)
    assert error.reason is RejectReason.MALFORMED
    assert "missing required field `action`" in error.detail


# What is refused


@both_wires
@given(value=st.binary(max_size=300))
def test_random_bytes_raise_nothing_else(wire: WireFormat, value: bytes) -> None:
    for key in (b"ann", None):
        try:
            decode(raw_record(value, key=key), wire)
        except RejectedError as error:
            assert error.detail  # noqa: PT017 # either outcome is right


@given(value=st.binary(max_size=300))
def test_random_bytes_are_no_item(value: bytes) -> None:
    try:
        decode_item(item_raw(value))
    except RejectedError as error:
        assert error.detail  # noqa: PT017 # either outcome is right


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*Action.__struct_fields__, "x"]), json_values))
def test_any_value_in_any_field_is_read_or_rejected(fields: dict[str, Any]) -> None:
    value = json.dumps({**VIEW, **fields}).encode()
    try:
        action = decode(raw_record(value), "json")
    except RejectedError as error:
        assert error.detail  # noqa: PT017 # either outcome is right
    else:
        assert action.user_id == "ann"
        assert 0 < action.ts <= NOW + 10_000


@given(actions, st.data())
def test_a_message_cut_short_is_malformed(action: Action, data: st.DataObject) -> None:
    value = msgspec.msgpack.encode(action)
    cut = data.draw(st.integers(0, len(value) - 1))
    record = raw_record(value[:cut], key=action.user_id.encode())
    assert rejection(decode, record).reason is RejectReason.MALFORMED


@both_wires
@pytest.mark.parametrize("field", ["user_id", "action", "ts"])
def test_a_missing_field_is_named(wire: WireFormat, field: str) -> None:
    fields = {name: value for name, value in VIEW.items() if name != field}
    error = rejection(decode, raw_record(fields, wire=wire), wire)
    assert error.reason is RejectReason.MALFORMED
    assert f"missing required field `{field}`" in error.detail


@both_wires
@pytest.mark.parametrize(
    ("field", "value", "expected", "got"),
    [
        ("user_id", 7, "str", "int"),
        ("user_id", None, "str", "null"),
        ("action", ["view"], "str", "array"),
        ("action", None, "str", "null"),
        ("ts", "1750000000000", "int", "str"),
        ("ts", 1.5, "int", "float"),
        ("ts", 1750000000000.0, "int", "float"),
        ("ts", True, "int", "bool"),
        ("ts", None, "int", "null"),
        ("item_id", 42, "str | null", "int"),
        ("text", {"en": "hi"}, "str | null", "object"),
        ("rating", "5", "float | null", "str"),
        ("rating", True, "float | null", "bool"),
        ("context", ["phone"], "object | null", "array"),
        ("context", "phone", "object | null", "str"),
        ("context", {"a": None}, "bool | float | int | str", "null"),
        ("context", {"a": [1]}, "bool | float | int | str", "array"),
        ("context", {"a": {"b": 1}}, "bool | float | int | str", "object"),
        ("event_id", 1, "str | null", "int"),
        ("v", "1", "int", "str"),
        ("v", None, "int", "null"),
        ("v", True, "int", "bool"),
    ],
)
def test_a_wrong_type_is_named_with_the_right_one(
    wire: WireFormat, field: str, value: object, expected: str, got: str
) -> None:
    error = rejection(decode, raw_record({**VIEW, field: value}, wire=wire), wire)
    assert error.reason is RejectReason.MALFORMED
    assert f"$.{field}" in error.detail
    assert f"got `{got}`" in error.detail.replace("`None`", "`null`")
    named = error.detail.split("Expected `")[1].split("`")[0]
    assert sorted(named.split(" | ")) == sorted(expected.split(" | "))


def test_bytes_are_no_text_in_messagepack() -> None:
    for name in ("user_id", "text"):
        error = rejection(decode, raw_record({**VIEW, name: b"ann"}))
        assert error.reason is RejectReason.MALFORMED
        assert "got `bytes`" in error.detail


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (b"", "msgpack"),
        (b"", "json"),
        (b"\xc1", "msgpack"),
        (b"\xc0", "msgpack"),
        (b"null", "json"),
        (b"[]", "json"),
        (b"\x90", "msgpack"),
        (b'"text"', "json"),
        (b"{", "json"),
        (b"{}", "json"),
        (b"\x80", "msgpack"),
        (json.dumps(VIEW).encode("utf-16"), "json"),
        (b"\xef\xbb\xbf" + json.dumps(VIEW).encode(), "json"),
        (json.dumps(VIEW).encode() + b"}", "json"),
        (msgspec.msgpack.encode(VIEW) + b"\x00", "msgpack"),
        (json.dumps(VIEW).encode(), "msgpack"),
        (msgspec.msgpack.encode(VIEW), "json"),
        # a Confluent schema registry's prefix
        (b"\x00\x00\x00\x00\x01" + json.dumps(VIEW).encode(), "json"),
        # headers that promise more than there is must not make room for it
        (b"\xdf\xff\xff\xff\xff", "msgpack"),
        (b"\x81\xa7context\xdf\xff\xff\xff\xff", "msgpack"),
        (b"\x81\xa1x\xdd\xff\xff\xff\xff", "msgpack"),
        (b"\x81\xa4text\xdb\xff\xff\xff\xff", "msgpack"),
        (b"\x81\x01\x02", "msgpack"),
        (b"\x83\xa7user_id\xa3ann\xa6action\xa4view\xa2ts\xd6\xff\x00\x00\x00\x01", "msgpack"),
    ],
)
def test_what_is_no_such_message_is_malformed(value: bytes, wire: WireFormat) -> None:
    error = rejection(decode, raw_record(value), wire)
    assert error.reason is RejectReason.MALFORMED
    assert error.detail.startswith("the value cannot be read: ")


@pytest.mark.parametrize(
    "value",
    [
        b'{"user_id":"\\ud800","action":"view","ts":1}',
        b'{"user_id":"ann","action":"view","ts":1,"text":"\\udc00\\ud800"}',
        b'{"user_id":"ann","action":"view","ts":1,"text":"\xed\xa0\x80"}',
        b'{"user_id":"ann","action":"view","ts":1,"text":"\xff"}',
        b'{"user_id":"ann","action":"view","ts":1,"context":{"\\ud800":1}}',
        b'{"user_id":"ann","action":"view","ts":1,"text":"a\nb"}',
        b'{"user_id":"ann","action":"view","ts":NaN}',
        b'{"user_id":"ann","action":"view","ts":1,"rating":NaN}',
        b'{"user_id":"ann","action":"view","ts":1,"rating":Infinity}',
        b'{"user_id":"ann","action":"view","ts":1,"rating":1e400}',
        b'{"user_id":"ann","action":"view","ts":1e3}',
        b'{"user_id":"ann","action":"view","ts":01}',
    ],
)
def test_what_json_does_not_allow_is_malformed(value: bytes) -> None:
    error = rejection(decode, raw_record(value), "json")
    assert error.reason is RejectReason.MALFORMED


@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80"])
def test_text_that_is_not_utf_8_is_malformed(text: bytes) -> None:
    value = b"\x84\xa7user_id\xa3ann\xa6action\xa4view\xa2ts\x01\xa4text"
    value += bytes([0xA0 + len(text)]) + text
    assert rejection(decode, raw_record(value)).reason is RejectReason.MALFORMED


@pytest.mark.parametrize("field", ["x", "context"])
def test_deep_nesting_is_malformed(field: str) -> None:
    limits = replace(LIMITS, message_bytes=10 * DEEP)
    head = b"\x84\xa7user_id\xa3ann\xa6action\xa4view\xa2ts\x01" + bytes([0xA0 + len(field)])
    packed = head + field.encode() + b"\x91" * DEEP + b"\x01"
    text = json.dumps(VIEW)[:-1] + f', "{field}": ' + "[" * DEEP + "]" * DEEP + "}"
    values: list[tuple[bytes, WireFormat]] = [(packed, "msgpack"), (text.encode(), "json")]
    for value, wire in values:
        decoder = ActionDecoder(wire, limits)
        error = rejection(decoder.decode, raw_record(value), NOW)
        assert error.reason is RejectReason.MALFORMED


def test_no_value_is_malformed() -> None:
    error = rejection(decode, KafkaRecord("actions", b"ann", None))
    assert error.reason is RejectReason.MALFORMED
    assert error.detail == "the value is null; expected a message"


@both_wires
@pytest.mark.parametrize("version", [0, -1, 2, 99, 2**64 - 1])
def test_another_schema_version_is_refused(wire: WireFormat, version: int) -> None:
    error = rejection(decode, raw_record({**VIEW, "v": version}, wire=wire), wire)
    assert error.reason is RejectReason.MALFORMED
    assert error.detail == f"schema version {version}; this worker reads up to 1"


# Limits


@both_wires
@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"user_id": "u" * 21}, "user_id has 21 characters; the limit is 20"),
        ({"action": "a" * 21}, "action has 21 characters; the limit is 20"),
        ({"item_id": "i" * 21}, "item_id has 21 characters; the limit is 20"),
        ({"event_id": "e" * 21}, "event_id has 21 characters; the limit is 20"),
        ({"text": "t" * 1_301}, "text has 1,301 characters; the limit is 300"),
        ({"context": dict.fromkeys("abcd", 1)}, "context has 4 entries; the limit is 3"),
        ({"context": {"n" * 21: 1}}, "a name in context has 21 characters; the limit is 20"),
        ({"context": {"n": "x" * 21}}, "context.n has 21 characters; the limit is 20"),
    ],
)
def test_what_is_over_a_limit_is_named_with_the_limit(
    wire: WireFormat, fields: dict[str, Any], detail: str
) -> None:
    message = {**VIEW, **fields}
    record = raw_record(message, key=str(message["user_id"]).encode(), wire=wire)
    error = rejection(decode, record, wire)
    assert (error.reason, error.detail) == (RejectReason.OVER_LIMIT, detail)


@both_wires
def test_ten_megabytes_of_text_are_not_even_read(wire: WireFormat) -> None:
    record = raw_record({**VIEW, "text": "x" * 10_000_000}, wire=wire)
    error = rejection(decode, record, wire)
    assert error.reason is RejectReason.OVER_LIMIT
    assert error.detail.startswith("the message has 10,000,0")
    assert error.detail.endswith("bytes; the limit is 5,000")


def test_a_message_of_the_limit_is_read() -> None:
    decoder = ActionDecoder("msgpack", replace(LIMITS, message_bytes=100))
    shell = len(msgspec.msgpack.encode({**VIEW, "text": "x" * 40})) - 40
    fits = raw_record({**VIEW, "text": "x" * (100 - shell)})
    assert fits.value is not None
    assert len(fits.value) == 100
    assert decoder.decode(fits, NOW).text
    one_more = raw_record({**VIEW, "text": "x" * (101 - shell)})
    error = rejection(decoder.decode, one_more, NOW)
    assert error.detail == "the message has 101 bytes; the limit is 100"


# Keys


@pytest.mark.parametrize("key", [None, b""])
def test_a_record_needs_a_key(key: bytes | None) -> None:
    error = rejection(decode, raw_record(VIEW, key=key))
    assert error.reason is RejectReason.BAD_KEY
    assert error.detail == "the record has no key; expected the user_id in UTF-8"


@pytest.mark.parametrize("key", [b"bob", b'"ann"', b"ann ", b"ANN", b"\xff\xfe", b"k" * 5_000])
def test_the_key_must_be_the_user(key: bytes) -> None:
    error = rejection(decode, raw_record(VIEW, key=key))
    assert error.reason is RejectReason.BAD_KEY
    assert f"the key is {key[:60]!r}" in error.detail
    assert "user_id is 'ann'" in error.detail
    assert len(error.detail) < 400


def test_the_key_is_utf_8() -> None:
    message = {**VIEW, "user_id": "zoë"}
    assert decode(raw_record(message, key="zoë".encode())).user_id == "zoë"
    error = rejection(decode, raw_record(message, key="zoë".encode("latin-1")))
    assert error.reason is RejectReason.BAD_KEY


def test_an_empty_user_is_refused() -> None:
    error = rejection(decode, raw_record({**VIEW, "user_id": ""}, key=b""))
    assert (error.reason, error.detail) == (RejectReason.BAD_VALUE, "user_id is empty")


# Times


@pytest.mark.parametrize("ts", [0, -1, -(2**63)])
def test_a_time_before_1970_is_refused(ts: int) -> None:
    error = rejection(decode, action_record(ts=ts))
    assert error.reason is RejectReason.BAD_TIME
    assert error.detail == f"ts is {ts}; expected milliseconds since 1970"


@pytest.mark.parametrize(
    ("ts", "record_time", "now", "ahead"),
    [
        (NOW + 10_001, NOW, NOW, 10),
        (NOW + 60_000, NOW, NOW + 3_600_000, 60),  # a replay is as strict as the first reading
        (NOW + 60_000, NOW + 60_000, NOW, 60),  # both of the producer's clocks are wrong
        (NOW + 60_000, 0, NOW, 60),  # the record has no time of its own
        (NOW + 60_000, -1, NOW, 60),
        (NOW * 1000, NOW, NOW, 999 * NOW // 1000),  # microseconds
    ],
)
def test_a_time_ahead_of_the_record_is_refused(
    ts: int, record_time: int, now: int, ahead: int
) -> None:
    record = action_record(ts=ts, timestamp=record_time)
    error = rejection(decode, record, now=now)
    assert error.reason is RejectReason.BAD_TIME
    assert error.detail.startswith(f"ts is {ahead} s ahead of the record's time; ")
    assert "at most 10 s (is ts in milliseconds?)" in error.detail


@pytest.mark.parametrize(
    ("ts", "record_time"),
    [(1, NOW), (NOW + 10_000, NOW), (NOW, NOW), (NOW, 0), (NOW - 10**11, NOW)],
)
def test_a_time_up_to_the_skew_is_taken(ts: int, record_time: int) -> None:
    assert decode(action_record(ts=ts, timestamp=record_time)).ts == ts


@pytest.mark.parametrize("digits", [19, 20, 30, 310, 400, 4_300, 10_000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_number_of_many_digits_is_refused(digits: int, sign: str) -> None:
    decoder = ActionDecoder("json", replace(LIMITS, message_bytes=20_000))
    number = sign + "9" * digits
    for fields in (f'"ts":{number}', f'"ts":1,"v":{number}'):
        value = f'{{"user_id":"ann","action":"view",{fields}}}'.encode()
        error = rejection(decoder.decode, raw_record(value), NOW)
        assert error.reason in (RejectReason.BAD_TIME, RejectReason.MALFORMED)


# Values


@pytest.mark.parametrize("rating", [math.nan, math.inf, -math.inf])
def test_a_rating_is_finite(rating: float) -> None:
    error = rejection(decode, action_record(rating=rating))
    assert error.reason is RejectReason.BAD_VALUE
    assert error.detail == f"rating is {rating}; expected a finite number"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_in_the_context_are_finite(value: float) -> None:
    error = rejection(decode, action_record(context={"a": 1, "b": value}))
    assert error.reason is RejectReason.BAD_VALUE
    assert error.detail == f"context.b is {value}; expected a finite number"


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**400])
def test_integers_in_the_context_have_64_bits(value: int) -> None:
    fields = json.dumps({**VIEW, "context": {"a": value}}).encode()
    error = rejection(decode, raw_record(fields), "json")
    assert error.reason is RejectReason.BAD_VALUE
    assert error.detail == (
        f"context.a is an integer of {value.bit_length()} bits; expected at most 64"
    )


def test_an_empty_event_id_is_no_name() -> None:
    # were it one, all of a producer's actions but the first would be repeats
    error = rejection(decode, action_record(event_id=""))
    assert error.reason is RejectReason.BAD_VALUE
    assert error.detail == "event_id is empty; leave it out, or name the event"


# Items


def test_the_smallest_item() -> None:
    assert decode_item(item_raw(TITLE)) == Item(item_id="i1", title="Alien")


def test_every_field_of_an_item_is_read() -> None:
    fields: dict[str, Any] = {
        **TITLE,
        "description": "In space",
        "categories": ["horror", "sci-fi"],
        "attributes": {"year": 1979, "rated": "R", "long": True},
        "v": 1,
        "unknown": [1],
    }
    item = decode_item(item_raw(fields))
    assert item == Item(
        item_id="i1",
        title="Alien",
        description="In space",
        categories=("horror", "sci-fi"),
        attributes={"year": 1979, "rated": "R", "long": True},
    )


def test_an_item_at_its_limits_is_read() -> None:
    fields = {
        "item_id": "i" * 20,
        "title": "t" * 300,
        "description": "d" * 300,
        "categories": ["c" * 20] * 2,
        "attributes": dict.fromkeys("abc", "x" * 20),
    }
    assert decode_item(item_raw(fields, key=b"i" * 20)) is not None


def test_a_null_value_deletes_the_item() -> None:
    assert decode_item(KafkaRecord("items", b"i1", None)) is None


@pytest.mark.parametrize("key", [None, b""])
def test_a_delete_needs_a_key(key: bytes | None) -> None:
    error = rejection(decode_item, KafkaRecord("items", key, None))
    assert error.reason is RejectReason.BAD_KEY
    assert error.detail == "a delete has no key; expected the item_id in UTF-8"


@pytest.mark.parametrize(
    ("fields", "reason", "detail"),
    [
        ({"title": None}, "malformed", "Expected `str`, got `null` - at `$.title`"),
        ({"title": ""}, "bad_value", "title is empty; an item needs one"),
        ({"title": " \n\t"}, "bad_value", "title is empty; an item needs one"),
        ({"title": "t" * 301}, "over_limit", "title has 301 characters; the limit is 300"),
        ({"description": "d" * 301}, "over_limit", "description has 301 characters"),
        ({"description": 5}, "malformed", "Expected `str | null`, got `int`"),
        ({"categories": "horror"}, "malformed", "Expected `array`, got `str`"),
        ({"categories": None}, "malformed", "Expected `array`, got `null`"),
        ({"categories": [1]}, "malformed", "Expected `str`, got `int` - at `$.categories[0]`"),
        ({"categories": list("abc")}, "over_limit", "categories has 3 entries; the limit is 2"),
        ({"categories": ["c" * 21]}, "over_limit", "a category has 21 characters"),
        ({"attributes": dict.fromkeys("abcd", 1)}, "over_limit", "attributes has 4 entries"),
        ({"attributes": {"a": math.nan}}, "bad_value", "attributes.a is nan"),
        ({"attributes": {"a": "x" * 21}}, "over_limit", "attributes.a has 21 characters"),
        ({"v": 2}, "malformed", "schema version 2; this worker reads up to 1"),
        ({"item_id": ""}, "bad_value", "item_id is empty"),
        ({"item_id": "i2"}, "bad_key", "the key is b'i1' but item_id is 'i2'"),
        ({"description": "d" * 5_000}, "over_limit", "the limit is 5,000"),
    ],
)
def test_a_wrong_item_is_refused(fields: dict[str, Any], reason: str, detail: str) -> None:
    error = rejection(decode_item, item_raw({**TITLE, **fields}))
    assert error.reason == reason
    assert detail in error.detail.replace("`None`", "`null`")


def test_an_item_needs_a_key() -> None:
    error = rejection(decode_item, item_raw(TITLE, key=None))
    assert error.reason is RejectReason.BAD_KEY
    assert error.detail == "the record has no key; expected the item_id in UTF-8"


def test_an_item_s_id_is_short() -> None:
    error = rejection(decode_item, item_raw({**TITLE, "item_id": "i" * 21}, b"i" * 21))
    assert error.detail == "item_id has 21 characters; the limit is 20"


def test_categories_that_promise_more_than_there_is_take_no_memory() -> None:
    value = b"\x83\xa7item_id\xa2i1\xa5title\xa1t\xaacategories\xdd\xff\xff\xff\xff"
    assert rejection(decode_item, item_raw(value)).reason is RejectReason.MALFORMED
