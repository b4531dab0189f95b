"""Whether the brokers answer and let us in: a quick answer, in words.

The Kafka clients try again for a long time, tell only their log, and name no cause.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from streams.errors import (
    AccessRefusedError,
    BrokerUnavailableError,
    BrokerUnsupportedError,
    StreamsError,
)
from streams.security import PLAINTEXT

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from streams.security import Security

__all__ = ["CONNECT_SECONDS", "require_access"]

#: How long a command waits for a broker before it says that there is none.
CONNECT_SECONDS = 8.0

#: TLS says goodbye, and some brokers do not answer that.
_CLOSE_SECONDS = 1.0

#: The versions of Kafka 2.1, the first ones that carry zstd: a producer may use it at any time.
_NEEDED = {0: ("Produce", 7), 1: ("Fetch", 10)}

# OpenSSL's X509_V_ERR_…
_EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 10, 62, 64


def require_access(bootstrap: str, security: Security = PLAINTEXT) -> None:
    """Connect to one of the addresses as the clients would, authenticate, ask, and hang up.

    May be called with or without a running event loop; blocks for seconds at most.

    Args:
        bootstrap: ``host:port``, separated by commas.
        security: of the connections.

    Raises:
        BrokerUnavailableError: none answers; says why, for each.
        AccessRefusedError: none lets us in, and one refuses for good: a retry does not help.
        BrokerUnsupportedError: one answers that is too old.
        SecurityError: the certificates or keys cannot be read.
    """
    context = security.ssl_context()
    errors: list[StreamsError] = []
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            _require_listener(address, host, port)
            with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop
                thread.submit(
                    asyncio.run, _converse(address, host, int(port), security, context)
                ).result()
        except StreamsError as error:
            errors.append(error)
        else:
            return
    # What a retry does not mend says more.
    worst = next((error for error in errors if not error.retriable), errors[0])
    if not worst.retriable:
        raise worst
    raise BrokerUnavailableError(
        f"no Kafka broker answers ({'; '.join(map(str, errors))}); is it running, and is the "
        "address right? Name another with --bootstrap or TIDEMARK_KAFKA__BOOTSTRAP"
    )


def _require_listener(address: str, host: str, port: str) -> None:
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BrokerUnavailableError(f"{address}: {reason}") from error


async def _converse(
    address: str, host: str, port: int, security: Security, context: ssl.SSLContext | None
) -> None:
    """Connect, authenticate, and ask for the brokers: what every client does first."""
    # Not loaded by who only imports a publisher.
    from aiokafka.conn import AIOKafkaConnection  # noqa: PLC0415
    from aiokafka.errors import KafkaError  # noqa: PLC0415
    from aiokafka.protocol.metadata import MetadataRequest  # noqa: PLC0415

    options = security.for_aiokafka() | {"ssl_context": context}
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = AIOKafkaConnection(
                host, port, request_timeout_ms=int(CONNECT_SECONDS * 1000), **options
            )
            try:
                await connection.connect()
                _require_versions(address, connection._versions)  # noqa: SLF001
                await _ask(address, security, connection.send(MetadataRequest([])))
            finally:
                await _close(connection)
    except (KafkaError, OSError, ValueError) as error:  # a timeout is an OSError
        raise _in_words(address, security, error) from error


async def _close(connection: Any) -> None:
    closed = connection.close()
    if connection._protocol is not None:  # noqa: SLF001 # else there never was a connection
        # The event loop ends next; a socket still open then is left to the garbage collector.
        await asyncio.wait([closed], timeout=_CLOSE_SECONDS)


async def _ask(address: str, security: Security, answer: Awaitable[object]) -> None:
    from aiokafka.errors import KafkaConnectionError  # noqa: PLC0415 # as above

    try:
        await answer
    except KafkaConnectionError as error:
        if security.sasl:
            raise
        # A listener that wants SASL tells its versions to anyone, and no more.
        wanted = "SASL_SSL" if security.tls else "SASL_PLAINTEXT"
        raise BrokerUnavailableError(
            f"{address}: the broker hung up on a client without a user; if this port asks for one, "
            f"set kafka.security.protocol to {wanted}, and username and password"
        ) from error


def _require_versions(address: str, versions: dict[int, tuple[int, int]]) -> None:
    for key, (name, needed) in _NEEDED.items():
        _, newest = versions.get(key, (0, -1))
        if newest < needed:
            raise BrokerUnsupportedError(
                f"the broker at {address} is older than Kafka 2.1, which Tidemark needs (its "
                f"newest {name} request is version {newest}, expected {needed} or later): "
                "upgrade it, or name another with --bootstrap"
            )


def _in_words(address: str, security: Security, error: BaseException) -> StreamsError:
    cause: Any = error
    while cause is not None:
        found = _certificate(address, security, cause) or _sasl(address, security, cause)
        if found is not None:
            return found
        cause = cause.__cause__
    if type(error).__name__ == "IncompatibleBrokerVersion":
        return BrokerUnsupportedError(
            f"the broker at {address} speaks no version of a request that Tidemark needs: {error}"
        )
    if isinstance(error, TimeoutError):
        silent = "" if security.tls else "; it may expect TLS"
        return BrokerUnavailableError(
            f"{address}: no answer within {CONNECT_SECONDS:.0f} s{silent}"
        )
    if security.tls and isinstance(error, OSError):
        return BrokerUnavailableError(
            f"{address}: the TLS handshake failed ({_reason(error)}); if this port speaks no TLS, "
            "set kafka.security.protocol to PLAINTEXT or SASL_PLAINTEXT"
        )
    other = "" if security.tls else "expect TLS (kafka.security.protocol), or "
    return BrokerUnavailableError(
        f"{address}: the connection was closed without an answer to {security.protocol}; "
        f"the port may {other}speak no Kafka, or one older than 0.10"
    )


def _certificate(
    address: str, security: Security, error: BaseException
) -> AccessRefusedError | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = {
            _EXPIRED: "it must be renewed",
            _OTHER_HOST: "connect by a name that it has, or set kafka.security.check_hostname to "
            "false",
            _OTHER_ADDRESS: "connect by a name that it has, or set kafka.security.check_hostname "
            "to false",
        }.get(error.verify_code, "name the authority that signed it with kafka.security.ca_file")
        return AccessRefusedError(
            f"the certificate of the broker at {address} is not trusted: "
            f"{error.verify_message.rstrip('.')}; {hint}"
        )
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, ssl.SSLError) and "ALERT" in reason:
        shown = f"the client certificate {security.cert_file}" if security.cert_file else (
            "the connection: it may ask for a client certificate, and none is given"
        )  # fmt: skip
        return AccessRefusedError(
            f"the broker at {address} refuses {shown} ({_reason(error)}); "
            "set kafka.security.cert_file and key_file to a certificate that it trusts"
        )
    return None


def _sasl(address: str, security: Security, error: BaseException) -> AccessRefusedError | None:
    from aiokafka import errors  # noqa: PLC0415 # as above

    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return AccessRefusedError(
            f"the broker at {address} does not take {security.mechanism}; "
            "set kafka.security.mechanism to one that it is configured for"
        )
    if isinstance(error, errors.IllegalSaslStateError):
        plain = "SSL" if security.tls else "PLAINTEXT"
        return AccessRefusedError(
            f"the broker at {address} asks for no user at this port; "
            f"set kafka.security.protocol to {plain}, or name its SASL port"
        )
    if isinstance(error, errors.SaslAuthenticationFailed):
        return AccessRefusedError(
            f"the broker at {address} refuses user {security.username!r} by {security.mechanism}: "
            "the user is unknown or the password is wrong; "
            "see kafka.security.username, password and mechanism"
        )
    return None


def _reason(error: BaseException) -> str:
    """OpenSSL's or the system's words, without their place in the C code."""
    if isinstance(error, ConnectionResetError | ssl.SSLEOFError):
        return "the connection was closed"
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or str(error) or type(error).__name__).lower().replace("_", " ")
