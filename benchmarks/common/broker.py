"""Apache Kafka in a throw-away folder, for as long as a measurement takes."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.common.load import wait_until_served
from streams.brokers import start_kafka

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Bench", "bench_broker", "kafka_home"]

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "kafka"


def kafka_home() -> Path:
    """KAFKA_HOME, or the Kafka that lies beside the project."""
    return Path(os.environ.get("KAFKA_HOME") or _BESIDE)


@dataclass(frozen=True, slots=True)
class Bench:
    """A running broker.

    Attributes:
        bootstrap: ``host:port``.
        pid: of the broker's process.
        folder: for logs and states of whatever is measured; gone afterwards.
    """

    bootstrap: str
    pid: int
    folder: Path

    def create_topic(self, name: str, partitions: int) -> None:
        """A plain topic whose files are removed at once when it is deleted."""
        topic = NewTopic(name, partitions, 1, config={"file.delete.delay.ms": "1000"})
        admin = self._admin()  # held: without it the request would be dropped
        for made in admin.create_topics([topic]).values():
            made.result(30)
        wait_until_served(self.bootstrap, name)

    def delete_topics(self, names: Sequence[str]) -> None:
        """Delete topics and their files."""
        admin = self._admin()
        for gone in admin.delete_topics(list(names), operation_timeout=30).values():
            gone.result(60)

    def wait_for_group(self, group: str, seconds: float = 180.0) -> None:
        """Return when a consumer group has members with partitions.

        Raises:
            TimeoutError: it has none.
        """
        admin = self._admin()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                found = admin.describe_consumer_groups([group])[group].result(30)
            except KafkaException:  # no such group yet
                found = None
            if (
                found is not None
                and found.state == ConsumerGroupState.STABLE
                and any(member.assignment.topic_partitions for member in found.members)
            ):
                return
            time.sleep(0.2)
        raise TimeoutError(f"the consumer group {group} did not form within {seconds:.0f} s")

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 3})


@contextmanager
def bench_broker() -> Iterator[Bench]:
    """Start Apache Kafka; stop it and remove its data at the end.

    Raises:
        BrokerNotInstalledError: no Kafka in KAFKA_HOME, or no Java.
    """
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as name:
        folder = Path(name)
        with start_kafka(kafka_home(), folder / "kafka") as broker:
            yield Bench(broker.bootstrap, broker.pid, folder)
