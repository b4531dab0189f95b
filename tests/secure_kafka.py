"""An Apache Kafka that asks who comes: TLS, SASL and client certificates, each at its own port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from kafka.admin import KafkaAdminClient, UserScramCredentialUpsertion
from system_helpers import wait_until

from streams.brokers import start_kafka
from streams.errors import AccessRefusedError, BrokerUnavailableError
from streams.processes import Child, free_port
from streams.reach import require_access
from streams.security import Security

#: With what has to be escaped on its way: in SCRAM, TOML and the environment.
USER, PASSWORD = "tide=mark,1", 'p{a}ss "w=o,r;d\\'
_JAAS = "org.apache.kafka.common.security"

_PROPERTIES = """\
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},\
SASL_SSL://127.0.0.1:SASL_SSL_PORT,MUTUAL://127.0.0.1:MUTUAL_PORT,\
SASL_PLAINTEXT://127.0.0.1:SASL_PLAINTEXT_PORT,EXPIRED://127.0.0.1:EXPIRED_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://localhost:SASL_SSL_PORT,\
MUTUAL://localhost:MUTUAL_PORT,SASL_PLAINTEXT://localhost:SASL_PLAINTEXT_PORT,\
EXPIRED://localhost:EXPIRED_PORT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,\
MUTUAL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,EXPIRED:SSL
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=JAAS.scram.ScramLoginModule required;
listener.name.sasl_ssl.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=JAAS.scram.ScramLoginModule required;
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=JAAS.scram.ScramLoginModule required;
listener.name.sasl_plaintext.plain.sasl.jaas.config=JAAS.plain.PlainLoginModule required \
user_simple="simple-password";
ssl.keystore.type=PEM
ssl.keystore.location=KEYS/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=KEYS/ca.pem
listener.name.mutual.ssl.client.auth=required
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location=KEYS/expired.pem
listener.name.expired.ssl.truststore.type=PEM
listener.name.expired.ssl.truststore.location=KEYS/ca.pem
"""


class SecureKafka:
    """One broker, its users and its certificates (all of them for ``localhost`` alone)."""

    def __init__(self, home: Path, folder: Path) -> None:
        self._home, self._folder = home, folder
        self.keys = folder / "keys"
        self.keys.mkdir()
        names = ("SASL_SSL", "MUTUAL", "SASL_PLAINTEXT", "EXPIRED")
        self._ports = {name: free_port() for name in names}
        self._make_keys()
        self.plaintext = ""
        self._broker: Child | None = None

    def address(self, listener: str, host: str = "localhost") -> str:
        return self.plaintext if listener == "PLAINTEXT" else f"{host}:{self._ports[listener]}"

    def security(self, password: str = PASSWORD) -> Security:
        """Of the listener SASL_SSL."""
        return Security("SASL_SSL", username=USER, password=password, ca_file=self.keys / "ca.pem")

    def env(self, protocol: str = "SASL_SSL", **more: str) -> dict[str, str]:
        """The settings of a process; an empty value leaves a setting out."""
        given = {"protocol": protocol, "username": USER, "password": PASSWORD} | more
        given.setdefault("ca_file", str(self.keys / "ca.pem"))
        return {
            f"TIDEMARK_KAFKA__SECURITY__{name.upper()}": value
            for name, value in given.items()
            if value
        }

    def start(self) -> None:
        lines = _PROPERTIES.replace("JAAS", _JAAS).replace("KEYS", str(self.keys))
        for name in sorted(self._ports, key=len, reverse=True):
            lines = lines.replace(f"{name}_PORT", str(self._ports[name]))
        broker = start_kafka(self._home, self._folder, properties=lines)
        self.plaintext = broker.bootstrap
        self._broker = broker
        # It listens before it answers, which takes long on a busy machine.
        wait_until(lambda: _answers(broker.bootstrap), check=broker.check)

    def stop(self) -> None:
        assert self._broker is not None
        self._broker.stop()

    def set_password(self, password: str) -> None:
        """Returns when it is in force; connections that are there stay."""
        admin = KafkaAdminClient(bootstrap_servers=self.plaintext)
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            wanted = UserScramCredentialUpsertion(USER, mechanism, password)
            assert admin.alter_user_scram_credentials([wanted]) == {USER: None}
        admin.close()
        wait_until(lambda: self._admits(self.security(password)))

    def _admits(self, security: Security) -> bool:
        try:
            require_access(self.address("SASL_SSL"), security)
        except AccessRefusedError:
            return False
        return True

    def _make_keys(self) -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        authority.cert_pem.write_to_path(str(self.keys / "ca.pem"))
        stranger.cert_pem.write_to_path(str(self.keys / "other-ca.pem"))
        yesterday = datetime.now(UTC) - timedelta(days=1)
        certificates = {
            "broker": authority.issue_cert("localhost"),
            "expired": authority.issue_cert(
                "localhost", not_before=yesterday - timedelta(days=1), not_after=yesterday
            ),
            "client": authority.issue_cert("worker.example"),
            "stranger": stranger.issue_cert("worker.example"),
            "late-client": authority.issue_cert(
                "worker.example", not_before=yesterday - timedelta(days=1), not_after=yesterday
            ),
        }
        for name, certificate in certificates.items():
            key = load_pem_private_key(certificate.private_key_pem.bytes(), password=None)
            chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
            # Kafka reads keys in PKCS#8 alone.
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain
            (self.keys / f"{name}.pem").write_bytes(pem)
            (self.keys / f"{name}.pem").chmod(0o600)


def _answers(address: str) -> bool:
    try:
        require_access(address)
    except BrokerUnavailableError:
        return False
    return True


@contextmanager
def secure_kafka(home: Path, folder: Path) -> Iterator[SecureKafka]:
    """Running; stopped in the end."""
    kafka = SecureKafka(home, folder)
    kafka.start()
    try:
        kafka.set_password(PASSWORD)
        yield kafka
    finally:
        kafka.stop()
