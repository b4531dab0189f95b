"""The owner thread: writes first, questions together."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from store.indexes import NO_FILTER, Filter
from store.indexes.exact import ExactIndex
from store.indexes.faiss_flat import FaissFlatIndex
from store.indexes.protocol import Hits
from store.owner import _TOGETHER, IndexOwner
from store.question import Question, Search

DIM = 8


@pytest.fixture
def owner() -> Iterator[IndexOwner]:
    owner = IndexOwner()
    yield owner
    owner.shutdown()


class Counting(ExactIndex):
    def __init__(self) -> None:
        super().__init__(DIM)
        self.sizes: list[int] = []
        self.upsert([f"k{i}" for i in range(DIM)], np.eye(DIM, dtype=np.float32))

    def search(self, queries: NDArray[np.float32], k: int, where: Filter = NO_FILTER) -> list[Hits]:
        self.sizes.append(len(queries))
        return super().search(queries, k, where)


def nearest(
    index: ExactIndex, axis: int, k: int = 1, excluded: tuple[str, ...] = ()
) -> Question[str]:
    query = np.zeros(DIM, np.float32)
    query[axis] = 1
    query[(axis + 1) % DIM] = 0.5
    hits: Hits = yield Search("items", index, query, k, excluded, {})
    return " ".join(hits.keys)


def held(owner: IndexOwner) -> threading.Event:
    """The owner waits for the event."""
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go_on.wait(30)

    owner.ask(wait)
    assert begun.wait(30)
    return go_on


def test_what_waits_is_asked_together_after_all_writes(owner: IndexOwner) -> None:
    index, order = Counting(), list[object]()
    go_on = held(owner)
    asked = [owner.ask(nearest, index, axis) for axis in range(5)]
    other = owner.ask(nearest, index, 2, k=2)
    plain = owner.ask(lambda: order.append("question"))
    writes = [owner.submit(order.append, number) for number in range(3)]
    go_on.set()
    assert [one.result(30) for one in asked] == [f"k{axis}" for axis in range(5)]
    assert other.result(30) == "k2 k3"
    assert plain.result(30) is None
    assert [one.result(30) for one in writes] == [None] * 3
    assert order == [0, 1, 2, "question"]
    assert sorted(index.sizes) == [1, 5]


def test_a_write_waits_for_one_batch_of_questions_at_most(owner: IndexOwner) -> None:
    index, order = Counting(), list[object]()

    def question(number: int) -> str:
        if not number:
            owner.submit(order.append, "write")
        order.append(number)
        return "done"

    go_on = held(owner)
    asked = [owner.ask(question, number) for number in range(3 * _TOGETHER)]
    go_on.set()
    assert {one.result(30) for one in asked} == {"done"}
    assert order.index("write") == _TOGETHER
    assert index.sizes == []


def test_each_gets_its_own_answer_or_error(owner: IndexOwner) -> None:
    index = Counting()

    def fails_late() -> Question[str]:
        yield Search("items", index, np.ones(DIM, np.float32), 1, (), {})
        raise ValueError("late")

    def wrong() -> Question[str]:
        yield Search("items", index, np.ones(DIM + 1, np.float32), 3, (), {})
        return "never"

    def twice() -> Question[str]:
        first = yield from nearest(index, 3)
        second = yield from nearest(index, 3, excluded=("k3",))
        return f"{first} {second}"

    go_on = held(owner)
    asked = [
        owner.ask(fails_late), owner.ask(twice), owner.ask(nearest, index, 6),
        owner.ask(wrong), owner.ask(lambda: 1 // 0), owner.ask(lambda: 7),
    ]  # fmt: skip
    go_on.set()
    with pytest.raises(ValueError, match="late"):
        asked[0].result(30)
    assert asked[1].result(30) == "k3 k4"
    assert asked[2].result(30) == "k6"
    with pytest.raises(Exception, match="expected"):
        asked[3].result(30)
    with pytest.raises(ZeroDivisionError):
        asked[4].result(30)
    assert asked[5].result(30) == 7


def test_what_is_cancelled_is_not_done(owner: IndexOwner) -> None:
    done: list[int] = []
    go_on = held(owner)
    write, question = owner.submit(done.append, 1), owner.questions.submit(done.append, 2)
    assert write.cancel()
    assert question.cancel()
    go_on.set()
    owner.submit(done.append, 3).result(30)
    owner.ask(lambda: None).result(30)
    assert done == [3]


def test_it_ends_when_all_is_done_and_takes_nothing_after() -> None:
    owner, done = IndexOwner(), list[int]()
    go_on = held(owner)
    owner.submit(done.append, 1)
    owner.ask(lambda: done.append(2))
    go_on.set()
    owner.shutdown()
    owner.shutdown()
    assert done == [1, 2]
    with pytest.raises(RuntimeError, match="ended"):
        owner.submit(done.append, 3)


def test_no_job_is_lost_however_many_submit_at_a_time(owner: IndexOwner) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as callers:

            def submit(number: int) -> int:
                put = owner.submit if number % 2 else owner.ask
                return sum(put(lambda one=one: one).result(30) for one in range(500))

            totals = list(callers.map(submit, range(16)))
    finally:
        sys.setswitchinterval(interval)
    assert totals == [sum(range(500))] * 16


def test_no_search_sees_half_a_vector(owner: IndexOwner) -> None:
    """A version of a key is one number, in all components: what is torn has another score."""
    index = FaissFlatIndex(DIM, "float32", threads=2)
    keys = [f"k{i}" for i in range(2_000)]
    version = np.zeros(len(keys), np.int64)
    index.upsert(keys, np.ones((len(keys), DIM), np.float32))
    random, stop = np.random.default_rng(1), threading.Event()

    def write() -> None:
        chosen = random.choice(len(keys), 256, replace=False)
        version[chosen] += 1
        rows = np.repeat((1 + version[chosen] % 7).astype(np.float32)[:, None], DIM, axis=1)
        index.upsert([keys[i] for i in chosen], rows)

    def writer() -> None:
        while not stop.is_set():
            owner.submit(write).result(30)

    thread = threading.Thread(target=writer)
    thread.start()
    query = np.ones(DIM, np.float32)

    def look() -> Question[tuple[Hits, dict[str, int]]]:
        hits = yield Search("items", index, query, 50, (), {})
        return hits, {key: int(version[int(key[1:])]) for key in hits.keys}

    until = time.monotonic() + 2
    looked = 0
    while time.monotonic() < until:
        hits, versions = owner.ask(look).result(30)
        looked += 1
        for key, score in zip(hits.keys, hits.scores.tolist(), strict=True):
            assert score == DIM * (1 + versions[key] % 7)
    stop.set()
    thread.join()
    assert looked > 20
    assert version.sum() > 0
