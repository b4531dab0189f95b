"""With the rights of the manifests' users, and no others, everything works on Apache Kafka."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from kafka import KafkaProducer
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)
from kafka.errors import TopicAuthorizationFailedError
from manifest_helpers import KUBERNETES, ROOT, Manifest, render
from system_helpers import BASE_ENV, wait_until

from streams.brokers import start_kafka
from streams.errors import AccessRefusedError, BrokerUnavailableError
from streams.processes import Child, free_port
from streams.publisher import ActionPublisher, ItemPublisher
from streams.reach import require_access
from streams.schema import Item
from streams.security import Security
from streams.topic_names import TopicNames
from streams.topics import create_topics

pytestmark = pytest.mark.integration

PASSWORD = "long-and-random"
#: Whoever comes without a name (this test, and the broker itself) may do everything; users what
#: their rules say.
PROPERTIES = """\
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}},\
SASL_PLAINTEXT://127.0.0.1:{sasl}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SASL_PLAINTEXT://127.0.0.1:{sasl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,\
SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
"""
PATTERNS = {
    "literal": ACLResourcePatternType.LITERAL,
    "prefix": ACLResourcePatternType.PREFIXED,
}
OPERATIONS = {
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
}


def users() -> dict[str, Manifest]:
    manifests = render(KUBERNETES / "kafka-users")
    return {one["metadata"]["name"]: one["spec"] for one in manifests}


class Kafka:
    """A broker that lets users do what the manifests say."""

    def __init__(self, plain: str, sasl: str) -> None:
        self.plain, self.sasl = plain, sasl
        create_topics(plain, TopicNames(), partitions=2)
        admin = KafkaAdminClient(bootstrap_servers=plain)
        for name, spec in users().items():
            assert spec["authentication"]["type"] == "scram-sha-512"
            wanted = UserScramCredentialUpsertion(name, "SCRAM-SHA-512", PASSWORD)
            assert admin.alter_user_scram_credentials([wanted]) == {name: None}
            rules = [
                ACL(
                    f"User:{name}",
                    "*",
                    OPERATIONS[operation],
                    ACLPermissionType.ALLOW,
                    ResourcePattern(
                        ResourceType[rule["resource"]["type"].upper()],
                        rule["resource"]["name"],
                        PATTERNS[rule["resource"]["patternType"]],
                    ),
                )
                for rule in spec["authorization"]["acls"]
                for operation in rule["operations"]
            ]
            made = admin.create_acls(rules)
            assert made["failed"] == []
        admin.close()

    def env(self, user: str) -> dict[str, str]:
        """As the component kafka-sasl sets them, but without TLS."""
        return {
            **BASE_ENV,
            "TIDEMARK_KAFKA__BOOTSTRAP": self.sasl,
            "TIDEMARK_KAFKA__SECURITY__PROTOCOL": "SASL_PLAINTEXT",
            "TIDEMARK_KAFKA__SECURITY__MECHANISM": "SCRAM-SHA-512",
            "TIDEMARK_KAFKA__SECURITY__USERNAME": user,
            "TIDEMARK_KAFKA__SECURITY__PASSWORD": PASSWORD,
        }

    def admits(self, user: str) -> bool:
        try:
            require_access(self.sasl, Security("SASL_PLAINTEXT", "SCRAM-SHA-512", user, PASSWORD))
        except (AccessRefusedError, BrokerUnavailableError):
            return False
        return True


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    named = os.environ.get("KAFKA_HOME")
    home = Path(named) if named else ROOT.parent / "shared" / "kafka"
    if not (home / "libs").is_dir():
        pytest.skip("no Apache Kafka: set KAFKA_HOME to an unpacked Kafka 4")
    sasl = free_port()
    folder = tmp_path_factory.mktemp("kafka-users")
    (folder / "server.properties").write_text(f"listeners=PLAINTEXT://127.0.0.1:{free_port()}\n")
    with start_kafka(home, folder, properties=PROPERTIES.format(sasl=sasl)) as broker:

        def answers() -> bool:
            try:
                require_access(broker.bootstrap)
            except BrokerUnavailableError:
                return False
            return True

        wait_until(answers, check=broker.check)
        kafka = Kafka(broker.bootstrap, f"127.0.0.1:{sasl}")
        for user in users():
            wait_until(lambda user=user: kafka.admits(user), check=broker.check)  # type: ignore[misc]
        yield kafka


def test_the_rights_are_enough(kafka: Kafka, tmp_path: Path) -> None:
    port = free_port()

    def process(command: str, *options: str) -> Child:
        return Child(
            command,
            [sys.executable, "-m", "tidemark", command, *options],
            tmp_path / f"{command}.log",
            env=kafka.env(f"tidemark-{command}"),
        )

    with (
        process("worker", "--state", str(tmp_path / "worker")) as worker,
        process("retrieval", "--port", str(port), "--state", str(tmp_path)) as retrieval,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):

        def check() -> None:
            worker.check()
            retrieval.check()

        def status(path: str) -> int:
            try:
                return client.get(path).status_code
            except httpx.TransportError:
                return 0  # it does not listen yet

        wait_until(lambda: status("/readyz") == 200, check=check)
        with ItemPublisher(kafka.plain) as items:
            items.publish(Item(item_id="1", title="Alien"))
            items.publish(Item(item_id="2", title="Aliens"))
        with ActionPublisher(kafka.plain) as actions:
            actions.publish("ann", "view", item_id="1")
            actions.publish("ann", "view", item_id="nobody has it")
        wait_until(lambda: status("/v1/users/ann/candidates") == 200, check=check)
        # A forget is published by the retrieval service, as an action.
        gone = client.delete("/v1/users/ann", params={"wait": 20}).json()
        assert gone["status"] == "forgotten"
        assert worker.stop() == 0
        assert "AuthorizationFailed" not in worker.log.read_text()
        assert "AuthorizationFailed" not in retrieval.log.read_text()


def test_rights_that_are_not_given_are_refused(kafka: Kafka) -> None:
    """So that the test above is one of rights: the service may not write profiles."""
    producer = KafkaProducer(
        bootstrap_servers=kafka.sasl,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username="tidemark-retrieval",
        sasl_plain_password=PASSWORD,
    )
    try:
        with pytest.raises(TopicAuthorizationFailedError):
            producer.send("profiles", b"forged", key=b"ann").get(timeout=30)
    finally:
        producer.close(timeout=5)
