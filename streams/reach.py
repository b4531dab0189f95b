"""Whether anything listens where a broker should be: a quick answer, in words."""

from __future__ import annotations

import socket

from streams.errors import BrokerUnavailableError

__all__ = ["CONNECT_SECONDS", "require_listener"]

#: How long a command waits for a broker before it says that there is none.
CONNECT_SECONDS = 8.0


def require_listener(bootstrap: str) -> None:
    """Connect to one of the addresses, and hang up.

    The Kafka clients try again for a long time and name no cause.

    Args:
        bootstrap: ``host:port``, separated by commas.

    Raises:
        BrokerUnavailableError: none accepts a connection; says why, for each.
    """
    causes = []
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            causes.append(f"{address}: {reason}")
        else:
            return
    raise BrokerUnavailableError(
        f"no Kafka broker answers ({'; '.join(causes)}); is it running, and is the address right? "
        "Name another with --bootstrap or TIDEMARK_KAFKA__BOOTSTRAP"
    )
