"""Asks the workers and the retrieval service, all at once."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import httpx

from store.dashboard.exposition import look_at_text
from tidemark.cli.top.figures import Seen
from tidemark.client import RetrievalClient, open_client
from tidemark.errors import RetrievalError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from store.dashboard.figures import Look
    from tidemark.settings import Settings

__all__ = ["Scraper", "addresses_of"]

_ANSWER_SECONDS = 3.0


class Scraper:
    """Looks at every process, and remembers the look before.

    Args:
        settings: say where the retrieval service is, and the token for it.
        workers: their addresses; a name with several addresses means each of them.
    """

    def __init__(self, settings: Settings, workers: Sequence[str]) -> None:
        self._workers = workers
        self._service = open_client(settings, timeout=_ANSWER_SECONDS)
        self._plain = httpx.Client(timeout=_ANSWER_SECONDS)
        self._before: dict[str, Look] = {}
        self._threads = ThreadPoolExecutor(8)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()
        self._plain.close()
        self._service.close()

    def look(self) -> tuple[list[Seen], Seen]:
        """The workers, and the retrieval service."""
        service = self._threads.submit(self._look_at_service)
        urls = [url for one in self._workers for url in addresses_of(one)]
        workers = list(self._threads.map(self._look_at_worker, urls))
        return workers, service.result()

    def _look_at_worker(self, url: str) -> Seen:
        return self._seen(url, self._plain, f"{url.rstrip('/')}/metrics")

    def _look_at_service(self) -> Seen:
        url = str(self._service.base_url).rstrip("/")
        seen = self._seen(url, self._service, "/metrics")
        if seen.now is None:
            return seen
        try:
            status = RetrievalClient(self._service).get("/v1/status", scope="admin")
        except RetrievalError as error:
            return Seen(url, seen.before, seen.now, str(error))
        return Seen(url, seen.before, seen.now, "", status)

    def _seen(self, url: str, http: httpx.Client, path: str) -> Seen:
        before = self._before.get(url)
        try:
            answer = http.get(path)
            if answer.status_code in {401, 403}:
                return Seen(url, before, error="it wants TIDEMARK_CLIENT__TOKEN, scope admin")
            now = look_at_text(answer.raise_for_status().text, time.monotonic())
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return Seen(url, before, error=str(error) or type(error).__name__)
        self._before[url] = now
        return Seen(url, before, now)


def addresses_of(url: str) -> list[str]:
    """One URL for each address of a plain-HTTP URL's name; itself where it has not several."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        _ = parts.port
    except ValueError:
        return [url]  # asking it says what is wrong
    if parts.scheme != "http":
        return [url]  # a certificate names the host, not its addresses
    try:
        found = socket.getaddrinfo(host, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError:
        return [url]
    hosts = sorted({str(one[4][0]) for one in found})
    families = {one[0] for one in found}
    if len(hosts) < 2 or host == "localhost" or len(families) == len(hosts):  # noqa: PLR2004
        return [url]  # one machine, by one protocol or by both
    named = [f"[{one}]" if ":" in one else one for one in hosts]
    return [
        urlunsplit(parts._replace(netloc=f"{one}:{parts.port}" if parts.port else one))
        for one in named
    ]
