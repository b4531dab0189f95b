"""The compiled reading of profiles, beside the decoder's."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.profile import Contribution, ProfileState, encode_profile, version_of
from store.state_scan import scan_states

DIM = 3
VECTOR = np.array([0.5, -1.0, 2.0], "<f4")
PLAIN: dict[str, Any] = {
    "encoder": "e",
    "dim": DIM,
    "vector": VECTOR.tobytes(),
    "count": 1,
    "last_ts": 2,
    "partition": 3,
    "applied": {"actions": 4},
}


def pack(**changed: Any) -> bytes:
    fields = {**PLAIN, "policy": "p", "sum_k": 1.0, **changed}
    return msgspec.msgpack.encode({name: one for name, one in fields.items() if one is not ...})


def is_plain(value: bytes) -> bool:
    return bool(scan_states([value], b"e", DIM)[0].plain[0])


states = st.builds(
    ProfileState,
    encoder=st.sampled_from(["e", "f", "é"]),
    policy=st.text(max_size=40),
    dim=st.sampled_from([DIM, 4]),
    vector=st.just(VECTOR.tobytes()),
    count=st.integers(0, 2**40),
    last_ts=st.integers(0, 2**45),
    partition=st.integers(0, 300),
    applied=st.dictionaries(st.text(max_size=40), st.integers(0, 2**56), max_size=17),
    mass=st.floats(0, 10),
    fresh_from=st.integers(0, 2**45),
    contributions=st.lists(
        st.builds(
            Contribution,
            st.text(max_size=5),
            st.none() | st.text(max_size=5),
            st.floats(0, 1),
            st.floats(-1, 1),
        ),
        max_size=20,
    ),
    seen=st.lists(st.text(max_size=40), max_size=40),
    event_ids=st.lists(st.integers(0, 2**64 - 1), max_size=20),
)


@given(st.lists(states, min_size=1, max_size=4))
def test_what_is_plain_is_read_as_the_decoder_reads_it(found: list[ProfileState]) -> None:
    values = [encode_profile(state) for state in found]
    scan, vectors = scan_states(values, b"e", DIM)
    for row, (state, value) in enumerate(zip(found, values, strict=True)):
        fits = state.encoder == "e" and state.dim == DIM and len(state.applied) <= 15
        assert scan.plain[row] == fits
        if not fits:
            assert not vectors[row].any()
            continue
        assert (vectors[row] == VECTOR).all()
        assert scan.counts[row] == state.count
        assert scan.last_ts[row] == state.last_ts
        assert scan.partitions[row] == state.partition
        assert scan.fresh_from[row] == state.fresh_from
        assert scan.versions[row] == version_of(state.applied)
        assert (scan.topics[row] == 0) == (len(state.applied) != 1)
        for name, first in (("applied", 0), ("contributions", 2), ("seen", 4)):
            start, end = scan.spans[row, first : first + 2]
            expected = msgspec.msgpack.encode(getattr(state, name))
            assert value[start:end] in (expected, b"" if not getattr(state, name) else expected)


def test_actions_of_the_same_topic_have_the_same_hash() -> None:
    values = [pack(applied={"a": 1}), pack(applied={"a": 9}), pack(applied={"b": 1})]
    topics = scan_states(values, b"e", DIM)[0].topics
    assert topics[0] == topics[1] != topics[2]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"fresh_from": 5, "seen": ["a"], "contributions": [["view", None, 0.5, 1.0]], "v": 1},
        {"later": {"deep": [{"er": [1, 2.5, None, True, b"bytes", "text" * 100]}] * 20}},
        {"applied": {}},
        {"applied": {"a": 1, "b": 2}},
        {"later": msgspec.msgpack.Ext(5, b"12345678901")},
        {"later": [2**63, -(2**63), -1, -200, 70_000, 2**40]},
        {"later": list(range(20)), "more": {str(n): n for n in range(40)}},
    ],
)
def test_plain(changed: dict[str, Any]) -> None:
    assert is_plain(pack(**changed))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xc0",
        b"\x80",
        msgspec.msgpack.encode([1]),
        pack(encoder="f"),
        pack(contributions=[["view", "a", 0.5, 1.5]]),
        pack(contributions=[["view", "a", 0.5, float("nan")]]),
        pack(encoder=1),
        pack(dim=4),
        pack(dim=3.0),
        pack(vector=VECTOR.tobytes()[:-1]),
        pack(vector="0123456789ab"),
        pack(count="1"),
        pack(count=2**63),
        pack(last_ts=None),
        pack(v=2),
        pack(v=0),
        pack(applied={"a": 1.5}),
        pack(applied=[1]),
        pack(applied={"a": "b"}),
        pack(applied={"a": 2**63 - 1}),
        pack(applied={"a": 2**56 + 1, "b": 1}),
        pack(applied={"a": -1}),
        pack(seen=5),
        pack(seen=[b"x"]),
        pack(seen=["a", 1]),
        pack(seen=msgspec.Raw(b"\x91\xa1\xff")),
        pack(contributions={}),
        pack(contributions=[[]]),
        pack(contributions=[[None, "a", 1.0, 1.0]]),
        pack(contributions=[["a", 1, 1.0, 1.0]]),
        pack(contributions=[["a", "b", "c", 1.0]]),
        pack(contributions=["abcd"]),
        *(pack(**{name: ...}) for name in PLAIN),
        pack() + b"\x00",
        pack()[:-1],
        b"\x82" + msgspec.msgpack.encode("dim") + b"\x03" + msgspec.msgpack.encode("dim") + b"\x03",
    ],
)
def test_left_to_the_decoder(value: bytes) -> None:
    assert not is_plain(value)


def test_a_topic_named_twice_is_left_to_the_decoder() -> None:
    once = msgspec.msgpack.encode({"a": 1})
    twice = b"\x82" + once[1:] * 2
    assert is_plain(pack(applied=msgspec.Raw(once)))
    assert not is_plain(pack(applied=msgspec.Raw(twice)))


class Needed(msgspec.Struct, kw_only=True):
    """What retrieval needs of a profile at once; its lists are read when someone asks."""

    encoder: str
    dim: int
    vector: bytes
    count: int
    last_ts: int
    partition: int
    applied: dict[str, int]
    fresh_from: int = 0
    seen: list[str] = []
    contributions: list[Contribution] = []


@given(st.data())
def test_damaged_bytes_are_never_read_otherwise_than_by_the_decoder(data: st.DataObject) -> None:
    lists = {"seen": ["a", "b"], "contributions": [["view", None, 0.5, 1.0]]}
    value = bytearray(pack(fresh_from=7, **lists))
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    scan, vectors = scan_states([bytes(value)], b"e", DIM)
    if scan.plain[0]:
        state = msgspec.msgpack.decode(bytes(value), type=Needed)
        assert (state.encoder, state.dim, state.vector) == ("e", DIM, vectors[0].tobytes())
        assert (state.count, state.last_ts, state.partition, state.fresh_from) == (
            scan.counts[0], scan.last_ts[0], scan.partitions[0], scan.fresh_from[0],
        )  # fmt: skip
        assert version_of(state.applied) == scan.versions[0]
