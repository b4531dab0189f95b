"""A connection for what is neither read nor written: topics, their ends, groups."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from streams.errors import BrokerUnavailableError
from streams.reach import CONNECT_SECONDS, require_access

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.security import Security

__all__ = ["admin_client"]


@contextmanager
def admin_client(bootstrap: str, security: Security) -> Iterator[Any]:
    """A connected `KafkaAdminClient`, closed in the end.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        security: of the connection.

    Raises:
        BrokerUnavailableError: no broker answers, or it refuses what is asked within.
        AccessRefusedError, BrokerUnsupportedError: see `require_access`.
    """
    require_access(bootstrap, security)
    try:
        client = KafkaAdminClient(
            bootstrap_servers=bootstrap.split(","),
            request_timeout_ms=15_000,
            bootstrap_timeout_ms=int(CONNECT_SECONDS * 1000),
            **security.for_kafka_python(),
        )
    except (KafkaError, ValueError, OSError) as error:
        raise BrokerUnavailableError(
            f"what listens at {bootstrap} does not answer as a Kafka broker: {_why(error)}"
        ) from error
    try:
        yield client
    except KafkaError as error:
        raise BrokerUnavailableError(f"the broker at {bootstrap} refused: {_why(error)}") from error
    finally:
        client.close()


def _why(error: Exception) -> str:
    description = getattr(error, "description", None)  # of kafka-python's coded errors
    return f"{type(error).__name__}: {description}" if description else str(error)
