"""SASL and TLS on Apache Kafka: every process gets in, and whoever does not is told why."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from secure_kafka import PASSWORD, USER, SecureKafka, secure_kafka
from system_helpers import BASE_ENV, Deployment, wait_until

from streams.schema import Item
from streams.security import Security

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def kafka(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with secure_kafka(kafka_jars, tmp_path_factory.mktemp("secure")) as broker:
        yield broker


@pytest.fixture
def deployment(kafka: SecureKafka, tmp_path: Path) -> Deployment:
    return Deployment(
        kafka.address("SASL_SSL"), tmp_path, security=kafka.security(), env=kafka.env()
    )


def test_publisher_worker_and_retrieval_over_sasl_ssl(
    kafka: SecureKafka, deployment: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")  # as a mounted secret
    deployment.env = kafka.env(password="", password_file=str(tmp_path / "password"))
    clicks = tmp_path / "clicks.jsonl"
    clicks.write_text('{"user_id": "ann", "action": "view", "ts": 1700000000000, "item_id": "1"}\n')
    with deployment.worker() as worker, deployment.retrieval() as client:
        deployment.publish_items(
            [Item(item_id="1", title="Alien"), Item(item_id="2", title="Aliens")]
        )
        with deployment.process("publish", str(clicks)) as publish:
            wait_until(lambda: not publish.alive())
            assert publish.stop() == 0, publish.tail()
        wait_until(
            lambda: client.get("/v1/users/ann/candidates").status_code == 200, check=worker.check
        )
        candidates = client.get("/v1/users/ann/candidates").json()["candidates"]
        assert [one["item_id"] for one in candidates] == ["2"]
        # The API's forget is published by the retrieval service.
        assert client.delete("/v1/users/ann", params={"wait": 20}).json()["status"] == "forgotten"
        assert worker.stop() == 0
        assert PASSWORD not in worker.log.read_text()


@pytest.mark.parametrize(
    ("listener", "security"),
    [
        ("SASL_PLAINTEXT", Security("SASL_PLAINTEXT", "SCRAM-SHA-256", USER, PASSWORD)),
        ("SASL_PLAINTEXT", Security("SASL_PLAINTEXT", "PLAIN", "simple", "simple-password")),
        ("MUTUAL", Security("SSL")),
    ],
    ids=["scram-256", "plain", "client-certificate"],
)
def test_the_other_ways_in(
    kafka: SecureKafka, tmp_path: Path, listener: str, security: Security
) -> None:
    """A publisher, a worker and its group: all three Kafka clients."""
    env = kafka.env(
        security.protocol,
        mechanism=security.mechanism,
        username=security.username or "",
        password=security.password or "",
        cert_file=str(kafka.keys / "client.pem") if listener == "MUTUAL" else "",
    )
    if listener == "MUTUAL":
        security = replace(
            security, ca_file=kafka.keys / "ca.pem", cert_file=kafka.keys / "client.pem"
        )
    deployment = Deployment(kafka.address(listener), tmp_path, security=security, env=env)
    with deployment.worker() as worker:
        wait_until(lambda: "partitions assigned" in worker.log.read_text(), check=worker.check)
        with deployment.actions() as actions:
            actions.publish("ann", "search", text="anything")
        assert worker.stop() == 0


#: What is wrong: the listener, the address' host, the settings, the line.
WRONG = {
    "wrong password": (
        "SASL_SSL", "localhost", {"password": "guess"},
        f"refuses user '{USER}' by SCRAM-SHA-512: the user is unknown or the password is wrong",
    ),
    "unknown user": ("SASL_SSL", "localhost", {"username": "mallory"}, "refuses user 'mallory'"),
    "mechanism": ("SASL_SSL", "localhost", {"mechanism": "PLAIN"}, "does not take PLAIN"),
    "untrusted": (
        "SASL_SSL", "localhost", {"ca_file": "other-ca.pem"},
        "is not trusted: unable to get local issuer certificate; name the authority",
    ),
    "another host": (
        "SASL_SSL", "127.0.0.1", {},
        "is not trusted: IP address mismatch, certificate is not valid for '127.0.0.1'; connect by",
    ),
    "expired": (
        "EXPIRED", "localhost", {"protocol": "SSL"},
        "is not trusted: certificate has expired; it must be renewed",
    ),
    "no client certificate": (
        "MUTUAL", "localhost", {"protocol": "SSL"}, "it may ask for a client certificate",
    ),
    "a stranger's client certificate": (
        "MUTUAL", "localhost", {"protocol": "SSL", "cert_file": "stranger.pem"},
        "refuses the client certificate",
    ),
    "an expired client certificate": (
        "MUTUAL", "localhost", {"protocol": "SSL", "cert_file": "late-client.pem"},
        "refuses the client certificate",
    ),
    "TLS to a port without": (
        "SASL_PLAINTEXT", "localhost", {},
        "the TLS handshake failed (the connection was closed); if this port speaks no TLS",
    ),
    "no TLS to a port with it": (
        "SASL_SSL", "localhost", {"protocol": "SASL_PLAINTEXT"}, "the port may expect TLS",
    ),
    "no user to a port that asks": (
        "SASL_PLAINTEXT", "localhost", {"protocol": "PLAINTEXT"},
        "set kafka.security.protocol to SASL_PLAINTEXT, and username and password",
    ),
    "a user to a port that does not ask": (
        "PLAINTEXT", "127.0.0.1", {"protocol": "SASL_PLAINTEXT"}, "asks for no user at this port",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_each_refusal_is_one_line(kafka: SecureKafka, case: str) -> None:
    listener, host, settings, says = WRONG[case]
    assert says in refused(kafka, ["topics", "check"], listener, host, settings)


@pytest.mark.parametrize("case", ["wrong password", "untrusted", "no client certificate"])
@pytest.mark.parametrize("command", ["worker", "retrieval", "publish", "up"])
def test_every_command_says_it(kafka: SecureKafka, tmp_path: Path, command: str, case: str) -> None:
    file = tmp_path / "clicks.jsonl"
    file.write_text("{}\n")
    words = {
        "worker": ["worker", "--state", str(tmp_path)],
        "retrieval": ["retrieval", "--port", "0"],
        "publish": ["publish", str(file)],
        "up": ["up", "--port", "0", "--state", str(tmp_path)],
    }[command]
    listener, host, settings, says = WRONG[case]
    assert says in refused(kafka, words, listener, host, settings)


def refused(
    kafka: SecureKafka, words: list[str], listener: str, host: str, settings: dict[str, str]
) -> str:
    """The one line that a command ends with, in time and with exit status 1."""
    started = time.monotonic()
    files = {
        name: str(kafka.keys / value) if name.endswith("_file") else value
        for name, value in settings.items()
    }
    done = subprocess.run(
        [sys.executable, "-m", "tidemark", *words, "--bootstrap", kafka.address(listener, host)],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **BASE_ENV, **kafka.env(**files)},
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert done.stderr.splitlines()[-1] == errors[0]
    assert "Traceback" not in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert time.monotonic() - started < 30  # a bound for a busy machine: no client's retries
    return errors[0]


@pytest.mark.timeout(480)  # the broker is started twice
def test_a_password_changed_while_they_run(kafka: SecureKafka, deployment: Deployment) -> None:
    """The worker ends with the reason; the retrieval service says it, and recovers.

    Connections that are there stay as they are; it shows when the broker comes back.
    """
    with deployment.worker() as worker, deployment.retrieval() as client:
        with deployment.actions() as actions:
            actions.publish("ann", "search", text="anything")
        wait_until(
            lambda: client.get("/v1/users/ann/profile").status_code == 200, check=worker.check
        )
        kafka.set_password("another")
        kafka.stop()
        wait_until(lambda: client.get("/healthz").json()["status"] == "degraded")
        assert "no Kafka broker answers" in client.get("/healthz").json()["reason"]
        worker.check()
        kafka.start()
        wait_until(lambda: not worker.alive(), seconds=60)
        assert worker.stop() == 1
        last = worker.tail(1)
        assert last.startswith("error: ")
        assert f"refuses user '{USER}'" in last
        assert "Traceback" not in worker.log.read_text()
        # It can still be asked for what it knows; it is degraded, and stays so.
        wait_until(lambda: f"refuses user '{USER}'" in client.get("/healthz").json()["reason"])
        assert client.get("/healthz").json()["status"] == "degraded"
        kafka.set_password(PASSWORD)
        wait_until(lambda: client.get("/healthz").json()["status"] == "ok")
