"""The profile record: its bytes, what is refused, and the weights of contributions."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_fakes import make_state

from store.errors import CorruptRecordError
from store.profile import (
    FENCE_HEADER,
    Contribution,
    Fence,
    ProfileState,
    contribution_weights,
    decode_fence,
    decode_profile,
    encode_fence,
    encode_profile,
    version_of,
)

offsets = st.integers(0, 2**63 - 1)
amounts = st.floats(allow_nan=False, allow_infinity=False)
ks = st.floats(0, 1)
contributions = st.builds(
    Contribution, action=st.text(), item_id=st.none() | st.text(), k=ks, strength=st.floats(-1, 1)
)


@st.composite
def states(draw: st.DrawFn) -> ProfileState:
    values = draw(st.lists(st.floats(width=32, allow_nan=False), max_size=8))
    return ProfileState(
        encoder=draw(st.text()),
        policy=draw(st.text()),
        dim=len(values),
        vector=np.array(values, dtype="<f4").tobytes(),
        count=draw(offsets),
        last_ts=draw(offsets),
        partition=draw(st.integers(0, 10_000)),
        applied=draw(st.dictionaries(st.text(), offsets, max_size=3)),
        mass=draw(amounts),
        sum_k=draw(amounts),
        sum_k2=draw(amounts),
        fresh_from=draw(offsets),
        contributions=draw(st.lists(contributions, max_size=5)),
        seen=draw(st.lists(st.text(), max_size=5)),
        event_ids=draw(st.lists(st.integers(1, 2**64 - 1), max_size=5)),
    )


@pytest.mark.parametrize("strength", [1.5, -2.0, float("inf"), float("nan")])
def test_a_strength_that_no_action_has_is_refused(strength: float) -> None:
    contribution = Contribution("click", "i1", 0.5, strength)
    state = msgspec.structs.replace(make_state([1.0]), contributions=[contribution])
    with pytest.raises(CorruptRecordError, match="its strength is"):
        decode_profile(encode_profile(state))


@given(states())
def test_a_state_comes_back_as_it_went(state: ProfileState) -> None:
    assert decode_profile(encode_profile(state)) == state


GOLDEN = ProfileState(
    encoder="e",
    policy="constant k=0.5",
    dim=2,
    vector=np.array([1.0, -0.5], dtype="<f4").tobytes(),
    count=3,
    last_ts=1_700_000_000_000,
    partition=1,
    applied={"actions": 41},
    fresh_from=1_700_000_000_001,
    contributions=[Contribution("click", "i1", 0.5, 1.0)],
    seen=["i1"],
)
GOLDEN_BYTES = bytes.fromhex(
    "de000ba7656e636f646572a165a6706f6c696379ae636f6e7374616e74206b3d302e35a364696d02a6766563"
    "746f72c4080000803f000000bfa5636f756e7403a76c6173745f7473cf0000018bcfe56800a9706172746974"
    "696f6e01a76170706c69656481a7616374696f6e7329aa66726573685f66726f6dcf0000018bcfe56801ad63"
    "6f6e747269627574696f6e739194a5636c69636ba26931cb3fe0000000000000cb3ff0000000000000a47365"
    "656e91a26931"
)


def test_the_bytes_on_the_wire_are_held_stable() -> None:
    assert decode_profile(GOLDEN_BYTES) == GOLDEN
    written = msgspec.msgpack.decode(encode_profile(GOLDEN))
    # a later version may write more fields, never these differently
    assert written == written | msgspec.msgpack.decode(GOLDEN_BYTES)


def test_unknown_fields_are_ignored() -> None:
    fields = msgspec.msgpack.decode(GOLDEN_BYTES) | {"mood": "sunny"}
    assert decode_profile(msgspec.msgpack.encode(fields)) == GOLDEN


def test_the_array_is_the_vector_and_read_only() -> None:
    array = GOLDEN.array()
    assert array.tolist() == [1.0, -0.5]
    assert not array.flags.writeable


@pytest.mark.parametrize(
    "value",
    [b"", b"\xc1", GOLDEN_BYTES[:-1], GOLDEN_BYTES + b"\x00", msgspec.msgpack.encode([1, 2])],
    ids=["empty", "no-messagepack", "cut", "trailing", "no-map"],
)
def test_what_is_no_profile_is_refused(value: bytes) -> None:
    with pytest.raises(CorruptRecordError, match="profiles topic cannot be read"):
        decode_profile(value)


def test_a_vector_of_another_length_than_said_is_refused() -> None:
    state = make_state([1, 2, 3, 4])
    state.dim = 5
    with pytest.raises(CorruptRecordError, match="expected 20"):
        decode_profile(encode_profile(state))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_profile_or_refused(value: bytes) -> None:
    try:
        decode_profile(value)
    except CorruptRecordError:
        return
    raise AssertionError(value)


def test_a_fence_comes_back_among_other_headers() -> None:
    fence = Fence(partition=3, applied={"actions": 7, "orders": 2}, forgotten_ts=5)
    headers = [("traceparent", b"00"), (FENCE_HEADER, encode_fence(fence))]
    assert decode_fence(headers) == fence
    assert decode_fence(headers[:1]) is None


@pytest.mark.parametrize(
    ("value", "why"),
    [(b"\xc1", "malformed"), (b"", "truncated"), (None, "null; expected MessagePack")],
)
def test_a_fence_that_cannot_be_read_is_refused(value: bytes | None, why: str) -> None:
    with pytest.raises(CorruptRecordError, match=f"fence cannot be read: .*{why}"):
        decode_fence([(FENCE_HEADER, value)])


def test_the_version_grows_with_every_action_of_any_topic() -> None:
    versions = [
        version_of(applied)
        for applied in ({}, {"a": 0}, {"a": 0, "b": 0}, {"a": 1, "b": 0}, {"a": 1, "b": 5})
    ]
    assert versions == sorted(set(versions))


@given(
    st.lists(st.tuples(ks, st.floats(-2, 2)), min_size=1, max_size=12),
    st.integers(0, 1000),
)
def test_weights_rebuild_a_folded_vector(folds: list[tuple[float, float]], seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((len(folds), 6))
    p = np.zeros(6)
    for (k, strength), v in zip(folds, vectors, strict=True):
        p = k * p + (1 - k) * strength * v
    weights = contribution_weights([Contribution("click", None, k, s) for k, s in folds])
    np.testing.assert_allclose(np.array(weights) @ vectors, p, atol=1e-9)
