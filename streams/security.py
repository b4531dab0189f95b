"""How a connection to the brokers is kept private, and who connects: TLS and SASL."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 # a field's type, read at run time by documentation tools
from typing import Any, Literal

from streams.errors import SecurityError

__all__ = ["PLAINTEXT", "Mechanism", "Protocol", "Security"]

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True, slots=True)
class Security:
    """One listener's protocol, and what a client shows to be let in. The names are Kafka's.

    What the protocol does not use is ignored: SSL needs no user, PLAINTEXT nothing at all.

    Attributes:
        protocol: of the brokers' listener.
        mechanism: of SASL.
        username: of SASL.
        password: of SASL; in no repr.
        ca_file: PEM certificates to trust; the system's where there is none.
        cert_file: PEM certificate (and its chain) of this client, where brokers ask for one.
        key_file: its private key, PEM, not encrypted; where it is not in ``cert_file``.
        check_hostname: whether a broker's certificate must name the host connected to.

    Raises:
        SecurityError: something that the protocol needs is missing; says what.
    """

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    check_hostname: bool = True

    def __post_init__(self) -> None:
        if self.sasl:
            for name in ("username", "password"):
                if not getattr(self, name):
                    raise SecurityError(f"{self.protocol} needs a {name}")
        if self.tls:
            if self.key_file is not None and self.cert_file is None:
                raise SecurityError("key_file is given without cert_file; a key is of no use alone")
            for name in ("ca_file", "cert_file", "key_file"):
                path = getattr(self, name)
                if path is not None and not path.is_file():
                    raise SecurityError(f"{name} is {str(path)!r}; there is no such file")

    @property
    def sasl(self) -> bool:
        """Whether a user name and password are shown."""
        return self.protocol.startswith("SASL_")

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.protocol.endswith("SSL")

    def ssl_context(self) -> ssl.SSLContext | None:
        """What is trusted and shown; None without TLS. Certificates are always verified.

        Raises:
            SecurityError: a file is not what it should be.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:  # SSLError is one
            raise SecurityError(
                f"ca_file {self.ca_file} cannot be used: {_reason(error)}; "
                "expected certificates in PEM"
            ) from error
        context.check_hostname = self.check_hostname
        if self.cert_file is not None:
            try:
                # Without a password here, OpenSSL would ask for one on the terminal.
                context.load_cert_chain(self.cert_file, self.key_file, password="")
            except OSError as error:
                raise SecurityError(
                    f"cert_file {self.cert_file} cannot be used with key_file "
                    f"{self.key_file or self.cert_file}: {_reason(error)}; expected a certificate "
                    "and its private key in PEM, the key not encrypted"
                ) from error
        return context

    def for_aiokafka(self) -> dict[str, Any]:
        """Keywords of aiokafka's clients. Raises as `ssl_context` does."""
        return self._options(self.username)

    def for_kafka_python(self) -> dict[str, Any]:
        """Keywords of kafka-python's clients. Raises as `ssl_context` does."""
        # It leaves out what RFC 5802 section 5.1 asks for: "," and "=" of a name are escaped.
        name = self.username
        if name is not None and self.mechanism != "PLAIN":
            name = name.replace("=", "=3D").replace(",", "=2C")
        return self._options(name)

    def _options(self, username: str | None) -> dict[str, Any]:
        options: dict[str, Any] = {"security_protocol": self.protocol}
        if self.tls:
            options["ssl_context"] = self.ssl_context()
        if self.sasl:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": username,
                "sasl_plain_password": self.password,
            }
        return options


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return reason.lower().replace("_", " ") if reason else error.strerror or str(error)


#: Nothing encrypted, nobody asked.
PLAINTEXT = Security()
