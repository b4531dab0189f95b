"""Three brokers: one falls and returns under load, leaders move, and nothing is lost."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from soak_helpers import endure, movielens, require_kafka_home

from streams.kafka_cluster import KafkaCluster
from streams.topic_names import TopicNames
from streams.topics import check_topics, create_topics
from tidemark.soak.plan import Fault, FaultKind
from tidemark.soak.system import SoakSystem

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    # kafka-python leaves the sockets of connections that a dead broker refused to the collector.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """So that what is left to the collector is found here, and not in another test."""
    yield
    gc.collect()


def test_profiles_survive_the_fall_of_a_broker_and_new_leaders(tmp_path: Path) -> None:
    kinds = [FaultKind.broker_killed, FaultKind.leader_moved, FaultKind.broker_killed]
    faults = [
        Fault(number, kind, after=3.0, seconds=4.0, worker=0, node=number - 1, size=0.5)
        for number, kind in enumerate(kinds, start=1)
    ]

    async def main() -> None:
        async with SoakSystem(require_kafka_home(), tmp_path, movielens(), brokers=3) as system:
            verdict, said = await endure(system, faults, rate=200)
        assert verdict.failures() == dict.fromkeys(verdict.failures(), 0), verdict.details
        assert verdict.applied == verdict.expected > 2_000
        assert "broker 1 killed" in said
        assert "broker 3 killed" in said
        assert "8 of 8 of actions" in said

    asyncio.run(main())


def test_a_killed_broker_starts_again_on_its_data_and_port(tmp_path: Path) -> None:
    with KafkaCluster(require_kafka_home(), tmp_path) as cluster:
        create_topics(cluster.bootstrap, TopicNames(), partitions=2)
        before = cluster.bootstrap
        node = cluster.nodes[0]
        node.kill()
        assert not node.alive()
        node.start()
        assert cluster.bootstrap == before
        assert check_topics(cluster.bootstrap, TopicNames()) == 2
