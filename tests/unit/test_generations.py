"""The change from one encoder's vectors to the next one's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from store_fakes import FakeTail, RecordingSensor, X, item_record, make_state, profile_record
from store_fakes import tombstone as gone

from store.follower import Follower
from store.generations import Generation, Generations
from store.indexes.exact import ExactIndex
from store.owner import IndexOwner
from store.question import answered
from store.receipt import ForgetReceipt
from store.sensor import SwitchedSensor
from store.service import create_app
from store.view import RetrievalView
from tidemark.compose.retrieval import require_apart
from tidemark.errors import SettingsError
from tidemark.settings import load_settings

Place = tuple[str, int]
OLD, NEW = "old-encoder", "new-encoder"
#: Of the old encoder's vectors and of the new one's.
DIMS = {OLD: 4, NEW: 3}


class ProgressError(Exception):
    retriable = True


@dataclass
class FakeProgress:
    """A worker that has read nothing, until told otherwise."""

    left: int = 7
    ends: dict[Place, int] = field(default_factory=dict)
    error: Exception | None = None
    asked: int = 0

    def goal(self) -> dict[Place, int]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return {("actions", 0): 7}

    def unread(self, goal: Mapping[Place, int]) -> int:
        assert goal == {("actions", 0): 7}
        return self.left

    def published(self) -> dict[Place, int]:
        return self.ends


@dataclass
class Made:
    """A generation, and what it is made of."""

    generation: Generation
    tail: FakeTail
    sensor: RecordingSensor
    closing_takes: float = 0.0
    closed: bool = False


async def until(so: Callable[[], bool]) -> None:
    while not so():  # noqa: ASYNC110 # other threads have a part in it
        await asyncio.sleep(0.001)


class Rig:
    """Two generations of the same users and items; time passes only where something waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.old, self.new = self._make(OLD, on=True), self._make(NEW, on=False)
        self.progress = FakeProgress()
        self.generations = Generations(
            self.old.generation,
            self.new.generation,
            self.progress,
            sleep=self._sleep,
            clock=lambda: self.now,
        )

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0.001)

    def _make(self, encoder: str, *, on: bool) -> Made:
        sensor, tail, owner = RecordingSensor(), FakeTail(), IndexOwner()
        switched = SwitchedSensor(sensor, on=on)
        view = RetrievalView(
            DIMS[encoder], encoder, lambda dim, _: ExactIndex(dim), sensor=switched
        )

        async def encode(text: str) -> NDArray[np.float32]:
            del text
            return X[: view.dim]

        def close() -> None:
            owner.shutdown()
            threading.Event().wait(made.closing_takes)
            made.closed = True

        follower = Follower(tail, view, owner, sensor=switched)
        made = Made(
            Generation(encoder, view, follower, owner.questions, encode, switched, close),
            tail,
            sensor,
        )
        return made

    async def fill(self, *made: Made) -> None:
        for one in made:
            encoder = one.generation.view.encoder_id
            vector = X[: DIMS[encoder]]
            one.tail.push(
                item_record("x", vector, encoder=encoder),
                profile_record("ann", make_state(vector, encoder=encoder, offset=1)),
                profile_record("ben", make_state(vector, encoder=encoder, offset=2)),
            )
            await one.tail.settled()

    async def changed(self) -> None:
        await until(lambda: self.generations.serving is self.new.generation)

    async def stays(self) -> None:
        """Several more looks change nothing."""
        seen = self.progress.asked
        while self.progress.asked < seen + 3:
            assert self.generations.serving is self.old.generation
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.generations.start()
    try:
        await rig.fill(rig.old)
        yield rig
    finally:
        await rig.generations.stop()
        rig.generations.close()
        assert rig.old.closed
        assert rig.new.closed


def with_rig(steps: Callable[[Rig], Awaitable[None]]) -> None:
    async def run() -> None:
        async with running() as rig:
            await steps(rig)

    asyncio.run(asyncio.wait_for(run(), 30))


def receipt(user: str, offset: int) -> ForgetReceipt:
    return ForgetReceipt(user_id=user, topic="actions", partition=0, offset=offset, requested_at=1)


def test_the_next_answers_once_it_has_caught_up() -> None:
    async def steps(rig: Rig) -> None:
        await rig.stays()
        assert rig.generations.waiting_for == "its worker has 7 actions and items to read"
        rig.progress.left, rig.progress.ends = 0, {("profiles", 0): 9}
        await rig.stays()
        await rig.fill(rig.new)
        rig.new.tail.read_up_to = {("profiles", 0): 8}
        rig.new.tail.push()
        await rig.stays()
        assert rig.generations.waiting_for == "its profiles are being read"
        rig.new.tail.read_up_to = {("profiles", 0): 9}
        rig.new.tail.push()
        await rig.changed()
        assert rig.generations.serving is rig.new.generation
        assert rig.generations.upcoming is None

    with_rig(steps)


def test_what_is_behind_does_not_answer() -> None:
    async def steps(rig: Rig) -> None:
        rig.progress.left = 0
        rig.new.tail.behind = 3  # its history is not read
        await rig.fill(rig.new)
        await rig.stays()
        assert "3 records behind" in rig.generations.waiting_for
        rig.new.tail.behind = 0
        rig.new.tail.push()
        await rig.changed()

    with_rig(steps)


def test_a_next_one_that_lacks_users_does_not_answer_by_itself() -> None:
    async def steps(rig: Rig) -> None:
        rig.progress.left = 0
        vector = X[: DIMS[NEW]]
        rig.new.tail.push(
            item_record("x", vector, encoder=NEW),
            profile_record("ann", make_state(vector, encoder=NEW, offset=1)),
        )
        await rig.new.tail.settled()
        await rig.stays()
        assert "1 profiles where 2 are served" in rig.generations.waiting_for
        await rig.fill(rig.new)
        await rig.changed()

    with_rig(steps)


def test_what_cannot_be_let_go_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async def steps(rig: Rig) -> None:
        def fails() -> None:
            raise OSError("no thread to wait in")

        rig.old.tail.stop = fails  # type: ignore[assignment, method-assign]
        await rig.fill(rig.new)
        rig.progress.left = 0
        await rig.changed()
        await until(lambda: "could not be let go" in caplog.text)
        del rig.old.tail.stop

    with_rig(steps)
    assert "no thread to wait in" in caplog.text


def test_vectors_of_a_third_encoder_never_answer() -> None:
    async def steps(rig: Rig) -> None:
        rig.progress.left = 0
        rig.new.tail.push(item_record("x", X[:3], encoder="another"))
        await rig.new.tail.settled()
        await rig.stays()
        assert "'another'" in rig.generations.waiting_for

    with_rig(steps)


def test_brokers_that_do_not_answer_are_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    async def steps(rig: Rig) -> None:
        await rig.fill(rig.new)
        rig.progress.error = ProgressError("no leader")
        await rig.stays()
        rig.progress.left = 0
        await rig.stays()
        assert "no leader" in rig.generations.waiting_for
        rig.progress.error = None
        await rig.changed()

    with_rig(steps)
    assert "no leader" in caplog.text


def test_a_request_is_answered_by_one_generation() -> None:
    async def steps(rig: Rig) -> None:
        await rig.fill(rig.new)
        with rig.generations.held() as held:
            rig.progress.left = 0
            await rig.changed()
            await until(lambda: rig.old.tail.stopped == 1)
            assert held is rig.old.generation
            found = await asyncio.get_running_loop().run_in_executor(
                held.owner, lambda: answered(held.view.answers.ask_candidates("ann", 1))
            )
            assert [one.item_id for one in found] == ["x"]
            assert not rig.old.closed
        await until(lambda: rig.old.closed)

    with_rig(steps)


def test_who_was_forgotten_does_not_come_back() -> None:
    async def steps(rig: Rig) -> None:
        await rig.fill(rig.new)
        # By this replica, by another one, and by a record that both have long read.
        rig.old.tail.push(gone("ben", 9), gone("cid", 8), gone("dan", 5))
        # And by one of a topic that is not read any more.
        rig.old.tail.push(gone("eve", 9, topic="before"))
        assert await rig.generations.wait_forgotten(receipt("ben", 9), 10)
        rig.progress.left = 0
        await rig.stays()
        assert rig.generations.waiting_for == "2 users are to be forgotten there too"
        rig.new.tail.push(gone("ben", 9))
        await rig.stays()
        rig.new.tail.push(gone("cid", 8))
        await rig.changed()
        assert rig.generations.serving.view.fence("dan") is None

    with_rig(steps)


def test_waiting_for_a_user_to_be_forgotten_goes_on_in_the_next() -> None:
    async def steps(rig: Rig) -> None:
        await rig.fill(rig.new)
        waiting = asyncio.create_task(rig.generations.wait_forgotten(receipt("ben", 9), 1_000))
        await asyncio.sleep(0)
        rig.old.tail.push(gone("ben", 9))
        rig.new.tail.push(gone("ben", 9))
        rig.progress.left = 0
        await rig.changed()
        assert await waiting
        assert rig.new.generation.view.fence("ben") is not None

    with_rig(steps)


def test_a_service_that_ends_lets_go_of_the_one_before_first() -> None:
    async def steps(rig: Rig) -> None:
        rig.old.closing_takes = 0.3
        await rig.fill(rig.new)
        rig.progress.left = 0
        await rig.changed()
        await until(lambda: rig.old.tail.stopped == 1)

    with_rig(steps)  # which looks whether both are closed


def test_freshness_is_of_the_time_since_it_answers() -> None:
    async def steps(rig: Rig) -> None:
        await rig.fill(rig.new)
        view = rig.new.generation.view
        view.freshness.observe(np.array([900.0]))
        rig.progress.left = 0
        await rig.changed()
        await until(lambda: view.freshness.count == 0)

    with_rig(steps)


def test_one_of_two_reports() -> None:
    async def steps(rig: Rig) -> None:
        await rig.fill(rig.new)
        assert rig.old.sensor.sizes == {"items": 1, "profiles": 2}
        assert rig.new.sensor.sizes == {}
        rig.progress.left = 0
        await rig.changed()
        await until(lambda: len(rig.new.sensor.sizes) == 2)
        assert rig.new.sensor.sizes == {"items": 1, "profiles": 2}

    with_rig(steps)


def test_over_http() -> None:
    async def never(user_id: str) -> ForgetReceipt:
        raise AssertionError(user_id)

    async def run() -> None:
        rig = Rig()
        app = create_app(generations=rig.generations, forget=never, registry=CollectorRegistry())
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as http,
        ):
            await rig.fill(rig.old)
            status = (await http.get("/v1/status")).json()
            assert status["generation"] == OLD
            assert status["upcoming"]["generation"] == NEW
            assert (status["upcoming"]["profiles"], status["upcoming"]["items"]) == (0, 0)

            def by(encoder: str, said: str) -> dict[str, object]:
                return {"vector": X[: DIMS[encoder]].tolist(), "encoder_id": said}

            assert (await http.post("/v1/search", json=by(OLD, OLD))).status_code == 200
            refused = await http.post("/v1/search", json=by(OLD, NEW))
            assert refused.status_code == 409
            assert refused.json()["error"]["code"] == "other_encoder"
            await rig.fill(rig.new)
            rig.progress.left = 0
            await rig.changed()
            status = (await http.get("/v1/status")).json()
            assert (status["generation"], status["upcoming"]) == (NEW, None)
            assert (await http.get("/readyz")).json()["generation"] == NEW
            assert (await http.post("/v1/search", json=by(OLD, OLD))).status_code == 409
            assert (await http.post("/v1/search", json=by(NEW, NEW))).status_code == 200
            assert (await http.post("/v1/search", json={"text": "any"})).status_code == 200
            said = await http.post("/v1/search", json={"text": "any", "encoder_id": NEW})
            assert said.status_code == 422
        rig.generations.close()

    asyncio.run(asyncio.wait_for(run(), 30))


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("kafka", "group", "tidemark"),
        ("topics", "profiles", "item-vectors"),
        ("topics", "item_vectors", "profiles"),
        ("topics", "dead_letters", "actions-dead-letter"),
        ("topics", "items", "other-items"),
        ("kafka", "bootstrap", "elsewhere:9092"),
        ("retrieval", "milvus_prefix", "tidemark_"),
    ],
)
def test_a_next_one_reads_the_same_and_writes_elsewhere(group: str, name: str, value: str) -> None:
    milvus = {"index": "milvus", "milvus_uri": "http://milvus:19530"}
    here = load_settings(None, retrieval=milvus)
    names = {"profiles": "p-2", "item_vectors": "v-2", "dead_letters": "d-2"}
    given: dict[str, dict[str, Any]] = {
        "kafka": {"group": "tidemark-2"},
        "topics": names,
        "retrieval": {**milvus, "milvus_prefix": "next_"},
    }
    require_apart(here, load_settings(None, **given))
    given[group] = {**given[group], name: value}
    with pytest.raises(SettingsError, match=f"{group}.{name}"):
        require_apart(here, load_settings(None, **given))


def test_a_next_one_comes_with_its_progress() -> None:
    rig = Rig()
    with pytest.raises(ValueError, match="progress"):
        Generations(rig.old.generation, rig.new.generation)
    rig.generations.close()
