"""Membership in the consumer group: workers without partitions, rebalances, refusals."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer
from system_helpers import Deployment, ProfilesProbe, wait_until

from streams.brokers import start_embedded
from streams.schema import Action

pytestmark = pytest.mark.integration


def test_workers_without_partitions_wait_and_take_over(kafka_broker: str, tmp_path: Path) -> None:
    """Three workers, one partition: two are idle; the one that works leaves, another goes on."""
    deployment = Deployment(kafka_broker, tmp_path, partitions=1)

    def assignments(log: Path) -> int:
        return log.read_text().count("partitions assigned")

    def search(user: str) -> None:
        with deployment.actions() as actions:
            actions.publish(user, "search", text="anything")

    async def main() -> None:
        async with ProfilesProbe(kafka_broker, deployment.names.profiles) as probe:
            with deployment.worker() as first:
                wait_until(lambda: assignments(first.log) > 0, check=first.check)
                with deployment.worker() as second, deployment.worker() as third:
                    for worker in (second, third):
                        wait_until(lambda w=worker: assignments(w.log) > 0, check=worker.check)  # type: ignore[misc]
                    search("ann")
                    await probe.wait_applied(1)
                    assert [one.alive() for one in (first, second, third)] == [True] * 3
                    assert first.stop() == 0
                    search("ben")
                    await probe.wait_applied(2)
                    assert second.stop() == 0
                    search("cid")
                    await probe.wait_applied(3, third.check)
                    assert third.stop() == 0
            assert probe.states().keys() == {"ann", "ben", "cid"}

    asyncio.run(main())


def test_nothing_is_lost_in_a_rebalance_before_the_first_commit(
    kafka_broker: str, tmp_path: Path
) -> None:
    """A second worker joins; while it does, every partition gets its first action ever."""
    partitions = 24
    deployment = Deployment(kafka_broker, tmp_path, partitions=partitions)
    topic = deployment.names.actions[0].name
    with deployment.actions() as packer:
        pack = packer._packed  # noqa: SLF001 # the producer below chooses partitions itself
    producer = KafkaProducer(bootstrap_servers=kafka_broker)

    def send(partition: int, turn: int) -> None:
        user = f"user-{partition}-{turn}"
        action = Action(user_id=user, action="search", ts=int(time.time() * 1000), text="anything")
        producer.send(topic, key=user.encode(), value=pack(action), partition=partition)

    async def main() -> None:
        async with ProfilesProbe(kafka_broker, deployment.names.profiles) as probe:
            with deployment.worker() as first:
                wait_until(lambda: "partitions assigned" in first.log.read_text())
                with deployment.worker() as second:
                    wait_until(lambda: first.log.read_text().count("partitions assigned") > 1)
                    for partition in range(partitions):
                        send(partition, 0)
                        producer.flush()
                    # Later ones: what is committed with them must not hide an earlier one.
                    for partition in range(partitions):
                        send(partition, 1)
                    producer.flush()
                    await probe.wait_applied(2 * partitions, first.check)
                    second.check()
            assert len(probe.states()) == 2 * partitions

    asyncio.run(main())
    producer.close()


def test_a_membership_that_the_broker_refuses_ends_the_worker(
    kafka_broker: str, tmp_path: Path
) -> None:
    """Kafka takes no session under six seconds. The worker must not stay, alive but deaf."""
    deployment = Deployment(kafka_broker, tmp_path)
    with deployment.worker(TIDEMARK_KAFKA__SESSION_SECONDS="2") as worker:
        wait_until(lambda: not worker.alive())
        assert worker.stop() == 1
        assert "cannot take part in the group" in worker.tail()
        assert "InvalidSessionTimeout" in worker.tail()
        assert "Traceback" not in worker.log.read_text()


def test_a_worker_makes_its_state_folder(kafka_broker: str, tmp_path: Path) -> None:
    deployment = Deployment(kafka_broker, tmp_path)
    deployment.folder = tmp_path / "not" / "yet" / "there"
    with deployment.worker() as worker:
        wait_until(lambda: "partitions assigned" in worker.log.read_text(), check=worker.check)
        assert worker.stop() == 0
    assert (tmp_path / "not" / "yet" / "there" / "faust").is_dir()


def test_a_stopped_worker_ends_in_time_without_its_broker(tmp_path: Path) -> None:
    with start_embedded(tmp_path) as broker:
        deployment = Deployment(broker.bootstrap, tmp_path)
        with deployment.worker() as worker:
            wait_until(lambda: "partitions assigned" in worker.log.read_text(), check=worker.check)
            with deployment.actions() as actions:
                actions.publish("ann", "search", text="anything")
            broker.kill()
            started = time.monotonic()
            worker.stop()
            assert time.monotonic() - started < 14  # not killed: the grace is 15 s
            assert worker.process.returncode in {0, 1}
