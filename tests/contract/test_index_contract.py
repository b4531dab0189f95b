"""One suite for every index: what `VectorIndex` promises, against a plain dict."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray

from store.errors import VectorIndexError
from store.indexes import VectorIndex, make_index
from store.indexes.exact import ExactIndex
from store.indexes.faiss_flat import FaissFlatIndex

DIM = 8
Matrix = NDArray[np.float32]
Make = Callable[[], VectorIndex]

MAKERS: dict[str, tuple[Make, float]] = {
    "exact": (lambda: ExactIndex(DIM), 1e-5),
    "faiss-float32": (lambda: FaissFlatIndex(DIM), 1e-5),
    "faiss-float16": (lambda: FaissFlatIndex(DIM, "float16"), 4e-3),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Make:
    return MAKERS[request.param][0]


def unit(count: int, seed: int = 0) -> Matrix:
    rows = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def filled(make: Make, count: int = 50) -> tuple[VectorIndex, list[str], Matrix]:
    index, keys, vectors = make(), [f"k{i}" for i in range(count)], unit(count)
    index.upsert(keys, vectors)
    return index, keys, vectors


def test_is_a_vector_index(make: Make) -> None:
    index = make()
    assert isinstance(index, VectorIndex)
    assert index.dim == DIM
    assert len(index) == 0


def test_finds_what_was_inserted_best_first(make: Make) -> None:
    index, keys, vectors = filled(make, 200)
    for query, hits in zip(vectors[:20], index.search(vectors[:20], 10), strict=True):
        expected = np.sort(vectors @ query)[::-1][:10]
        assert hits.scores.dtype == np.float32
        np.testing.assert_allclose(hits.scores, expected, atol=2e-3)
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


def test_a_key_written_again_is_replaced(make: Make) -> None:
    index, keys, vectors = filled(make)
    index.upsert(["k3"], -vectors[3:4])
    assert len(index) == len(keys)
    stored = index.get("k3")
    assert stored is not None
    np.testing.assert_allclose(stored, -vectors[3], atol=1e-3)
    assert index.search(-vectors[3:4], 1)[0].keys == ["k3"]


def test_the_last_of_equal_keys_in_one_call_stands(make: Make) -> None:
    index, vectors = make(), unit(3)
    index.upsert(["a", "b", "a"], vectors)
    assert len(index) == 2
    stored = index.get("a")
    assert stored is not None
    np.testing.assert_allclose(stored, vectors[2], atol=1e-3)


def test_delete_says_how_many_were_held(make: Make) -> None:
    index, keys, vectors = filled(make)
    assert index.delete(["k0", "nobody", "k49", "k0"]) == 2
    assert len(index) == len(keys) - 2
    assert "k0" not in index
    assert index.get("k0") is None
    assert "k0" not in index.search(vectors[:1], 50)[0].keys
    assert index.delete(keys) == len(keys) - 2
    assert index.search(vectors[:1], 5)[0].keys == []


def test_what_comes_out_is_the_callers_and_what_goes_in_is_copied(make: Make) -> None:
    index, _, vectors = filled(make)
    before = index.get("k0")
    assert before is not None
    vectors[0] = 0
    before[:] = 0
    after = index.get("k0")
    assert after is not None
    assert np.linalg.norm(after) == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("barred", [1, 40, 1500])
def test_excluded_keys_do_not_come_back_and_k_others_do(make: Make, barred: int) -> None:
    index, keys, vectors = filled(make, 2000)
    exclude = {*keys[:barred], "nobody"}
    hits = index.search(vectors[:1], 10, exclude=exclude)[0]
    assert len(hits.keys) == 10
    assert not exclude.intersection(hits.keys)
    rest = np.sort(vectors[barred:] @ vectors[0])[::-1][:10]
    np.testing.assert_allclose(hits.scores, rest, atol=2e-3)


@pytest.mark.parametrize("allowed", [3, 17, 400])
def test_allow_is_applied_within_the_search(make: Make, allowed: int) -> None:
    index, keys, vectors = filled(make, 500)
    worst_first = np.argsort(vectors @ vectors[0])
    allow = {keys[i] for i in worst_first[:allowed]} | {"nobody"}
    hits = index.search(vectors[:1], 10, allow=allow)[0]
    assert len(hits.keys) == min(10, allowed)
    assert allow.issuperset(hits.keys)
    assert index.search(vectors[:1], 10, allow=[])[0].keys == []


def test_exclude_counts_within_allow(make: Make) -> None:
    index, _, vectors = filled(make)
    hits = index.search(vectors[:1], 5, allow=["k1", "k2", "k3"], exclude=["k2"])[0]
    assert sorted(hits.keys) == ["k1", "k3"]


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


def test_k_below_one_is_refused(make: Make) -> None:
    with pytest.raises(VectorIndexError, match="k is 0"):
        make().search(unit(1), 0)


def test_a_dim_below_one_is_refused() -> None:
    for cls in (ExactIndex, FaissFlatIndex):
        with pytest.raises(VectorIndexError, match="dim is 0"):
            cls(0)


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
    queries = unit(20, seed=2)
    for one, other in zip(used.search(queries, 25), fresh.search(queries, 25), strict=True):
        assert one.keys == other.keys
        if isinstance(used, ExactIndex):  # BLAS may round by the place in its block
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        else:
            np.testing.assert_array_equal(one.scores, other.scores)


class IndexMachine(RuleBasedStateMachine):
    """Random upserts, deletes and searches on one index and on a dict."""

    make: Make
    tolerance: float

    def __init__(self) -> None:
        super().__init__()
        self.index = type(self).make()
        self.oracle: dict[str, Matrix] = {}

    # few keys, so that they meet; up to 150, so that the matrix grows
    keys = st.integers(0, 150).map(str)
    key_sets = st.sets(keys, max_size=60)

    @rule(chosen=st.lists(keys, max_size=100), seed=st.integers(0, 1000))
    def upsert(self, chosen: list[str], seed: int) -> None:
        vectors = unit(len(chosen), seed)
        self.index.upsert(chosen, vectors)
        self.oracle.update(zip(chosen, vectors, strict=True))

    @rule(chosen=st.lists(keys, max_size=40))
    def delete(self, chosen: list[str]) -> None:
        held = {key for key in chosen if key in self.oracle}
        assert self.index.delete(chosen) == len(held)
        for key in held:
            del self.oracle[key]

    @rule(
        seed=st.integers(0, 1000),
        k=st.integers(1, 200),
        exclude=key_sets,
        allow=st.none() | key_sets,
    )
    def search(self, seed: int, k: int, exclude: set[str], allow: set[str] | None) -> None:
        query = unit(1, seed)
        hits = self.index.search(query, k, exclude=exclude, allow=allow)[0]
        scores = {
            key: float(vector @ query[0])
            for key, vector in self.oracle.items()
            if key not in exclude and (allow is None or key in allow)
        }
        best = sorted(scores.values(), reverse=True)[:k]
        assert len(set(hits.keys)) == len(hits.keys)
        np.testing.assert_allclose(hits.scores, best, atol=self.tolerance)
        np.testing.assert_allclose(
            hits.scores, [scores[key] for key in hits.keys], atol=self.tolerance
        )

    @invariant()
    def holds_the_same_keys(self) -> None:
        assert len(self.index) == len(self.oracle)
        assert all(key in self.index for key in self.oracle)


@pytest.mark.parametrize("name", MAKERS)
def test_any_sequence_of_changes_agrees_with_a_dict(name: str) -> None:
    make, tolerance = MAKERS[name]
    machine = type("Machine", (IndexMachine,), {"make": staticmethod(make), "tolerance": tolerance})
    case = machine.TestCase  # type: ignore[attr-defined]
    case.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
    case("runTest").debug()


def test_the_factory_makes_what_is_named() -> None:
    assert isinstance(make_index("exact", DIM), ExactIndex)
    assert isinstance(make_index("faiss", DIM), FaissFlatIndex)
    assert make_index("faiss", DIM, precision="float16").dim == DIM
    with pytest.raises(VectorIndexError, match="no index 'annoy'"):
        make_index("annoy", DIM)  # type: ignore[arg-type]
    with pytest.raises(VectorIndexError, match="use faiss"):
        make_index("exact", DIM, precision="float16")


def test_the_factory_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "store.indexes.faiss_flat", raising=False)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(VectorIndexError, match=r'pip install "tidemark\[cpu\]"'):
        make_index("faiss", DIM)
