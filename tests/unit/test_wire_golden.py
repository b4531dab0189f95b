"""The bytes on the wire are held stable, and docs/wire-format.md says what they are.

The files in tests/golden were written by the first version. A later version may read more, and
must read these as they are; what it writes may gain fields only with a new schema version, or
where a setting that is off by default asks for them.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import msgpack
import msgspec
import numpy as np
import pytest
from store_fakes import VOCABULARY, hash_of
from streams_fakes import KafkaRecord, bad_record, make_profile, profile_record

from store.item_vector import ItemVector
from store.policies import Policy
from store.profile import (
    FENCE_HEADER,
    Contribution,
    Fence,
    ProfileState,
    decode_fence,
    decode_profile,
    encode_fence,
)
from store.table import Identity, Memory, ProfileTable
from streams.dead_letters import dead_letter
from streams.decode import ActionDecoder, ItemDecoder, Limits
from streams.errors import RejectedError, RejectReason
from streams.restore import newest_versions
from streams.schema import Action, Item
from streams.topic_names import TopicNames
from tidemark.settings import DEFAULT_ACTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
DOCUMENT = ROOT / "docs" / "wire-format.md"
NOW = 1_750_000_000_000

VIEW = Action(user_id="ann", action="view", ts=NOW, item_id="i42")
RATE = Action(
    user_id="zoë",
    action="rate",
    ts=NOW + 250,
    item_id="i42",
    text="Slow, then splendid. 🚀",
    rating=4.5,
    context={"device": "phone", "hour": 21, "share": 0.5, "first": True},
    event_id="01JX2V9M",
)
ITEM = Item(
    item_id="i42",
    title="Solaris",
    description="A psychologist is sent to a station over a strange ocean.",
    categories=("drama", "sci-fi"),
    attributes={"year": 1972, "rated": "PG", "length": 166.5, "colour": True},
)
ITEM_VECTOR = ItemVector(
    encoder="e5-small/mean/384/f32",
    dim=4,
    vector=np.array([0.5, -0.5, 0.1, 0.7], "<f4").tobytes(),
    title="Solaris",
    categories=("drama", "sci-fi"),
    source_offset=41,
    attributes={"year": "1972", "colour": "true"},
)
PROFILE = ProfileState(
    encoder="e5-small/mean/384/f32",
    policy="decay(half_life_seconds=2592000)",
    dim=4,
    vector=np.array([0.25, -0.5, 0.0625, 0.7], "<f4").tobytes(),
    count=3,
    mass=2.75,
    sum_k=1.25,
    sum_k2=0.8125,
    last_ts=NOW + 250,
    partition=3,
    applied={"actions": 71, "orders": 9},
    fresh_from=NOW + 260,
    forgotten_ts=NOW - 86_400_000,
    contributions=[
        Contribution("view", "i7", 0.0, 0.25),
        Contribution("search", None, 0.5, 0.5),
        Contribution("rate", "i42", 0.75, float(np.float32(0.9))),
    ],
    seen=["i7", "i42"],
    event_ids=[hash_of("01JX2V9M")],
)
#: As of a worker with `robustness.*`: fields that are not written without.
GUARDED = msgspec.structs.replace(PROFILE, paced=NOW + 500.5, cos_mean=0.625, cos_var=0.03125)
FENCE = Fence(partition=3, applied={"actions": 72, "orders": 9}, forgotten_ts=NOW + 300)


def pack(message: object) -> bytes:
    """As `streams.publisher` does."""
    packed: bytes = msgpack.packb(msgspec.to_builtins(message))
    return packed


def publish_profile(state: ProfileState) -> bytes:
    """As the worker does: from its table."""
    policy = Policy("decay", half_life_seconds=30 * 86_400)
    identity = Identity(state.encoder, state.dim, policy)
    table = ProfileTable(state.partition, identity, Memory(), VOCABULARY)
    table.take_over("ann", state)
    table.touch("ann")
    ((_, value),) = table.take_changes().listed()
    assert value is not None
    return value


def read_action(value: bytes) -> Action:
    user_id = msgpack.unpackb(value)["user_id"]
    record = KafkaRecord("actions", user_id.encode(), value, timestamp=NOW)
    return ActionDecoder("msgpack", Limits()).decode(record, NOW)


def read_item(value: bytes) -> Item | None:
    return ItemDecoder(Limits()).decode(KafkaRecord("items", b"i42", value))


def read_item_vector(value: bytes) -> ItemVector:
    return msgspec.msgpack.decode(value, type=ItemVector)


def read_fence(value: bytes) -> Fence | None:
    return decode_fence([(FENCE_HEADER, value)])


FILES: list[tuple[str, Any, Callable[[Any], bytes], Callable[[bytes], object]]] = [
    ("action-view", VIEW, pack, read_action),
    ("action-rate", RATE, pack, read_action),
    ("item", ITEM, pack, read_item),
    ("item-vector", ITEM_VECTOR, msgspec.msgpack.encode, read_item_vector),
    ("profile", PROFILE, publish_profile, decode_profile),
    ("profile-guarded", GUARDED, publish_profile, decode_profile),
    ("fence", FENCE, encode_fence, read_fence),
]
files = pytest.mark.parametrize(
    ("name", "message", "encode", "decode"), FILES, ids=[one[0] for one in FILES]
)


@files
def test_the_stored_bytes_are_read_as_what_they_were(
    name: str, message: object, encode: Callable[[Any], bytes], decode: Callable[[bytes], object]
) -> None:
    del encode
    assert decode((GOLDEN / f"{name}.bin").read_bytes()) == message


@files
def test_the_same_bytes_are_written(
    name: str, message: object, encode: Callable[[Any], bytes], decode: Callable[[bytes], object]
) -> None:
    del decode
    assert encode(message) == (GOLDEN / f"{name}.bin").read_bytes()


def test_every_stored_file_is_tested() -> None:
    assert {path.stem for path in GOLDEN.glob("*.bin")} == {one[0] for one in FILES}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("action-rate", Action),
        ("item", Item),
        ("item-vector", ItemVector),
        ("profile-guarded", ProfileState),
    ],
)
def test_a_full_file_has_every_field(name: str, kind: type[msgspec.Struct]) -> None:
    written = msgpack.unpackb((GOLDEN / f"{name}.bin").read_bytes())
    assert set(written) == set(kind.__struct_fields__) - {"v"}


def test_a_vector_is_little_endian_float32() -> None:
    assert PROFILE.vector.hex() == "0000803e000000bf0000803d3333333f"
    state = decode_profile((GOLDEN / "profile.bin").read_bytes())
    assert state.array().tolist() == [0.25, -0.5, 0.0625, np.float32(0.7)]


# The document


def blocks(language: str) -> list[str]:
    """The document's fenced blocks of a language."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def examples() -> list[tuple[Any, bytes]]:
    """Each ``json`` block that a ``hex`` block follows, as its value, with those bytes."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(r"^```json\n([^`]*?)```\s+```hex\n([^`]*?)```$", text, re.MULTILINE)
    return [(json.loads(shown), bytes.fromhex(written)) for shown, written in found]


def table(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without backquotes and the head."""
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = text.split(f"\n## {heading}\n")[1].split("\n|", 1)[1].split("\n\n")[0].splitlines()
    cells = [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in rows]
    return cells[2:]


def test_the_hex_examples_are_what_the_document_says() -> None:
    shown = examples()
    assert len(shown) == len(blocks("hex")) == 4
    for said, written in shown:
        assert msgpack.unpackb(written) == said
    view, rate, item, fence = (written for _, written in shown)
    assert read_action(view) == VIEW
    assert read_action(rate).rating == 4.5
    assert pack(read_action(view)) == view
    assert pack(read_action(rate)) == rate
    assert isinstance(read_item(item), Item)
    assert read_fence(fence) == FENCE
    assert encode_fence(FENCE) == fence


def test_the_json_example_is_read_on_a_json_topic() -> None:
    (one,) = (block for block in blocks("json") if '"user_id": "bea"' in block)
    decoder = ActionDecoder("json", Limits(), default_action="purchase")
    action = decoder.decode(KafkaRecord("orders", b"bea", one.encode()), NOW)
    expected = Action(user_id="bea", action="purchase", ts=NOW, item_id="i42", event_id="order-77")
    assert msgspec.structs.asdict(action) == msgspec.structs.asdict(expected)


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("Actions", Action),
        ("Items", Item),
        ("Reading `profiles`", ProfileState),
        ("Reading `item-vectors`", ItemVector),
    ],
)
def test_every_field_is_in_the_document(heading: str, kind: type[msgspec.Struct]) -> None:
    assert [row[0] for row in table(heading)] == list(kind.__struct_fields__)
    required = {info.encode_name: info.required for info in msgspec.structs.fields(kind)}
    for row in table(heading):
        assert (row[2] == "required") == required[row[0]], row


def test_the_limits_are_the_document_s() -> None:
    limits = Limits()
    assert {row[0]: int(row[2].replace(",", "")) for row in table("Limits")} == {
        "message_bytes": limits.message_bytes,
        "text_chars": limits.text_chars,
        "id_chars": limits.id_chars,
        "context_entries": limits.context_entries,
        "categories": limits.categories,
        "clock_skew_seconds": limits.clock_skew_ms // 1000,
    }
    text = DOCUMENT.read_text(encoding="utf-8")
    assert f"the user's latest {Memory().event_ids} is skipped" in text


def test_the_actions_are_the_document_s() -> None:
    rows = {name: (weight, strength) for name, weight, strength in table("Kinds of action")}
    assert rows == {
        name: (f"{rule.weight:g}", "from the rating" if rule.rated else f"{rule.strength:g}")
        for name, rule in DEFAULT_ACTIONS.items()
    }


def test_the_topics_are_the_document_s() -> None:
    names = TopicNames()
    assert [row[0] for row in table("Topics")] == [
        *(topic.name for topic in names.actions),
        names.items,
        names.profiles,
        names.item_vectors,
        names.dead_letters,
    ]


def test_the_dead_letters_headers_are_the_document_s() -> None:
    error = RejectedError(RejectReason.MALFORMED, "no message")
    letter = dead_letter("actions-dead-letter", bad_record(), bad_record(), error, NOW)
    names = [row[0] for row in table("Dead letters")]
    assert names == [*(name for name, _ in letter.headers), "truncated-from-bytes"]
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"`{reason}`" in text for reason in RejectReason)


def test_a_letter_of_more_than_any_topic_takes_is_cut() -> None:
    error = RejectedError(RejectReason.OVER_LIMIT, "too long")
    for size, kept in ((16 << 20, 16 << 20), ((16 << 20) + 1, 64 << 10)):
        record = replace(bad_record(), value=b"x" * size)
        letter = dead_letter("actions-dead-letter", record, record, error, NOW)
        assert len(letter.value or b"") == kept
        told = dict(letter.headers).get("truncated-from-bytes")
        assert told == (None if size == kept else str(size).encode())


# The examples in Python


class FakeProducer:
    """Takes what kafka-python's producer is given in the document, and keeps what is sent."""

    sent: ClassVar[list[tuple[str, bytes | None, bytes | None]]] = []

    def __init__(self, **settings: object) -> None:
        assert settings["acks"] == "all"
        assert settings["enable_idempotence"] is True

    def send(self, topic: str, *, key: bytes, value: bytes | None) -> None:
        self.sent.append((topic, key, value))

    def flush(self) -> None:
        """Nothing waits."""


def run_block(containing: str, **names: object) -> dict[str, Any]:
    """Run the one Python block of the document that contains this; what it defined."""
    (block,) = (block for block in blocks("python") if containing in block)
    space: dict[str, Any] = dict(names)
    exec(compile(textwrap.dedent(block), str(DOCUMENT), "exec"), space)  # noqa: S102 # our own
    return space


def test_the_python_producer_publishes_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kafka", SimpleNamespace(KafkaProducer=FakeProducer))
    FakeProducer.sent.clear()
    run_block("KafkaProducer")
    items = ItemDecoder(Limits())
    read: list[object] = []
    for topic, key, value in FakeProducer.sent:
        # the example's clock is the machine's
        record = KafkaRecord(topic, key, value, timestamp=0)
        if topic == "items":
            read.append(items.decode(record))
        else:
            read.append(ActionDecoder("msgpack", Limits()).decode(record, sys.maxsize))
    item, view, forget, deleted = read
    assert isinstance(item, Item)
    assert isinstance(view, Action)
    assert isinstance(forget, Action)
    assert (view.action, view.item_id, forget.action) == ("view", item.item_id, "forget")
    assert deleted is None


def test_the_python_reader_keeps_the_newest_version() -> None:
    log = [
        profile_record("ann", make_profile(5)),
        profile_record("bob", make_profile({"a": 1, "b": 8})),
        profile_record("ann", make_profile(4)),
        profile_record("cid", make_profile(1)),
        profile_record("cid", FENCE),
        profile_record("cid", make_profile(2)),
        profile_record("bob", make_profile({"a": 9, "b": 0})),
        profile_record("dan", make_profile(1)),
        profile_record("dan", None),
        profile_record("ann", make_profile(6)),
    ]
    held = run_block("def follow")["follow"](log)
    expected = newest_versions(log)[0]
    states = {key: one for key, one in expected.items() if isinstance(one, ProfileState)}
    assert {key.decode() for key in held} == set(states)
    for key, (vector, seen) in held.items():
        assert vector.tolist() == states[key.decode()].array().tolist()
        assert seen == states[key.decode()].seen
