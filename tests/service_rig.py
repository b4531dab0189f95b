"""The retrieval service in this process, with stock, and requests to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from queue import Queue
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from store_fakes import (
    DIM,
    ENCODER,
    FakeRecord,
    FakeTail,
    X,
    Y,
    item_record,
    make_state,
    profile_record,
)

from store.dashboard.parts import DashboardParts
from store.follower import Follower
from store.generations import Generation, Generations
from store.indexes.exact import ExactIndex
from store.metrics import PrometheusSensor
from store.ordering import Rank
from store.owner import IndexOwner
from store.profile import Contribution
from store.ranker import Ranker
from store.ranking.learner import Learner
from store.receipt import ForgetReceipt
from store.sensor import SwitchedSensor
from store.sequence import SequenceProfile
from store.service import ServiceSettings, create_app
from store.service.server import RetrievalServer
from store.view import RetrievalView

NOW_MS = 10_000
STOCK = (
    item_record("x", X, categories=["film"]),
    item_record("y", Y, categories=["film"]),
    item_record("xy", (X + Y) / np.sqrt(2), categories=["book"]),
    profile_record(
        "ann",
        make_state(
            2 * X,
            seen=["x", "gone"],
            contributions=[
                Contribution("click", "x", 0.5, 1.0),
                Contribution("search", None, 0.8, 1.0),
            ],
        ),
    ),
    profile_record("bob", make_state(X + 0.1 * Y, seen=["x"])),
    profile_record("zero", make_state(np.zeros(DIM))),
)


@dataclass
class Service:
    app: FastAPI
    http: httpx.AsyncClient
    tail: FakeTail
    follower: Follower
    owner: IndexOwner
    generations: Generations

    async def push(self, *records: FakeRecord) -> None:
        self.tail.push(*records)
        await self.tail.settled()

    async def error(self, status: int, code: str, method: str, path: str, **named: Any) -> str:
        """Make a request that fails as said; returns the reason."""
        answer = await self.http.request(method, path, **named)
        body = answer.json()
        assert (answer.status_code, body["error"]["code"]) == (status, code), body
        assert set(body) == {"error", "request_id"}
        assert body["request_id"] == answer.headers["x-request-id"]
        assert set(body["error"]) == {"code", "reason", "hint"}
        assert all(body["error"].values())
        return str(body["error"]["reason"])


async def encode(text: str) -> NDArray[np.float32]:
    if text.startswith("broken"):
        raise RuntimeError(f"out of memory, of {text}")
    if text == "slow":
        await asyncio.sleep(20)
    if text == "short":
        return X[:2]
    return Y if "y" in text else X


async def forget(user_id: str) -> ForgetReceipt:
    if user_id.endswith("gone"):
        raise ConnectionError(f"no leader, for {user_id}")
    return ForgetReceipt(
        user_id=user_id, topic="actions", partition=0, offset=7, requested_at=NOW_MS
    )


async def no_pause(_: float) -> None:
    """Instead of waiting before the next poll."""


@asynccontextmanager
async def serving(
    *,
    stock: bool = True,
    settings: ServiceSettings | None = None,
    dashboard: DashboardParts | None = None,
    ranker: Ranker | None = None,
    sequence: SequenceProfile | None = None,
    learner: Learner | None = None,
    rank: Rank = "nearest",
) -> AsyncIterator[Service]:
    registry = CollectorRegistry()
    sensor = PrometheusSensor(registry)
    tail = FakeTail(known=stock)
    view = RetrievalView(
        DIM, ENCODER, lambda dim, _: ExactIndex(dim), sensor=sensor, ranker=ranker,
        sequence=sequence, learner=learner, rank=rank,
    )  # fmt: skip
    with IndexOwner() as owner:
        follower = Follower(tail, view, owner, sensor=sensor, now_ms=lambda: NOW_MS, sleep=no_pause)
        switched = SwitchedSensor(sensor, on=True)
        serving = Generation(
            "profiles", view, follower, owner.questions, encode, switched, view.close
        )
        generations = Generations(serving)
        app = create_app(
            generations=generations,
            forget=forget,
            registry=registry,
            sensor=sensor,
            settings=settings,
            dashboard=dashboard,
        )
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as http,
        ):
            service = Service(app, http, tail, follower, owner, generations)
            if stock:
                await service.push(*STOCK)
            yield service


@contextmanager
def listening(
    settings: ServiceSettings | None = None,
    *,
    stock: bool = True,
    dashboard: DashboardParts | None = None,
    sequence: SequenceProfile | None = None,
    learner: Learner | None = None,
    rank: Rank = "nearest",
    steps: Callable[[Service], None] = lambda _: None,
    **options: Any,
) -> Iterator[int]:
    """The service on a port of this machine, in a thread; the port.

    Args:
        settings: of the service.
        stock: whether it holds any.
        dashboard: what the page at /dashboard shows beside it.
        sequence: its trained profile function.
        learner: what its blend is learned by.
        rank: what orders candidates where a request does not say.
        steps: told the service, in its loop, once it listens.
        options: of uvicorn.
    """
    ports: Queue[int | BaseException] = Queue()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def run() -> None:
        async with serving(
            stock=stock,
            settings=settings,
            dashboard=dashboard,
            sequence=sequence,
            learner=learner,
            rank=rank,
        ) as service:
            config = uvicorn.Config(
                service.app,
                lifespan="off",
                log_config=None,
                access_log=False,
                **{"port": 0, **options},
            )
            server = RetrievalServer(config, service.app.state.end_streams)
            task = asyncio.create_task(server.serve())
            while not server.started and not task.done():  # noqa: ASYNC110 # it tells no other way
                await asyncio.sleep(0.01)
            steps(service)
            ports.put(server.servers[0].sockets[0].getsockname()[1])
            await over.wait()
            server.should_exit = True
            await task

    def run_thread() -> None:
        try:
            loop.run_until_complete(run())
        except BaseException as error:
            ports.put(error)
            raise
        finally:
            loop.close()

    thread = threading.Thread(target=run_thread, name="service")
    thread.start()
    try:
        port = ports.get(timeout=60)
        if isinstance(port, BaseException):
            raise port
        yield port
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(over.set)
        thread.join(60)


def with_service(
    steps: Callable[[Service], Awaitable[None]],
    *,
    stock: bool = True,
    settings: ServiceSettings | None = None,
    dashboard: DashboardParts | None = None,
    sequence: SequenceProfile | None = None,
    learner: Learner | None = None,
    rank: Rank = "nearest",
) -> None:
    async def run() -> None:
        async with serving(
            stock=stock,
            settings=settings,
            dashboard=dashboard,
            sequence=sequence,
            learner=learner,
            rank=rank,
        ) as service:
            await steps(service)

    asyncio.run(asyncio.wait_for(run(), 30))
