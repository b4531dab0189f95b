"""Codes for byte strings, against a dict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_fakes import hash_of

from store.interner import Interner, hash_bytes

KEYS = st.lists(st.one_of(st.binary(max_size=3), st.binary(max_size=80)), max_size=60)


def spans(keys: list[bytes | None]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A buffer with the keys apart from each other, and where they are; None is no value."""
    joined = b"".join(b"-" + (key or b"") for key in keys)
    lengths = np.array([len(key or b"") for key in keys], np.int64)
    starts = np.cumsum(lengths + 1, dtype=np.int64) - lengths
    ends = starts + lengths
    starts[[key is None for key in keys]] = -1
    return np.frombuffer(joined, np.uint8), starts, ends


@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=8))
def test_codes_are_those_of_a_dict(calls: list[tuple[bool, list[bytes]]]) -> None:
    interner, expected = Interner(), dict[bytes, int]()
    for insert, keys in calls:
        if insert:
            for key in keys:
                expected.setdefault(key, len(expected))
        codes = interner.codes(*spans([*keys]), insert=insert)
        assert codes.tolist() == [expected.get(key, -1) for key in keys]
    assert len(interner) == len(expected)
    for key, code in expected.items():
        assert (interner.code(key), interner.find(key), interner.key(code)) == (code, code, key)


@pytest.mark.parametrize("at_once", [1, 37, 20_000])
def test_many_keys_grow_the_table(at_once: int) -> None:
    keys = [b"user-%d" % n for n in range(20_000 if at_once > 1 else 3_000)]
    interner = Interner()
    for start in range(0, len(keys), at_once):
        interner.codes(*spans([*keys[start : start + at_once]]), insert=True)
    assert interner.codes(*spans([*keys]), insert=False).tolist() == list(range(len(keys)))
    assert interner.find(b"user-") == interner.find(b"user-x") == -1


def test_no_value_has_no_code_and_an_empty_key_has_one() -> None:
    interner = Interner()
    assert interner.codes(*spans([b"a", None, b"", None]), insert=True).tolist() == [0, -1, 1, -1]
    assert interner.key(1) == b""


def test_what_is_only_looked_up_gets_no_code() -> None:
    interner = Interner()
    assert interner.find(b"a") == -1
    assert interner.codes(*spans([b"a"]), insert=False).tolist() == [-1]
    assert len(interner) == 0


@pytest.mark.parametrize("code", [-1, 1])
def test_a_code_that_was_never_given_is_refused(code: int) -> None:
    interner = Interner()
    interner.code(b"a")
    with pytest.raises(IndexError, match=f"code {code} was never given; expected 0 to 0"):
        interner.key(code)


def test_arrays_of_before_keep_the_keys_of_before() -> None:
    interner = Interner()
    code = interner.code(b"kept")
    arena, ends = interner.arena, interner.ends
    interner.codes(*spans([b"%d" % n for n in range(5_000)]), insert=True)
    assert arena[ends[code] : ends[code + 1]].tobytes() == b"kept"
    assert arena is not interner.arena


def test_the_hash_is_the_same_in_every_version() -> None:
    # it is on the wire, as the event ids of a profile
    assert hash_of("") == 0xEFD01F60BA992926
    assert hash_of("01JX2V9M") == 1964261232237738363


@given(st.binary(max_size=40))
def test_the_hash_is_fnv_1a_and_fmix64(key: bytes) -> None:
    full = 2**64 - 1
    h = 0xCBF29CE484222325
    for byte in key:
        h = (h ^ byte) * 0x100000001B3 & full
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD & full
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 & full
    assert hash_bytes(np.frombuffer(key, np.uint8), 0, len(key)) == h ^ h >> 33


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=5))
def test_the_hash_is_of_the_span_alone(key: bytes, before: bytes, after: bytes) -> None:
    alone = hash_bytes(np.frombuffer(key, np.uint8), 0, len(key))
    within = np.frombuffer(before + key + after, np.uint8)
    assert hash_bytes(within, len(before), len(before) + len(key)) == alone != 0


def test_the_hash_spreads_over_high_and_low_bits() -> None:
    hashes = np.array([hash_of(f"user-{n}") for n in range(4096)], np.uint64)
    for shift in (0, 33, 52):
        buckets = np.bincount(((hashes >> np.uint64(shift)) & np.uint64(63)).astype(int))
        # 64 in each on average; 5 standard deviations are 40
        assert len(buckets) == 64
        assert 24 < buckets.min() <= buckets.max() < 104
