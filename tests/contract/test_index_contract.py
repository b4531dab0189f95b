"""One suite for every index: what `VectorIndex` promises, against a plain dict."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray

from store.errors import VectorIndexError
from store.indexes import Filter, VectorIndex, make_index
from store.indexes.exact import ExactIndex
from store.indexes.faiss_flat import FaissFlatIndex
from store.indexes.faiss_library import faiss
from store.indexes.gpu import gpus
from store.indexes.growing import Acceleration, GrowingIndex, Growth
from store.indexes.milvus import MilvusIndex
from store.indexes.milvus_target import MilvusTarget

DIM = 8
Matrix = NDArray[np.float32]
Make = Callable[[], VectorIndex]


class Segmented(ExactIndex):
    segment_rows = 64


class FaissSegmented(FaissFlatIndex):
    segment_rows = 64


class Accelerated(GrowingIndex):
    """Is accelerated whenever it may be, and looks everywhere: its answers are exact, too."""

    segment_rows = 64

    def __init__(self, by: Acceleration) -> None:
        super().__init__(DIM, "float32", Growth(above=40, by=by, probe_seconds=0.0), threads=2)

    def _on_written(self, rows: NDArray[np.int64]) -> None:
        super()._on_written(rows)
        assert self.wait_built(60)
        if self._accelerator is not None:
            self._accelerator.effort = self._accelerator.most_effort
        self.maintain()


class Lite:
    """Collections of milvus-lite in one folder, from the first on: each start takes time."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None
        self._made: list[MilvusIndex] = []
        self._numbers = itertools.count()

    def make(self) -> MilvusIndex:
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="milvus-lite-")
        target = MilvusTarget(uri=str(Path(self._folder.name) / "contract.db"))
        self._made.append(MilvusIndex(DIM, f"contract{next(self._numbers)}", target))
        return self._made[-1]

    def close(self) -> None:
        for index in self._made:
            index.close()
        self._made.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


LITE = Lite()


@pytest.fixture(scope="module", autouse=True)
def let_go_of_milvus_lite() -> Iterator[None]:
    yield
    LITE.close()


#: Each with the error of a score that its precision allows.
MAKERS: dict[str, tuple[Make, float]] = {
    "exact": (lambda: ExactIndex(DIM), 1e-5),
    "faiss-float32": (lambda: FaissFlatIndex(DIM, "float32"), 1e-5),
    "faiss-bfloat16": (lambda: FaissFlatIndex(DIM, "bfloat16"), 1e-2),
    "faiss-float16": (lambda: FaissFlatIndex(DIM, "float16"), 2e-3),
    "faiss-int8": (lambda: FaissFlatIndex(DIM, "int8"), 5e-2),
    "exact-segments": (lambda: Segmented(DIM), 1e-5),
    "faiss-ivf": (lambda: Accelerated("ivf"), 1e-5),
    "faiss-sketch": (lambda: Accelerated("sketch"), 1e-5),
    "faiss-hnsw": (lambda: Accelerated("hnsw"), 1e-5),
    "faiss-copy": (lambda: Accelerated("gpu"), 1e-5),
    "faiss-segments": (lambda: FaissSegmented(DIM, threads=2), 1e-2),
    "milvus": (LITE.make, 1e-5),
}


@pytest.fixture(autouse=True)
def stand_in_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flat index of FAISS on the CPU, where there is no GPU: of what it knows all is the same."""
    if not gpus():
        monkeypatch.setattr("store.indexes.gpu._on_first_gpu", faiss.IndexFlatIP)


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(name: str) -> Make:
    return MAKERS[name][0]


@pytest.fixture
def error(name: str) -> float:
    return MAKERS[name][1]


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


@pytest.mark.parametrize("barred", [1, 40, 1500])
def test_excluded_keys_do_not_come_back_and_k_others_do(
    make: Make, error: float, barred: int
) -> None:
    index, keys, vectors = filled(make, 2000)
    exclude = {*keys[:barred], "nobody"}
    hits = index.search(vectors[:1], 10, Filter(exclude=exclude))[0]
    assert len(hits.keys) == 10
    assert not exclude.intersection(hits.keys)
    rest = np.sort(vectors[barred:] @ vectors[0])[::-1][:10]
    np.testing.assert_allclose(hits.scores, rest, atol=error)


@pytest.mark.parametrize("allowed", [3, 17, 400])
@pytest.mark.parametrize("queries", [1, 8])
def test_fields_are_looked_at_within_the_search(
    make: Make, error: float, allowed: int, queries: int
) -> None:
    index, vectors = make(), unit(500)
    keys = [f"k{i}" for i in range(500)]
    worst_first = np.argsort(vectors @ vectors[0])
    horror = {keys[i] for i in worst_first[:allowed]}
    index.upsert(keys, vectors, [{"category": ["Horror"] if k in horror else []} for k in keys])
    found = index.search(vectors[:queries], 10, Filter(fields={"category": ["Horror"]}))
    for query, hits in zip(vectors[:queries], found, strict=True):
        assert len(hits.keys) == min(10, allowed)
        assert horror.issuperset(hits.keys)
        expected = np.sort(vectors[worst_first[:allowed]] @ query)[::-1][:10]
        np.testing.assert_allclose(hits.scores, expected, atol=error)
    assert index.search(vectors[:1], 10, Filter(fields={"category": ["Comedy"]}))[0].keys == []
    assert index.search(vectors[:1], 10, Filter(fields={"category": []}))[0].keys == []


def test_every_field_must_agree_with_any_of_its_values(make: Make) -> None:
    index, vectors = make(), unit(5)
    index.upsert(
        ["a", "b", "c", "d", "e"],
        vectors,
        [
            {"category": ("Horror", "Comedy"), "tenant": ("x",)},
            {"category": ("Comedy",), "tenant": ("y",)},
            {"category": ("War",), "tenant": ("x",)},
            {"tenant": ("x",)},
            {"category": ("Horror",), "tenant": ("x", "y")},
        ],
    )

    def found(exclude: tuple[str, ...] = (), **fields: list[str]) -> str:
        hits = index.search(vectors[:1], 5, Filter(exclude, fields))[0]
        return "".join(sorted(hits.keys))

    assert found() == "abcde"
    assert found(category=["Comedy"]) == "ab"
    assert found(category=["Comedy", "War"]) == "abc"
    assert found(category=["Horror"], tenant=["y"]) == "e"
    assert found(("a",), tenant=["x"]) == "cde"
    assert found(language=["en"]) == ""


def test_metadata_stays_until_it_is_written_again(make: Make) -> None:
    index, vectors = make(), unit(4)
    wanted = Filter(fields={"tenant": ["x"]})
    index.upsert(["a", "b", "c"], vectors[:3], [{"tenant": ["x"]}] * 3)
    index.upsert(["a", "d"], vectors[[1, 3]])
    assert sorted(index.search(vectors[:1], 9, wanted)[0].keys) == ["a", "b", "c"]
    index.upsert(["b"], vectors[1:2], [{"tenant": ["y"]}])
    assert sorted(index.search(vectors[:1], 9, wanted)[0].keys) == ["a", "c"]
    index.delete(["a"])
    index.upsert(["a"], vectors[:1])
    assert index.search(vectors[:1], 9, wanted)[0].keys == ["c"]


def test_what_a_snapshot_gave_is_restored(make: Make) -> None:
    index, keys, vectors = filled(make, 200)
    index.upsert(keys[:50], vectors[:50], [{"tenant": [str(i % 2)]} for i in range(50)])
    again = make()
    again.restore(index.snapshot())
    assert len(again) == len(index)
    wanted = Filter(fields={"tenant": ["1"]})
    for where in (Filter(), wanted):
        for one, other in zip(
            again.search(vectors[:3], 20, where), index.search(vectors[:3], 20, where), strict=True
        ):
            assert set(one.keys) == set(other.keys)
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
    stored, before = again.get(["k7"]).get("k7"), index.get(["k7"]).get("k7")
    assert stored is not None
    assert before is not None
    np.testing.assert_array_equal(stored, before)


def test_a_snapshot_of_some_keys_is_one_part_of_those_held(make: Make) -> None:
    index, keys, _ = filled(make)
    (part,) = index.snapshot(["k3", "nobody", "k7"])
    assert sorted(part.keys) == ["k3", "k7"]
    again = make()
    again.restore([part])
    for key in part.keys:
        stored, expected = again.get([key]).get(key), index.get([key]).get(key)
        assert stored is not None
        assert expected is not None
        np.testing.assert_array_equal(stored, expected)
    (none,) = index.snapshot([])
    assert none.keys == []
    again.restore([none])
    assert len(again) == 2 < len(keys)


def test_writes_between_the_parts_of_a_snapshot_lose_no_key(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.indexes.rows._PART_KEYS", 16)
    monkeypatch.setattr("store.indexes.milvus._PART_KEYS", 16)
    index, keys, vectors = filled(make, 100)
    parts = []
    for number, part in enumerate(index.snapshot()):
        parts.append(part)
        index.delete([keys[2 * number]])  # the last row takes its place, which was written down
        index.upsert([f"new{number}"], vectors[:1])
    again = make()
    again.restore(parts)
    assert all(key in again for key in keys if key in index)


def test_a_part_of_another_index_is_refused(make: Make) -> None:
    index, keys, _ = filled(make)
    part = next(index.snapshot())
    again = make()
    with pytest.raises(VectorIndexError, match="float3"):
        again.restore([part._replace(precision="float3")])
    with pytest.raises(VectorIndexError, match="expected"):
        again.restore([part._replace(vectors=part.vectors[:, :-1])])
    with pytest.raises(VectorIndexError, match="expected"):
        again.restore([part._replace(keys=keys[1:])])
    assert len(again) == 0


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
        self.index.upsert(chosen, vectors, [{"parity": [str(int(key) % 2)]} for key in chosen])
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
        parity=st.none() | st.sampled_from(["0", "1", "2"]),
        count=st.sampled_from([1, 7]),
    )
    def search(self, seed: int, k: int, exclude: set[str], parity: str | None, count: int) -> None:
        queries = unit(count, seed)
        where = Filter(exclude, {} if parity is None else {"parity": [parity]})
        hits, query = self.index.search(queries, k, where)[-1], queries[-1]
        scores = {
            key: float(vector @ query)
            for key, vector in self.oracle.items()
            if key not in exclude and (parity is None or int(key) % 2 == int(parity))
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


ODD = [
    "", " ", "a'b", 'a"b', "a\\", "\\n", "a\nb", "\r\t\x00\x1f\x7f", "%_", "{x}", "a=b=c", "%3D",
    "\u2028", "爱" * 256, "😀" * 256, "é", "e\u0301", "] or true or key in [",
]  # fmt: skip


def test_keys_and_metadata_may_be_any_text(make: Make) -> None:
    index, vectors = make(), unit(len(ODD))
    index.upsert(ODD, vectors, [{"is": [text], text: ["field"]} for text in ODD])
    again = make()
    again.restore(index.snapshot())
    for text, vector in zip(ODD, vectors, strict=True):
        for one in (index, again):
            assert one.search(vector[np.newaxis], 1)[0].keys == [text]
            assert text in one
            for fields in ({"is": [text]}, {text: ["field"]}):
                assert one.search(vectors[:1], 99, Filter(fields=fields))[0].keys == [text]
            others = one.search(vectors[:1], 99, Filter(exclude={text}))[0].keys
            assert sorted([*others, text]) == sorted(ODD)
        stored = again.get([text]).get(text)
        assert stored is not None
        np.testing.assert_array_equal(stored, index.get([text]).get(text))
    assert index.delete(ODD[::2]) == len(ODD[::2])
    assert sorted(index.search(vectors[:1], 99)[0].keys) == sorted(ODD[1::2])


@pytest.mark.parametrize("name", MAKERS)
def test_any_sequence_of_changes_agrees_with_a_dict(name: str) -> None:
    make, tolerance = MAKERS[name]
    machine = type("Machine", (IndexMachine,), {"make": staticmethod(make), "tolerance": tolerance})
    case = machine.TestCase  # type: ignore[attr-defined]
    # each example makes an index, which in Milvus takes half a second
    examples = 10 if name == "milvus" else 30
    case.settings = settings(max_examples=examples, stateful_step_count=20, deadline=None)
    case("runTest").debug()


def test_the_factory_makes_what_is_named() -> None:
    assert isinstance(make_index("exact", DIM), ExactIndex)
    assert make_index("faiss", DIM).kind == "faiss-flat bfloat16"
    assert make_index("faiss", DIM, precision="float16").kind == "faiss-flat float16"
    assert isinstance(make_index("faiss", DIM, growth="hnsw"), GrowingIndex)
    with pytest.raises(VectorIndexError, match="no index 'annoy'"):
        make_index("annoy", DIM)  # type: ignore[arg-type]
    with pytest.raises(VectorIndexError, match="use faiss"):
        make_index("exact", DIM, precision="float16")


def test_the_factory_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("store.indexes.")]:
        if module.rsplit(".", 1)[1] in {"faiss_library", "faiss_flat", "growing", "graph", "ivf"}:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(VectorIndexError, match=r'pip install "tidemark\[cpu\]"'):
        make_index("faiss", DIM)
