"""What a soak hurts: a Kafka, a proxy before each listener, workers, and a retrieval service."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpx
from kafka.errors import KafkaError

from streams.kafka_cluster import KafkaCluster
from streams.processes import Child, free_port
from streams.publisher import ItemPublisher
from streams.topics import create_topics
from tidemark.compose.parts import topic_names
from tidemark.errors import NotReadyError
from tidemark.settings import load_settings
from tidemark.soak.broker_admin import BrokerAdmin
from tidemark.soak.control import Control, ControlFile
from tidemark.soak.proxy import BrokerProxy
from tidemark.soak.slot import WorkerSlot
from tidemark.soak.watch import ProfileWatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tidemark.soak.log import SoakLog

__all__ = ["SoakSystem"]

logger = logging.getLogger(__name__)
PARTITIONS = 8
SESSION_SECONDS = 6.0  # the least that Kafka takes
#: What all processes of a soak share; small fetches, so that a fault meets batches in every stage.
_SETTINGS: dict[str, dict[str, Any]] = {
    "encoder": {"model": "hashing", "dim": 64},
    "kafka": {"session_seconds": SESSION_SECONDS, "poll_records": 500},
    "topics": {"partitions": PARTITIONS},
    "worker": {"batch_actions": 1_000, "snapshot_seconds": 5},
    # Profiles as they are: in bfloat16 an index would hold them rounded.
    "retrieval": {"snapshot_seconds": 5, "precision": "float32"},
}
#: Compaction is quick, but leaves a late write as long as the design asks for, to be repaired.
_PROFILES = {
    "segment.ms": "1000",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "60000",
}
_BROKER = {"log.cleaner.backoff.ms": "300"}
_READY_SECONDS = 120.0


@dataclass
class SoakSystem:
    """Started by ``async with``, with topics, catalogue, workers and retrieval ready.

    Attributes:
        home: a Kafka 4 installation.
        folder: for data and logs.
        log: its catalogue is published.
        workers: that run; one more place is kept for a worker that is added.
        brokers: 1, or 3.
        exits: processes that ended by themselves, and workers that did not end well when they were
            stopped, with the end of their log.
        overwritten: users whose newest state was lost to an older one.
    """

    home: Path
    folder: Path
    log: SoakLog
    workers: int = 2
    brokers: int = 1
    exits: list[str] = field(default_factory=list)
    overwritten: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Nothing is started yet."""
        self.settings = load_settings(None, **_SETTINGS)
        self.names = topic_names(self.settings)
        self.topic = self.names.actions[0].name
        self._stack = AsyncExitStack()
        self.slots: list[WorkerSlot] = []
        self.retrieval_port = 0
        self.retrieval: Child | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        places = range(self.workers + 1)
        self.cluster = KafkaCluster(
            self.home,
            self.folder / "kafka",
            nodes=self.brokers,
            listeners=[_listener(place) for place in places],
            settings=_BROKER,
        )
        for place in places:
            proxies = []
            for node in self.cluster.nodes:
                name = _listener(place)
                proxy = await self._stack.enter_async_context(BrokerProxy(node.others[name]))
                self.cluster.advertise(node.node, name, proxy.port)
                proxies.append(proxy)
            folder = self.folder / f"worker-{place}"
            folder.mkdir(parents=True, exist_ok=True)
            self.slots.append(
                WorkerSlot(place, folder, proxies, ControlFile(folder / "control.json"))
            )
        await asyncio.to_thread(self.cluster.start)
        self._stack.push_async_callback(asyncio.to_thread, self.cluster.kill)
        self.bootstrap = self.cluster.bootstrap
        self.admin = BrokerAdmin(self.bootstrap)
        await asyncio.to_thread(self._prepare)
        self._stack.push_async_callback(self._stop_processes)
        self.watch = await self._stack.enter_async_context(
            ProfileWatch(self.bootstrap, self.names.profiles)
        )
        # Now, and not before the brokers: each of their many connections might have been given it.
        self.retrieval_port = free_port()
        self.http = await self._stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.retrieval_port}", timeout=30.0)
        )
        self.start_retrieval()
        for slot in self.slots[: self.workers]:
            self.start_worker(slot)
        wanted = len(self.log.items)
        await self.wait_for(
            lambda: all(slot.assignments() for slot in self.slots[: self.workers]), "the workers"
        )
        await self.wait_retrieval(items=wanted)

    def _prepare(self) -> None:
        create_topics(self.bootstrap, self.names, partitions=PARTITIONS, replication=self.brokers)
        self.admin.configure(self.names.profiles, _PROFILES)
        with ItemPublisher(self.bootstrap, self.names.items) as publisher:
            for item in self.log.items:
                publisher.publish(item)

    async def _stop_processes(self) -> None:
        children = [slot.child for slot in self.slots] + [self.retrieval]
        await asyncio.gather(
            *(asyncio.to_thread(child.stop) for child in children if child is not None)
        )

    def start_worker(self, slot: WorkerSlot) -> Child:
        """Run a worker in this place, well again and behind its own proxies."""
        return slot.start(
            _environment(",".join(f"127.0.0.1:{proxy.port}" for proxy in slot.proxies))
        )

    async def stop_worker(self, slot: WorkerSlot) -> int:
        """Stop it by SIGTERM; returns its exit status. What was wrong with it goes to `exits`."""
        status, problem = await asyncio.to_thread(slot.stop)
        if problem is not None:
            self.exits.append(problem)
        return status

    async def stop_workers(self) -> None:
        """Stop those that run, all at once; what was wrong goes to `exits`."""
        await asyncio.gather(*(self.stop_worker(slot) for slot in self.slots if slot.wanted))

    def start_retrieval(self) -> None:
        """Run the retrieval service, on the port of the last time."""
        self.retrieval = Child(
            "retrieval",
            [
                sys.executable, "-m", "tidemark", "retrieval",
                "--port", str(self.retrieval_port), "--log-level", "warning",
                "--state", str(self.folder / "retrieval"),
            ],
            self.folder / "retrieval.log",
            env=_environment(self.bootstrap),
        )  # fmt: skip

    def revive(self) -> None:
        """Start what should run and ended by itself, as a supervisor would, and note it."""
        self.watch.check()
        for slot in self.slots:
            if slot.wanted and slot.child is not None and not slot.child.alive():
                self.exits.append(
                    f"worker {slot.number}, exit status {slot.child.stop()}: {slot.child.tail(4)}"
                )
                self.start_worker(slot)
        if self.retrieval is not None and not self.retrieval.alive():
            self.exits.append(f"retrieval, exit status {self.retrieval.stop()}")
            self.start_retrieval()

    def heal(self) -> None:
        """End every fault that lasts."""
        for slot in self.slots:
            slot.control.write(Control())
            for proxy in slot.proxies:
                proxy.delay = 0.0
                if proxy.held is not None:
                    proxy.held.release()

    async def wait_for(
        self, done: Callable[[], bool], what: str, seconds: float = _READY_SECONDS
    ) -> None:
        """Poll.

        Raises:
            NotReadyError: not in time.
        """
        if not await self.within(seconds, done):
            raise NotReadyError(f"{what} were not ready in {seconds:.0f} s; see {self.folder}")

    async def within(self, seconds: float, done: Callable[[], bool]) -> bool:
        """Whether it came about in time; looked at ten times a second."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.1)
        return True

    async def wait_listening(self, seconds: float) -> bool:
        """Whether the retrieval service soon answers, ready or not."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                await self.http.get("/v1/status")
            except httpx.TransportError:
                await asyncio.sleep(0.1)  # it does not listen yet
            else:
                return True
        return False

    async def wait_retrieval(self, *, items: int) -> dict[str, Any]:
        """The retrieval service's status, once it has caught up and holds so many items.

        Raises:
            NotReadyError: not in time.
            ChildFailedError: it ended by itself.
        """
        deadline = time.monotonic() + _READY_SECONDS
        status: dict[str, Any] = {}
        while time.monotonic() < deadline:
            if self.retrieval is not None:
                self.retrieval.check()
            try:
                status = (await self.http.get("/v1/status")).json()
            except httpx.TransportError:
                status = {}  # it does not listen yet
            if status.get("ready") and status["lag"] == 0 and status["items"] == items:
                return status
            await asyncio.sleep(0.2)
        raise NotReadyError(
            f"the retrieval service has not caught up in {_READY_SECONDS:.0f} s; it says {status}"
            + (f", and last logged:\n{self.retrieval.tail()}" if self.retrieval else "")
        )

    async def settle(self, seconds: float = _READY_SECONDS) -> int:
        """Wait until every action is committed; returns how many are not, in the end."""
        deadline = time.monotonic() + seconds
        behind = -1
        while behind != 0 and time.monotonic() < deadline:
            self.revive()
            try:
                behind = await asyncio.to_thread(
                    self.admin.uncommitted, self.settings.kafka.group, self.topic
                )
            except KafkaError as error:
                logger.info("the group's offsets cannot be read yet: %r", error)
            await asyncio.sleep(0.2)
        return behind


def _listener(place: int) -> str:
    return f"WORKER{place}"


def _environment(bootstrap: str) -> dict[str, str]:
    given = {**_SETTINGS, "kafka": {**_SETTINGS["kafka"], "bootstrap": bootstrap}}
    named = {
        f"TIDEMARK_{group}__{name}".upper(): str(value)
        for group, values in given.items()
        for name, value in values.items()
    }
    return {**named, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
