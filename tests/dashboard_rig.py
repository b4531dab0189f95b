"""A retrieval service with workers' metrics and dead letters, for the dashboard's pages."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from metrics_server import metrics_server
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from service_rig import Service, listening
from store_fakes import FakeRecord

from store.dashboard.letters import letter_of
from store.dashboard.parts import DashboardParts
from store.ranking.learner import Learner
from store.service import ServiceSettings
from streams.processes import free_port

ROWS = ("prepare", "encode", "fold", "publish", "commit")


class FakeWorker:
    """A worker's metrics, and some work."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        named: dict[str, Any] = {"registry": registry}
        self.actions = Counter("tidemark_actions", "-", ["type", "outcome"], **named)
        self.letters = Counter("tidemark_dead_letters", "-", ["reason"], **named)
        self.batch = Histogram("tidemark_batch_actions", "-", buckets=(1, 10, 100), **named)
        self.stages = [Histogram(f"tidemark_{one}_seconds", "-", **named) for one in ROWS]
        self.texts = Counter("tidemark_texts_encoded", "-", **named)
        lag = Gauge("tidemark_consumer_lag_records", "-", ["topic", "partition"], **named)
        oldest = Gauge("tidemark_consumer_lag_seconds", "-", ["topic", "partition"], **named)
        for partition in range(4):
            lag.labels("actions", str(partition)).set(partition)
            oldest.labels("actions", str(partition)).set(partition / 2)
        Gauge("tidemark_assigned_partitions", "-", **named).set(4)

    def work(self, actions: int) -> None:
        self.actions.labels("view", "applied").inc(actions)
        self.actions.labels("like", "duplicate").inc(1)
        self.letters.labels("malformed").inc(1)
        self.texts.inc(actions)
        self.batch.observe(actions)
        for stage in self.stages:
            stage.observe(0.004)


@contextmanager
def working(worker: FakeWorker) -> Iterator[None]:
    """It works, in a thread, until the context is left."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.1):
            worker.work(7)

    thread = threading.Thread(target=run, name="fake-worker")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(20)


@dataclass
class FakeLetters:
    """A topic of dead letters; of an error it says why it cannot be read."""

    topic: str = "actions-dead-letter"
    letters: list[FakeRecord] = field(default_factory=list)
    replayed: set[tuple[str, int, int]] = field(default_factory=set)
    error: Exception | None = None

    async def poll(self, most: int) -> list[dict[str, Any]]:
        if self.error is not None:
            raise self.error
        came, self.letters = self.letters[-most:], []
        return [letter_of(one) for one in came]

    async def close(self) -> None:
        """Nothing is open."""


def letter(value: bytes, reason: str = "the value is no map", offset: int = 17) -> FakeRecord:
    headers = (
        ("error", b"malformed"), ("reason", reason.encode()), ("source-topic", b"actions"),
        ("source-partition", b"2"), ("source-offset", b"%d" % offset), ("time", b"1750000000000"),
    )  # fmt: skip
    return FakeRecord("actions-dead-letter", b"ann", value, headers, 2, 5)


@dataclass
class Rig:
    """What is served; `push` writes records as the topics would bring them."""

    url: str
    worker: FakeWorker
    letters: FakeLetters
    _service: Service
    _loop: asyncio.AbstractEventLoop

    def known(self) -> None:
        """All ends of the topics are known from now on."""
        self._service.tail.known = True

    def push(self, *records: FakeRecord) -> None:
        self._loop.call_soon_threadsafe(lambda: self._service.tail.push(*records))


@contextmanager
def dashboard_rig(
    *,
    settings: ServiceSettings | None = None,
    workers: bool = True,
    letters: FakeLetters | None = None,
    stock: bool = True,
    port: int = 0,
    learner: Learner | None = None,
) -> Iterator[Rig]:
    """The service on a port of this machine, with one worker that answers and one that does not."""
    worker, source = FakeWorker(), letters or FakeLetters()
    begun: list[tuple[Service, asyncio.AbstractEventLoop]] = []
    with metrics_server(worker.registry) as address:
        parts = DashboardParts(
            workers=(address, f"http://127.0.0.1:{free_port()}") if workers else (),
            refresh_seconds=0.2,
            letters=source,
        )
        with listening(
            settings,
            stock=stock,
            dashboard=parts,
            steps=lambda service: begun.append((service, asyncio.get_running_loop())),
            port=port,
            learner=learner,
            rank="nearest" if learner is None else "blend",
        ) as served:
            yield Rig(f"http://127.0.0.1:{served}", worker, source, *begun[0])
