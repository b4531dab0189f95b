"""An index that is accelerated while it is written and searched."""

from __future__ import annotations

import logging
import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from store.indexes import Filter, growing
from store.indexes.gpu import gpus
from store.indexes.growing import Acceleration, GrowingIndex, Growth
from store.indexes.lists import RowLists
from store.indexes.recall import RecallProbe
from store.indexes.rows import nothing

DIM = 32
Matrix = NDArray[np.float32]


def clustered(count: int, seed: int = 0) -> Matrix:
    """Unit vectors around fifty centres, as texts' are."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((50, DIM))
    rows = centres[random.integers(0, 50, count)] + 0.5 * random.standard_normal((count, DIM))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def filled(
    by: Acceleration, count: int = 3_000, **growth: Any
) -> tuple[GrowingIndex, list[str], Matrix]:
    index = GrowingIndex(DIM, "bfloat16", Growth(above=1_000, by=by, **growth), threads=2)
    keys, vectors = [f"k{i}" for i in range(count)], clustered(count)
    index.upsert(keys, vectors)
    return index, keys, vectors


def recall(index: GrowingIndex, vectors: Matrix, queries: Matrix, k: int = 20) -> float:
    found = [set(hits.keys) for hits in index.search(queries, k)]
    true = np.argsort(-(queries @ vectors.T), axis=1)[:, :k]
    return float(
        np.mean([len(f & {f"k{i}" for i in t}) / k for f, t in zip(found, true, strict=True)])
    )


@pytest.mark.parametrize("by", ["sketch", "ivf", "hnsw"])
def test_it_is_accelerated_and_finds_nearly_all(by: Acceleration) -> None:
    index, _, vectors = filled(by)
    assert index.kind == "faiss-flat bfloat16"
    assert index.recall is None
    index.maintain()
    assert index.wait_built(60)
    assert by in index.kind
    assert recall(index, vectors, clustered(30, seed=1)) > 0.95
    index.delete([f"k{i}" for i in range(500, 3_000)])
    index.maintain()
    assert index.kind == "faiss-flat bfloat16", "few rows are looked at again"


@pytest.mark.parametrize("by", ["sketch", "ivf", "hnsw"])
def test_it_serves_what_is_written_while_it_is_built(
    by: Acceleration, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, build = threading.Event(), growing._BUILDERS[by]  # noqa: SLF001

    def slowly(rows: Any) -> Any:
        built = build(rows)
        assert go_on.wait(60)
        return built

    monkeypatch.setitem(growing._BUILDERS, by, slowly)  # noqa: SLF001
    index, keys, vectors = filled(by)
    index.maintain()
    assert index.building
    vectors = vectors.copy()
    vectors[:900] = clustered(900, seed=5)
    index.upsert(keys[:900], vectors[:900])
    index.delete(keys[2_900:])
    new = clustered(200, seed=6)
    index.upsert([f"k{i}" for i in range(3_000, 3_200)], new)
    assert index.search(vectors[7:8], 1)[0].keys == ["k7"]
    assert index.search(new[9:10], 1)[0].keys == ["k3009"]
    go_on.set()
    assert index.wait_built(60)
    assert by in index.kind
    for place in range(0, 900, 50):
        assert index.search(vectors[place : place + 1], 1)[0].keys == [f"k{place}"]
    for place in range(0, 200, 20):
        assert index.search(new[place : place + 1], 1)[0].keys == [f"k{3000 + place}"]
    gone = {f"k{i}" for i in range(2_900, 3_000)}
    assert not gone.intersection(index.search(clustered(1, seed=8), 3_000)[0].keys)


@pytest.mark.parametrize("by", ["sketch", "ivf", "hnsw"])
def test_a_write_is_found_by_the_next_search_wherever_it_goes(by: Acceleration) -> None:
    index, keys, _ = filled(by)
    index.maintain()
    assert index.wait_built(60)
    random = np.random.default_rng(3)
    for round_ in range(30):
        far = random.standard_normal((40, DIM)).astype(np.float32)  # like nothing that was there
        far /= np.linalg.norm(far, axis=1, keepdims=True)
        chosen = [keys[i] for i in random.choice(len(keys), 40, replace=False)]
        index.upsert(chosen, far)
        for key, hits in zip(chosen[:3], index.search(far[:3], 1), strict=True):
            assert hits.keys == [key]
        if round_ % 3 == 0:
            index.maintain()


@pytest.mark.parametrize("by", ["sketch", "ivf", "hnsw"])
def test_k_come_back_where_k_qualify(by: Acceleration) -> None:
    index, keys, vectors = filled(by)
    index.maintain()
    assert index.wait_built(60)
    everything = index.search(vectors[:2], 3_000)
    assert [len(hits.keys) for hits in everything] == [3_000, 3_000]
    index.upsert(keys[:2_000], vectors[:2_000], [{"tenant": ["x"]}] * 2_000)
    hits = index.search(vectors[:1], 1_500, Filter(keys[:100], {"tenant": ["x"]}))[0]
    assert len(hits.keys) == 1_500
    assert not set(keys[:100]).intersection(hits.keys)


def test_a_filter_with_one_thread_and_an_accelerator() -> None:
    index = GrowingIndex(DIM, growth=Growth(above=1_000, by="hnsw"), threads=1)
    keys, vectors = [f"k{i}" for i in range(40_000)], clustered(40_000)
    index.upsert(keys, vectors, [{"kind": [str(i % 5)]} for i in range(len(keys))])
    index.maintain()
    assert index.wait_built(120)
    hits = index.search(vectors[:1], 500, Filter(fields={"kind": ["3"]}))[0]
    assert len(hits.keys) == 500
    assert {int(key[1:]) % 5 for key in hits.keys} == {3}


def test_one_that_comes_and_goes_at_the_threshold_builds_nothing_anew() -> None:
    index, _, vectors = filled("sketch", 1_001)
    index.maintain()
    assert index.wait_built(60)
    accelerator = index._accelerator  # noqa: SLF001
    for _ in range(5):
        index.delete(["k7", "k8"])
        index.maintain()
        index.upsert(["k7", "k8"], vectors[7:9])
        index.maintain()
    assert index._accelerator is accelerator  # noqa: SLF001
    index.delete([f"k{i}" for i in range(300)])
    index.maintain()
    assert index._accelerator is None  # noqa: SLF001


def test_a_graph_is_built_anew_when_much_has_changed() -> None:
    index, keys, vectors = filled("hnsw", 6_000)
    index.maintain()
    assert index.wait_built(60)
    index.upsert(keys[:3_000], vectors[:3_000])
    index.maintain()
    assert not index.building, "they are as the graph has them"
    index.upsert(keys[:3_000], -vectors[:3_000])
    index.maintain()
    assert index.building
    assert index.wait_built(60)
    index.maintain()
    assert not index.building


def test_a_build_that_fails_is_told_and_the_flat_index_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setitem(growing._BUILDERS, "ivf", fails)  # noqa: SLF001
    index, keys, vectors = filled("ivf")
    index.maintain()
    with caplog.at_level(logging.ERROR, "store"):
        assert index.wait_built(60)
    assert "could not be accelerated" in caplog.text
    assert index.search(vectors[5:6], 1)[0].keys == [keys[5]]
    index.maintain()
    assert not index.building, "not again, until there are twice as many"


def test_the_probe_finds_what_is_missed_and_asks_for_more_effort() -> None:
    now = 0.0
    index = GrowingIndex(
        DIM,
        "float32",
        Growth(above=1_000, by="ivf", recall=0.99, probe_seconds=1.0),
        threads=1,
        clock=lambda: now,
    )
    vectors = clustered(4_000)
    index.upsert([f"k{i}" for i in range(4_000)], vectors)
    index.maintain()
    assert index.wait_built(60)
    accelerator = index._accelerator  # noqa: SLF001
    assert accelerator is not None
    accelerator.effort = accelerator.least_effort
    before = recall(index, vectors, vectors[:50], 100)
    assert before < 0.97
    for _ in range(200):
        now += 1.0
        while index.maintain():
            pass
    assert index.recall is not None
    assert index.recall > 0.97
    assert accelerator.effort > accelerator.least_effort
    assert recall(index, vectors, vectors[:50], 100) > max(before, 0.97)


class _Effort:
    kind, least_effort, most_effort, effort = "fake", 1, 100, 50


@pytest.mark.parametrize(("missed", "grows"), [(0, False), (30, True)])
def test_effort_is_saved_where_nothing_is_missed(missed: int, grows: bool) -> None:
    probe, accelerator = RecallProbe(0.95), _Effort()
    query = np.ones((1, 2), np.float32)

    def scan(queries: Matrix, k: int, _: list[Any]) -> Any:
        best, rows = nothing(len(queries), k)
        best[0], rows[0] = np.arange(k, 0, -1), np.arange(k)
        return best, rows

    for _ in range(12):
        # what it has instead is worse
        scores, found = np.arange(100, 0, -1, dtype=np.float32), np.arange(100)
        scores[:missed], found[:missed] = 0.0, np.arange(200, 200 + missed)
        probe.begin(query, (scores[np.newaxis], found[np.newaxis]))
        probe.step([(0, np.zeros(100))], scan, accelerator)  # type: ignore[arg-type]
        assert not probe.running
    assert (accelerator.effort > 50) is grows
    assert (accelerator.effort < 50) is not grows


def test_rows_written_while_it_is_looked_at_do_not_count_as_missed() -> None:
    probe, accelerator = RecallProbe(0.95), _Effort()

    def scan(queries: Matrix, k: int, _: list[Any]) -> Any:
        best, rows = nothing(len(queries), k)
        best[0], rows[0] = np.arange(k, 0, -1), np.arange(k)
        return best, rows

    def probed(*written: int) -> float | None:
        found = np.arange(10, 110)  # 0 to 9 are missed
        scores = np.maximum(np.arange(90, -10, -1, dtype=np.float32), 0)
        probe.begin(np.ones((1, 2), np.float32), (scores[np.newaxis], found[np.newaxis]))
        probe.on_written(np.array(written))
        probe.step([(0, np.zeros(100))], scan, accelerator)  # type: ignore[arg-type]
        return probe.recall

    assert probed(*range(10)) == 1.0
    assert probed(*range(200)) == 1.0  # of nothing that was there it could be told
    assert probed(0, 500) == pytest.approx((1 + 90 / 99) / 2)


def test_of_rows_as_good_as_each_other_any_will_do() -> None:
    probe, accelerator = RecallProbe(0.95), _Effort()

    def scan(queries: Matrix, k: int, _: list[Any]) -> Any:
        best, rows = nothing(len(queries), k)
        best[0], rows[0] = 1.0, np.arange(k)
        return best, rows

    def probed(worse: int) -> float | None:
        scores = np.ones((1, 100), np.float32)
        scores[0, :worse] = 0.5
        probe.begin(np.ones((1, 2), np.float32), (scores, np.arange(300, 400)[np.newaxis]))
        probe.step([(0, np.zeros(100))], scan, accelerator)  # type: ignore[arg-type]
        return probe.recall

    assert probed(worse=0) == 1.0
    assert probed(worse=10) == pytest.approx((1.0 + 0.9) / 2)


def test_nothing_is_probed_before_something_was_asked() -> None:
    index = GrowingIndex(DIM, "float32", Growth(above=1_000, by="hnsw"), threads=1)
    vectors = clustered(2_000)
    index.upsert([f"k{i}" for i in range(2_000)], vectors)
    index.maintain()
    assert index.wait_built(60)
    assert not index.maintain()
    assert index.recall is None
    index.search(vectors[:1], 10)
    while index.maintain():
        pass
    assert index.recall is not None


def test_lists_of_rows_agree_with_sets() -> None:
    random = np.random.default_rng(2)
    of = random.integers(-1, 20, 500).astype(np.int32)
    lists = RowLists(20, of)
    lists.reach(800)
    expected = np.concatenate([of, np.full(300, -1)])
    for _ in range(300):
        rows = random.integers(0, 800, 40)
        numbers = random.integers(-1, 20, 40)
        lists.put(rows, numbers)
        expected[rows] = -2
        for row, number in zip(rows, numbers, strict=True):
            expected[row] = number
    np.testing.assert_array_equal(lists.of[:800], expected)
    for number in range(20):
        found = lists.rows(np.array([number]))
        assert sorted(found) == np.flatnonzero(expected == number).tolist()
        assert lists.length(number) == len(found)


@pytest.mark.gpu
@pytest.mark.skipif(not gpus(), reason="needs faiss-gpu and a GPU")
def test_a_gpu_looks_at_all_rows() -> None:
    index, keys, vectors = filled("gpu", 20_000)
    index.maintain()
    assert index.wait_built(60)
    assert "GPU" in index.kind
    assert recall(index, vectors, clustered(30, seed=1), 100) > 0.99
    index.upsert(keys[:50], clustered(50, seed=4))
    hits = index.search(clustered(50, seed=4)[7:8], 1, Filter(keys[:7]))[0]
    assert hits.keys == ["k7"]
