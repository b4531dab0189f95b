"""The alerts on a group that finds no rest, or commits nothing: only a real Kafka has them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faulty_system import ITEMS, Load, Side
from prometheus_files import shortened
from prometheus_rig import PrometheusServer
from soak_helpers import require_kafka_home
from system_helpers import Deployment, wait_until

from streams.brokers import start_kafka
from streams.processes import free_port
from tidemark.soak.proxy import BrokerProxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@dataclass
class Group:
    """A worker under load, and Prometheus with the rules of an hour made a minute."""

    side: Side
    load: Load
    prometheus: PrometheusServer
    proxy: BrokerProxy

    def check(self) -> None:
        self.load.check()
        self.side.check()

    def wait_firing(self, name: str) -> None:
        wait_until(lambda: name in self.prometheus.firing(), check=self.check, seconds=120)

    def wait_over(self, name: str) -> None:
        wait_until(lambda: name not in self.prometheus.firing(), check=self.check)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    home = require_kafka_home()
    folder = tmp_path_factory.mktemp("group")
    port = free_port()
    (folder / "server.properties").write_text(f"listeners=PLAINTEXT://127.0.0.1:{port}\n")
    with ExitStack() as stack:
        proxy = stack.enter_context(proxied(port))
        address = f"127.0.0.1:{proxy.port}"
        told = f"advertised.listeners=PLAINTEXT://{address}\n"
        stack.enter_context(start_kafka(home, folder, properties=told))
        deployment = Deployment(address, folder, partitions=2)
        deployment.publish_items(ITEMS)
        side = Side(deployment, stack)
        wait_until(lambda: _ready(side), check=side.check)
        prometheus = stack.enter_context(
            PrometheusServer(
                folder / "prometheus", {"tidemark-worker": [side.worker_address]}, change=shortened
            )
        )
        load = Load(side)
        stack.enter_context(load.running())
        commits = "increase(tidemark_commit_seconds_count[10s]) > 0"
        wait_until(lambda: bool(prometheus.query(commits)), check=load.check)
        # Prometheus takes longer to look than `absent` now waits; it looks at no retrieval here.
        wait_until(lambda: prometheus.firing() <= {"TidemarkRetrievalDown"}, check=load.check)
        yield Group(side, load, prometheus, proxy)


@contextmanager
def proxied(port: int) -> Iterator[BrokerProxy]:
    """A proxy before a broker's port, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    proxy = BrokerProxy(port)
    try:
        asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result()
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _ready(side: Side) -> bool:
    try:
        addresses = (side.worker_address, side.address)
        return all(httpx.get(f"http://{one}/readyz", timeout=20.0).is_success for one in addresses)
    except httpx.TransportError:
        return False  # it does not listen yet


@contextmanager
def restless_member(group: Group) -> Iterator[None]:
    """Somebody joins the group and leaves it, again and again."""
    names, over = group.side.deployment.names, threading.Event()

    async def visit() -> None:
        consumer = AIOKafkaConsumer(
            *(topic.name for topic in names.actions),
            names.items,
            bootstrap_servers=group.side.deployment.bootstrap,
            group_id=group.side.deployment.group,
            partition_assignment_strategy=(RangePartitionAssignor,),
            enable_auto_commit=False,
            session_timeout_ms=6_000,
        )
        await consumer.start()  # returns once it has its partitions
        try:
            while not consumer.assignment() and not over.is_set():
                await consumer.getmany(timeout_ms=50)
        finally:
            await consumer.stop()

    def come_and_go() -> None:
        while not over.is_set():
            asyncio.run(visit())

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_coordinator_that_takes_no_commits(group: Group) -> None:
    """All else goes on: the worker stays a member, and actions are applied."""
    group.proxy.refuses_commits = True
    group.wait_firing("TidemarkCommitFailing")
    group.proxy.refuses_commits = False
    group.wait_over("TidemarkCommitFailing")


def test_a_member_that_comes_and_goes(group: Group) -> None:
    with restless_member(group):
        group.wait_firing("TidemarkRebalancing")
