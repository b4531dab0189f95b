"""What every `VectorIndex` promises of writing, reading and searching."""

from __future__ import annotations

import numpy as np
import pytest
from index_makers import DIM, Make, Matrix, filled, unit

from store.errors import VectorIndexError
from store.indexes import VectorIndex
from store.indexes.exact import ExactIndex
from store.indexes.faiss_flat import FaissFlatIndex
from store.indexes.milvus import MilvusIndex
from store.indexes.milvus_target import MilvusTarget


def test_is_a_vector_index(make: Make) -> None:
    index = make()
    assert isinstance(index, VectorIndex)
    assert index.dim == DIM
    assert len(index) == 0


@pytest.mark.parametrize("queries", [1, 3, 20])
def test_finds_what_was_inserted_best_first(make: Make, error: float, queries: int) -> None:
    index, keys, vectors = filled(make, 200)
    found = index.search(vectors[:queries], 10)
    for query, hits in zip(vectors[:queries], found, strict=True):
        expected = np.sort(vectors @ query)[::-1][:10]
        assert hits.scores.dtype == np.float32
        np.testing.assert_allclose(hits.scores, expected, atol=error)
        assert (np.diff(hits.scores) <= 0).all()
    assert [hits.keys[0] for hits in index.search(vectors, 1)] == keys


def test_an_empty_index_finds_nothing(make: Make) -> None:
    hits = make().search(unit(2), 5)
    assert [one.keys for one in hits] == [[], []]
    assert hits[0].scores.shape == (0,)


def test_no_queries_give_no_hits(make: Make) -> None:
    index, *_ = filled(make)
    assert index.search(np.empty((0, DIM), dtype=np.float32), 3) == []


def test_k_beyond_what_is_held_gives_all(make: Make) -> None:
    index, keys, vectors = filled(make)
    assert set(index.search(vectors[:1], 1000)[0].keys) == set(keys)


def test_a_key_written_again_is_replaced(make: Make, error: float) -> None:
    index, keys, vectors = filled(make)
    index.upsert(["k3"], -vectors[3:4])
    assert len(index) == len(keys)
    stored = index.get(["k3"]).get("k3")
    assert stored is not None
    np.testing.assert_allclose(stored, -vectors[3], atol=error)
    assert index.search(-vectors[3:4], 1)[0].keys == ["k3"]


def test_the_last_of_equal_keys_in_one_call_stands(make: Make, error: float) -> None:
    index, vectors = make(), unit(3)
    index.upsert(["a", "b", "a"], vectors)
    assert len(index) == 2
    stored = index.get(["a"]).get("a")
    assert stored is not None
    np.testing.assert_allclose(stored, vectors[2], atol=error)


def test_delete_says_how_many_were_held(make: Make) -> None:
    index, keys, vectors = filled(make)
    assert index.delete(["k0", "nobody", "k49", "k0"]) == 2
    assert len(index) == len(keys) - 2
    assert "k0" not in index
    assert index.get(["k0"]).get("k0") is None
    assert "k0" not in index.search(vectors[:1], 50)[0].keys
    assert index.delete(keys) == len(keys) - 2
    assert index.search(vectors[:1], 5)[0].keys == []


def test_what_comes_out_is_the_callers_and_what_goes_in_is_copied(make: Make) -> None:
    index, _, vectors = filled(make)
    before = index.get(["k0"]).get("k0")
    assert before is not None
    vectors[0] = 0
    before[:] = 0
    after = index.get(["k0"]).get("k0")
    assert after is not None
    assert np.linalg.norm(after) == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((1, DIM + 1), dtype=np.float32),
        np.zeros(DIM, dtype=np.float32),
        np.zeros((1, DIM), dtype=np.float64),
        np.full((1, DIM), np.nan, dtype=np.float32),
        np.full((1, DIM), np.inf, dtype=np.float32),
        [[0.0] * DIM],
    ],
    ids=["width", "flat", "float64", "nan", "inf", "list"],
)
def test_wrong_vectors_are_refused_and_nothing_is_written(make: Make, vectors: Matrix) -> None:
    index, keys, _ = filled(make)
    with pytest.raises(VectorIndexError, match="expected"):
        index.upsert(["new"], vectors)
    with pytest.raises(VectorIndexError, match="expected"):
        index.search(vectors, 1)
    assert len(index) == len(keys)
    assert "new" not in index


def test_keys_and_vectors_must_be_as_many(make: Make) -> None:
    with pytest.raises(VectorIndexError, match="2 keys came with 1"):
        make().upsert(["a", "b"], unit(1))
    with pytest.raises(VectorIndexError, match="metadata of 1"):
        make().upsert(["a", "b"], unit(2), [{}])


def test_k_below_one_is_refused(make: Make) -> None:
    with pytest.raises(VectorIndexError, match="k is 0"):
        make().search(unit(1), 0)


def test_a_dim_below_one_is_refused() -> None:
    for cls in (ExactIndex, FaissFlatIndex):
        with pytest.raises(VectorIndexError, match="dim is 0"):
            cls(0)
    with pytest.raises(VectorIndexError, match="dim is 0"):
        MilvusIndex(0, "nothing", MilvusTarget(uri="nowhere.db"))


def test_half_precision_refuses_what_it_cannot_hold() -> None:
    index = FaissFlatIndex(DIM, "float16")
    with pytest.raises(VectorIndexError, match="float16"):
        index.upsert(["a"], np.full((1, DIM), 1e5, dtype=np.float32))
    assert len(index) == 0


def test_rows_written_in_place_give_a_fresh_index_answers_bit_for_bit(make: Make) -> None:
    used, keys, _ = filled(make, 300)
    latest = unit(300, seed=1)
    for start in range(0, 300, 7):
        used.upsert(keys[start : start + 7], latest[start : start + 7])
    used.delete(keys[::3])
    kept = [i for i in range(300) if i % 3]
    fresh = make()
    fresh.upsert([keys[i] for i in kept], latest[kept])
    queries = unit(3, seed=2)
    for one, other in zip(used.search(queries, 25), fresh.search(queries, 25), strict=True):
        assert one.keys == other.keys
        # BLAS, which milvus-lite calls too, may round by the place in its block
        if used.kind.startswith(("exact", "milvus")):
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        else:
            np.testing.assert_array_equal(one.scores, other.scores)
