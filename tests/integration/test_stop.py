"""How a worker ends, what it holds back, and what it says when it stands still."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from system_helpers import (
    BASE_ENV,
    DIM,
    PARTITIONS,
    Deployment,
    ProfilesProbe,
    on_one_broker,
    wait_until,
)

from encoders import HashingEncoder
from store.policies import Policy
from store.profile import ProfileState, encode_profile
from streams.processes import Child, free_port
from streams.schema import Action, Scalar
from tidemark.soak.control import Control, ControlFile

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

#: From SIGTERM to the end of the process.
STOP_SECONDS = 10.0
MEBIBYTE = 1024 * 1024


class Worker:
    """A worker whose encoder hangs while it is told to, and what it says over HTTP."""

    def __init__(self, deployment: Deployment, **env: str) -> None:
        port = free_port()
        path = deployment.folder / f"control-{port}.json"
        self.control = ControlFile(path)
        self.control.write(Control())
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20.0)
        names = deployment.names
        self.child = Child(
            "worker",
            [
                sys.executable, "-m", "tidemark.soak.worker",
                "--control", str(path), "--state", str(deployment.folder),
            ],
            deployment.folder / f"worker-{port}.log",
            env={
                **BASE_ENV,
                "TIDEMARK_KAFKA__BOOTSTRAP": deployment.bootstrap,
                "TIDEMARK_KAFKA__GROUP": deployment.group,
                "TIDEMARK_TOPICS__ACTIONS": json.dumps([{"name": names.actions[0].name}]),
                "TIDEMARK_TOPICS__ITEMS": names.items,
                "TIDEMARK_TOPICS__PROFILES": names.profiles,
                "TIDEMARK_TOPICS__ITEM_VECTORS": names.item_vectors,
                "TIDEMARK_TOPICS__DEAD_LETTERS": names.dead_letters,
                "TIDEMARK_WORKER__METRICS_PORT": str(port),
                **env,
            },
        )  # fmt: skip

    def answer(self, path: str) -> tuple[int, str]:
        """The status and the line of an answer; (0, "") while nobody listens."""
        try:
            response = self.http.get(path)
        except httpx.TransportError:
            return 0, ""
        return response.status_code, response.text.strip()

    def wait_ready(self) -> None:
        wait_until(lambda: self.answer("/readyz")[0] == 200, check=self.child.check)

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return 1024 * int(status.split("VmRSS:")[1].split()[0])

    def terminate(self) -> int:
        """SIGTERM; the exit status, if it comes in time."""
        started = time.monotonic()
        self.child.process.terminate()
        status = self.child.process.wait(60)
        assert time.monotonic() - started < STOP_SECONDS, self.child.tail(40)
        return status


@contextmanager
def running(deployment: Deployment, **env: str) -> Iterator[Worker]:
    worker = Worker(deployment, **env)
    with worker.child, worker.http:
        yield worker


async def publish(
    deployment: Deployment, count: int, *, users: int = 200, words: int = 50, bulk: int = 0
) -> None:
    """Searches of so many users, by the partition of their number.

    There are so many different texts. With ``bulk`` so many strings of 250 characters come along,
    as context: they are held as the texts are, and cost little to take in.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=deployment.bootstrap,
        acks="all",
        max_batch_size=max(16_384, 25_000 * bulk),
    )
    await producer.start()
    now = time.time_ns() // 1_000_000

    context: dict[str, Scalar] = {f"bulk {number}": "x" * 250 for number in range(bulk)}

    @cache
    def message(user: str, word: int) -> bytes:
        action = Action(
            user_id=user, action="search", text=f"words {word}", ts=now, context=context or None
        )
        return msgspec.msgpack.encode(action)

    try:
        for partition in range(PARTITIONS):
            batch = producer.create_batch()
            sent = []
            for number in range(partition, count, PARTITIONS):
                # A user's number tells the partition: users is a multiple of PARTITIONS.
                user = f"u{number % users}"
                value = message(user, number % words)
                if batch.append(timestamp=None, key=user.encode(), value=value) is None:
                    topic = deployment.names.actions[0].name
                    sent.append(await producer.send_batch(batch, topic, partition=partition))
                    batch = producer.create_batch()
                    batch.append(timestamp=None, key=user.encode(), value=value)
            topic = deployment.names.actions[0].name
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def committed(deployment: Deployment) -> dict[int, int]:
    """The group's offset of each partition of the actions; 0 where there is none."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=deployment.bootstrap, group_id=deployment.group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        topic = deployment.names.actions[0].name
        return {
            number: await consumer.committed(TopicPartition(topic, number)) or 0
            for number in range(PARTITIONS)
        }
    finally:
        await consumer.stop()


async def published_offsets(deployment: Deployment) -> dict[int, int]:
    """By partition the offset after the last action that is in a profile."""
    async with ProfilesProbe(deployment.bootstrap, deployment.names.profiles) as probe:
        probe.records += await probe._tail.read_to_end()  # noqa: SLF001 # to its end, once
        found = dict.fromkeys(range(PARTITIONS), 0)
        for state in probe.states().values():
            for offset in state.applied.values():
                found[state.partition] = max(found[state.partition], offset + 1)
        return found


def test_sigterm_under_load_commits_what_it_published(deployment: Deployment) -> None:
    asyncio.run(publish(deployment, 200_000))
    with running(deployment, TIDEMARK_KAFKA__POLL_RECORDS="500") as worker:
        wait_until(lambda: any(asyncio.run(published_offsets(deployment)).values()))
        assert worker.terminate() == 0
    done = asyncio.run(committed(deployment))
    assert done == asyncio.run(published_offsets(deployment))
    assert 0 < sum(done.values()) < 200_000, "stopped before or after the load"


@on_one_broker
def test_sigterm_while_the_encoder_hangs(deployment: Deployment) -> None:
    with running(deployment) as worker:
        worker.wait_ready()
        worker.control.change(hangs=True)
        asyncio.run(publish(deployment, 1_000))
        # The call that hangs has the items' or the actions' texts in it.
        wait_until(lambda: "texts_requested_total 0.0" not in worker.http.get("/metrics").text)
        assert worker.terminate() == 0
        assert "the encoder did not end" in worker.child.log.read_text()
    assert sum(asyncio.run(committed(deployment)).values()) == 0
    with running(deployment) as worker:
        asyncio.run(wait_applied(deployment, 1_000, worker))
        assert worker.terminate() == 0


async def wait_applied(deployment: Deployment, count: int, worker: Worker) -> None:
    async with ProfilesProbe(deployment.bootstrap, deployment.names.profiles) as probe:
        await probe.wait_applied(count, worker.child.check)


async def write_profiles(deployment: Deployment, count: int) -> None:
    """Profiles of so many users, as a worker left them."""
    encoder, policy = HashingEncoder(DIM), Policy()
    vector = np.ones(DIM, "<f4").tobytes()
    producer = AIOKafkaProducer(
        bootstrap_servers=deployment.bootstrap, acks="all", max_batch_size=500_000
    )
    await producer.start()
    try:
        for partition in range(PARTITIONS):
            batch, sent = producer.create_batch(), []
            for number in range(partition, count, PARTITIONS):
                state = ProfileState(
                    encoder=encoder.encoder_id, policy=policy.identity, dim=DIM, vector=vector,
                    count=1, last_ts=1, partition=partition, applied={"earlier": number},
                    seen=[f"item {n:040}" for n in range(30)],
                )  # fmt: skip
                key, value = f"u{number}".encode(), encode_profile(state)
                if batch.append(timestamp=None, key=key, value=value) is None:
                    topic = deployment.names.profiles
                    sent.append(await producer.send_batch(batch, topic, partition=partition))
                    batch = producer.create_batch()
                    batch.append(timestamp=None, key=key, value=value)
            topic = deployment.names.profiles
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            await asyncio.gather(*sent)
    finally:
        await producer.stop()


@on_one_broker
def test_a_restore_says_how_far_it_is_and_is_abandoned_at_sigterm(deployment: Deployment) -> None:
    asyncio.run(write_profiles(deployment, 60_000))
    with running(deployment) as worker:
        wait_until(
            lambda: "restoring partition" in worker.answer("/readyz")[1], check=worker.child.check
        )
        status, line = worker.answer("/readyz")
        assert status == 503, line
        assert worker.answer("/healthz") == (200, "ok")
        assert worker.terminate() == 0
        assert "the restore is abandoned" in worker.child.log.read_text()
    assert not list((deployment.folder / "snapshots").glob("*"))


@on_one_broker
def test_the_next_start_begins_from_the_snapshot(deployment: Deployment) -> None:
    asyncio.run(publish(deployment, 2_000))
    with running(deployment) as worker:
        asyncio.run(wait_applied(deployment, 2_000, worker))
        assert worker.terminate() == 0
    assert len(list((deployment.folder / "snapshots").glob("*.tms"))) == PARTITIONS
    asyncio.run(publish(deployment, 2_000))
    with running(deployment) as worker:
        asyncio.run(wait_applied(deployment, 4_000, worker))
        log = worker.child.log.read_text()
        assert log.count("from_snapshot=yes read=0") == PARTITIONS
        assert worker.terminate() == 0

    async def counts() -> list[int]:
        async with ProfilesProbe(deployment.bootstrap, deployment.names.profiles) as probe:
            probe.records += await probe._tail.read_to_end()  # noqa: SLF001
            return [state.count for state in probe.states().values()]

    assert asyncio.run(counts()) == [20] * 200


@on_one_broker
def test_with_a_hanging_encoder_memory_stays_flat_and_lag_stays_in_kafka(
    deployment: Deployment,
) -> None:
    count = 60_000  # of 5 kB: 300 MB
    with running(deployment) as worker:
        asyncio.run(publish(deployment, 1_000, words=1))
        asyncio.run(wait_applied(deployment, 1_000, worker))
        worker.control.change(hangs=True)
        before = worker.resident_bytes()
        asyncio.run(publish(deployment, count, bulk=19))
        samples: list[int] = []
        # Until what may be fetched is: then nothing moves any more.
        wait_until(lambda: _still(worker, samples), check=worker.child.check)
        grown = max(samples) - before
        # 64 MiB may wait, as much may be on its way, and the allocator may keep half as much.
        assert grown < 160 * MEBIBYTE, f"{grown / MEBIBYTE:.0f} MiB"
        assert sum(asyncio.run(committed(deployment)).values()) <= 1_000
        worker.control.change(hangs=False)
        asyncio.run(wait_applied(deployment, count + 1_000, worker))
        wait_until(
            lambda: sum(asyncio.run(committed(deployment)).values()) == count + 1_000,
            check=worker.child.check,
        )
        assert worker.terminate() == 0


def _still(worker: Worker, samples: list[int]) -> bool:
    samples.append(worker.resident_bytes())
    recent = samples[-100:]
    return len(recent) == 100 and max(recent) - min(recent) < MEBIBYTE


@on_one_broker
def test_a_worker_that_stands_still_says_so_and_ends(deployment: Deployment) -> None:
    env = {"TIDEMARK_WORKER__STALL_SECONDS": "3", "TIDEMARK_WORKER__STALL_EXIT_SECONDS": "9"}
    with running(deployment, **env) as worker:
        worker.wait_ready()
        assert worker.answer("/healthz") == (200, "ok")
        worker.control.change(hangs=True)
        asyncio.run(publish(deployment, 100))
        wait_until(lambda: worker.answer("/healthz")[0] == 503, check=worker.child.check)
        status, line = worker.answer("/healthz")
        assert status == 503
        assert "nothing advanced for" in line
        assert "stage encode" in line
        wait_until(lambda: not worker.child.alive())
        assert worker.child.process.returncode == 1
        log = worker.child.log.read_text()
        assert "The worker ends, so that another takes over" in log
