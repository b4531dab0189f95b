"""``/healthz``, ``/readyz`` and ``/metrics`` of a worker, answered in threads of their own.

Not on the event loop: that it is blocked must be told, too.
"""

from __future__ import annotations

import logging
import socket
import threading
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from prometheus_client import CollectorRegistry

    from streams.health import Condition, Health

__all__ = ["HealthServer"]

logger = logging.getLogger(__name__)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a scrape that hangs does not keep the process


class _Handler(WSGIRequestHandler):
    #: A client that connects and sends nothing is let go.
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base's name
        logger.debug(format, *args)


class HealthServer:
    """Serves while the context lasts.

    Args:
        health: what the answers come from.
        registry: of the metrics.
        host: address to listen on.
        port: 0 takes a free one.
    """

    def __init__(self, health: Health, registry: CollectorRegistry, host: str, port: int) -> None:
        self._health = health
        self._metrics = make_wsgi_app(registry)
        family = _server_of(host)
        self._server = make_server(host, port, self._answer, family, handler_class=_Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health", daemon=True
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: WSGIEnvironment, respond: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        conditions: dict[str, Callable[[], Condition]] = {
            "/healthz": self._health.alive,
            "/readyz": self._health.ready,
        }
        if path == "/metrics":
            scrape: Iterable[bytes] = self._metrics(environ, respond)
            return scrape
        if path in conditions:
            condition = conditions[path]()
            status = "200 OK" if condition.ok else "503 Service Unavailable"
            line = condition.line
        else:
            status, line = "404 Not Found", "there is /healthz, /readyz and /metrics"
        respond(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{line}\n".encode()]


def _server_of(host: str) -> type[WSGIServer]:
    if ":" not in host:
        return _Server
    return type("_Server6", (_Server,), {"address_family": socket.AF_INET6})
