"""One embedded broker and, where there is one to start, one Apache Kafka for the whole session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from system_helpers import Deployment

from streams.brokers import start_embedded, start_kafka
from streams.processes import free_port

BROKERS = ("embedded", "kafka")


def kafka_home() -> Path | None:
    """KAFKA_HOME, or the jars that lie beside a checkout."""
    named = os.environ.get("KAFKA_HOME")
    if named:
        return Path(named)
    beside = Path(__file__).parents[3] / "shared" / "kafka"
    return beside if (beside / "libs").is_dir() else None


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with start_embedded(tmp_path_factory.mktemp("embedded")) as broker:
        yield broker.bootstrap


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """An installation of Apache Kafka to start brokers from."""
    home = kafka_home()
    if home is None:
        pytest.skip("no Apache Kafka: set KAFKA_HOME to an unpacked Kafka 4")
    return home


@pytest.fixture(scope="session")
def kafka_broker(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("kafka")
    # A port of its own, as if it had had it before: at Kafka's usual one the brokers of two
    # processes that test at the same time would meet.
    (folder / "server.properties").write_text(f"listeners=PLAINTEXT://127.0.0.1:{free_port()}\n")
    with start_kafka(kafka_jars, folder) as broker:
        yield broker.bootstrap


@pytest.fixture(params=BROKERS)
def bootstrap(request: pytest.FixtureRequest) -> str:
    """Each of the brokers in turn; or "one": Apache Kafka where there is one to start."""
    name = request.param
    if name == "one":
        name = "embedded" if kafka_home() is None else "kafka"
    address: str = request.getfixturevalue(f"{name}_broker")
    return address


@pytest.fixture
def deployment(bootstrap: str, tmp_path: Path) -> Deployment:
    """Fresh topics on each broker."""
    return Deployment(bootstrap, tmp_path)
