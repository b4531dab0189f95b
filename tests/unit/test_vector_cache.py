from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.cache import ENTRY_OVERHEAD, VectorCache

DIM = 4
#: Lengths differ in characters and in UTF-8 bytes.
WORDS = ["a", "b", "cc", "ddd", "é" * 20, "日本" * 40, "\ud800", "z" * 500]
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["get", "put"]), st.lists(st.sampled_from(WORDS), max_size=5)),
    max_size=40,
)


def row(number: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.full(DIM, number, np.float32)


def size(text: str) -> int:
    return 4 * DIM + len(text.encode("utf-8", "surrogatepass")) + ENTRY_OVERHEAD


@given(OPERATIONS, st.integers(0, 6 * (ENTRY_OVERHEAD + 100)))
def test_behaves_as_an_ordered_dict_with_a_bound(
    operations: list[tuple[str, list[str]]], max_bytes: int
) -> None:
    cache = VectorCache(max_bytes)
    model: OrderedDict[str, int] = OrderedDict()
    hits = misses = evictions = number = 0
    for operation, texts in operations:
        if operation == "get":
            found = cache.get_many(texts)
            for text, vector in zip(texts, found, strict=True):
                if text in model:
                    hits += 1
                    model.move_to_end(text)
                    assert vector is not None
                    assert vector.tolist() == row(model[text]).tolist()
                else:
                    misses += 1
                    assert vector is None
        else:
            numbers = list(range(number, number + len(texts)))
            number += len(texts)
            rows = np.array([row(n) for n in numbers], np.float32).reshape(len(texts), DIM)
            cache.put_many(texts, rows)
            for text, value in zip(texts, numbers, strict=True):
                model.pop(text, None)
                if size(text) > max_bytes:
                    continue
                while sum(map(size, model)) + size(text) > max_bytes:
                    model.popitem(last=False)
                    evictions += 1
                model[text] = value
        assert len(cache) == len(model)
        assert cache.bytes_used == sum(map(size, model)) <= max_bytes
        assert (cache.hits, cache.misses, cache.evictions) == (hits, misses, evictions)


def test_zero_bytes_disable_it() -> None:
    cache = VectorCache(0)
    cache.put_many(["a"], row(1)[None])
    assert cache.get_many(["a"]) == [None]
    assert (len(cache), cache.bytes_used, cache.evictions) == (0, 0, 0)


def test_a_text_larger_than_the_cache_pushes_nothing_out() -> None:
    cache = VectorCache(size("a"))
    cache.put_many(["a", "z" * 500], np.stack([row(1), row(2)]))
    kept, refused = cache.get_many(["a", "z" * 500])
    assert kept is not None
    assert refused is None


def test_vectors_are_copies_that_cannot_be_written() -> None:
    cache = VectorCache(10_000)
    batch = np.stack([row(1), row(2)])
    cache.put_many(["a", "b"], batch)
    batch[:] = 9
    (vector,) = cache.get_many(["a"])
    assert vector is not None
    assert vector.base is None
    assert vector.tolist() == [1.0] * DIM
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 5


def test_texts_and_vectors_must_match_in_number() -> None:
    with pytest.raises(ValueError, match="argument"):
        VectorCache(10_000).put_many(["a", "b"], row(1)[None])


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="max_bytes must be at least 0, got -1"):
        VectorCache(-1)
