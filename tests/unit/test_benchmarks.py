"""What the benchmarks' figures rest on: the stretch that is measured, and the traffic."""

import asyncio
import importlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest

pytest.importorskip("psutil", reason='the extra "bench" is not installed')
pytest.importorskip("matplotlib", reason='the extra "learn" is not installed')

from streams_fakes import KafkaRecord

from benchmarks.__main__ import AREAS
from benchmarks.common.results import Bar
from benchmarks.common.stopwatch import CpuSampler, stretch_of
from benchmarks.load.__main__ import summary
from benchmarks.load.service import MadeUpTail
from benchmarks.store.exact import K, exact_best, recall_of
from benchmarks.store.fresh import in_fresh_process
from benchmarks.store.profiles import ChangingProfiles, Texts, make_items, make_profiles
from benchmarks.store.serving import OfferedWrites, ask
from benchmarks.streams.traffic import films, movielens_like, passes, records_of
from store.indexes import make_index
from store.indexes.exact import ExactIndex
from store.owner import IndexOwner
from store.question import answered
from store.view import RetrievalView
from streams.decode import ActionDecoder, Limits
from tidemark.errors import TidemarkError
from tidemark.movielens import find_movielens


@pytest.fixture
def cpu() -> Iterator[CpuSampler]:
    with CpuSampler({"self": os.getpid()}) as sampler:
        yield sampler


def test_a_stretch_runs_between_observed_points_and_counts_what_lay_between(
    cpu: CpuSampler,
) -> None:
    now = time.monotonic()
    progress = [(now, 0), (now + 1.0, 900), (now + 2.0, 2100), (now + 5.0, 8100), (now + 9.0, 9000)]
    stretch = stretch_of(progress, cpu, start=1000, end=8000)
    assert stretch.actions == 6000
    assert stretch.seconds == pytest.approx(3.0)
    assert stretch.rate == pytest.approx(2000.0)


@pytest.mark.parametrize(("start", "end"), [(1000, 9001), (9001, 9002), (2, 800)])
def test_a_run_without_the_stretch_is_refused(cpu: CpuSampler, start: int, end: int) -> None:
    progress = [(0.0, 0), (1.0, 900), (2.0, 9000)]
    with pytest.raises(ValueError, match="no stretch"):
        stretch_of(progress, cpu, start=start, end=end)


def test_the_sampler_sees_the_cpu_time_that_a_process_uses() -> None:
    with CpuSampler({"self": os.getpid()}) as sampler:
        began, used = time.monotonic(), time.process_time()
        while time.process_time() - used < 0.5:
            pass
        ended = time.monotonic()
    assert sampler.between(began, ended)["self"] == pytest.approx(0.5, abs=0.15)


def test_bars_are_met_at_the_figure_itself() -> None:
    assert Bar.at_least("rate", 20, 20.0, "x").met
    assert not Bar.at_least("rate", 20, 19.99, "x").met
    assert Bar.at_most("time", 60, 60.0, "ms").met
    assert not Bar.at_most("time", 60, 60.01, "ms").met


@pytest.fixture
def movielens() -> None:
    try:
        find_movielens()
    except TidemarkError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("movielens")
def test_every_user_comes_once_in_a_pass() -> None:
    users = [user for user, _, _ in passes(50, 130)]
    assert len(users) == 130
    for first in (0, 50):
        assert set(Counter(users[first : first + 50]).values()) == {1}
    assert len(set(users[100:])) == 30


@pytest.mark.usefixtures("movielens")
def test_the_log_names_every_film_before_the_clock_starts_and_is_the_same_each_time() -> None:
    known = [item for _, item, _ in movielens_like(1682)]
    assert known == [film.item_id for film in films()]
    assert list(movielens_like(2000)) == list(movielens_like(2000))


@pytest.mark.usefixtures("movielens")
@pytest.mark.parametrize("wire", ["msgpack", "json"])
def test_the_records_are_actions_in_the_wire_format(wire: Literal["msgpack", "json"]) -> None:
    decode = ActionDecoder(wire, Limits()).decode
    for key, value in records_of(movielens_like(20), wire):
        action = decode(KafkaRecord("actions", key, value), 1_800_000_000_000)
        assert (action.user_id.encode(), action.action) == (key, "rate")


def test_a_load_is_summed_up_by_endpoint_and_over_all() -> None:
    found = summary({"a": [float(ms) for ms in range(1, 101)], "b": [1000.0], "none": []}, 10.0)
    assert set(found) == {"a", "b", "all"}
    assert found["a"]["per_second"] == 10.0
    assert found["a"]["p50_ms"] == 50.5
    assert found["a"]["p99_ms"] == 99.01
    assert found["all"]["answers"] == 101
    assert found["all"]["max_ms"] == 1000.0


def test_made_up_records_are_taken_as_real_ones_are_and_go_on_changing() -> None:
    view = RetrievalView(384, "made-up", lambda dim, _: ExactIndex(dim))
    tail = MadeUpTail("made-up", profiles=60, items=30, writes=400)

    async def read() -> None:
        while tail.lag():
            records = await tail.poll()
            if records[0].topic == "item-vectors":
                view.apply_items(records)
            else:
                view.apply_profiles(records, lambda: 0)
        view.live = True
        before = {user: view.vector(user).tobytes() for user in (f"u{n}" for n in range(60))}
        for _ in range(3):
            records = await tail.poll()
            assert len(records) == 20
            view.apply_profiles(records, lambda: time.time_ns() // 1_000_000)
        assert any(view.vector(user).tobytes() != was for user, was in before.items())

    asyncio.run(asyncio.wait_for(read(), 60))
    assert (view.item_count, view.profile_count) == (30, 60)
    assert (view.records.corrupt, view.records.stale) == (0, 0)
    p50 = view.freshness.quantile(0.5)
    assert p50 is not None
    assert p50 < 60
    assert len(answered(view.answers.ask_candidates("u1", 5))) == 5


@pytest.mark.parametrize("area", AREAS)
def test_every_measurement_that_is_named_is_there(area: str) -> None:
    if area == "streams":
        pytest.importorskip("confluent_kafka", reason='the extra "bench" is not installed')
    for name in AREAS[area]:
        assert callable(importlib.import_module(f"benchmarks.{area}.{name}").measure)


@pytest.fixture
def texts() -> Texts:
    vectors = np.random.default_rng(0).standard_normal((200, 16), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Texts(vectors, np.argsort(-(vectors @ vectors.T), axis=1)[:, :64])


@pytest.mark.parametrize("tastes", [True, False])
def test_profiles_are_the_same_each_time_however_many(texts: Texts, tastes: bool) -> None:
    some = make_profiles(texts, 9_000, tastes=tastes)
    assert np.linalg.norm(some, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(some[:100], make_profiles(texts, 100, tastes=tastes))
    assert len(np.unique(some, axis=0)) == len(some)


def test_a_profile_is_a_fold_of_texts() -> None:
    one = Texts(np.eye(1, 4, dtype=np.float32), np.zeros((1, 64), np.int64))
    assert make_profiles(one, 3) == pytest.approx(np.repeat(one.vectors, 3, axis=0))


def test_items_differ(texts: Texts) -> None:
    items = make_items(texts, 1_000)
    assert len(np.unique(items, axis=0)) == 1_000
    assert items[:200] == pytest.approx(texts.vectors, abs=1e-6)


def test_the_truth_is_what_was_given_out(texts: Texts) -> None:
    truth = ChangingProfiles(texts, 300, 50)
    before = truth.profiles.copy()
    keys, vectors = truth.next()
    rows = [int(key.removeprefix("user-")) for key in keys]
    assert len(set(rows)) == 50
    assert np.array_equal(truth.profiles[rows], vectors)
    likeness = np.einsum("ij,ij->i", before[rows], vectors)
    assert (likeness < 1 - 1e-6).any()
    assert (likeness > 0.9).all()
    assert len(np.flatnonzero((truth.profiles != before).any(axis=1))) <= 50


def test_recall_is_the_share_of_the_true_best_that_was_found() -> None:
    vectors = np.random.default_rng(1).standard_normal((500, 8), np.float32)
    best = exact_best(vectors[:2], vectors)
    assert np.array_equal(best, np.argsort(-(vectors[:2] @ vectors.T), axis=1)[:, :K])
    found = [[f"user-{row}" for row in rows] for rows in best.tolist()]
    assert recall_of(found, best) == 1
    assert recall_of([found[0], [*found[1][:50], "user-1000"]], best) == pytest.approx(0.75)


def test_offered_writes_are_written_and_their_waits_counted(texts: Texts) -> None:
    truth = ChangingProfiles(texts, 300, 50)
    index, owner = make_index("exact", texts.dim), IndexOwner()
    owner.submit(index.upsert, truth.keys, truth.profiles).result()
    with OfferedWrites(owner, index, truth) as writes:
        while writes.keys < 150:
            hits = ask(owner, index, truth.profiles[0])
            assert len(hits.keys) == K
    owner.shutdown()
    assert len(writes.waits) * 50 == writes.keys
    assert min(writes.waits) > 0
    held = np.stack(list(index.get(truth.keys).values()))
    # one more batch was made, and not offered, where the context closed before it was due
    assert np.count_nonzero((held != truth.profiles).any(axis=1)) <= 50
    index.close()


def _fails() -> None:
    raise ValueError("so it is")


def test_work_in_a_fresh_process_answers_or_says_why_not() -> None:
    assert in_fresh_process(os.getpid) != os.getpid()
    with pytest.raises(RuntimeError, match="so it is"):
        in_fresh_process(_fails)
