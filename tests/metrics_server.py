"""A process' metrics on a port of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server


@contextmanager
def metrics_server(registry: CollectorRegistry, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve a registry as a worker does; the address."""
    server, thread = start_http_server(0, host, registry)
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)
