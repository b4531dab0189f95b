"""The workers' metrics, asked over HTTP: whoever does not answer is down, and says why."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from store.dashboard.exposition import look_at_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.dashboard.figures import Look

__all__ = ["Target", "Targets"]

_MOST_BYTES = 4 * 1024 * 1024
#: That are asked at once.
_AT_ONCE = 32


@dataclass(slots=True)
class Target:
    """A worker's metrics, as known now.

    Attributes:
        name: ``host:port``; of a host with several addresses, the address.
        look: the last one; None before the first.
        trouble: why it does not answer; None while it does.
        cost: seconds of CPU that its last answer took to read.
    """

    name: str
    look: Look | None = None
    trouble: str | None = "it was not asked yet"
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class _Place:
    """One process: the URL with its address, and what the name was."""

    url: str
    host: str
    name: str


class Targets:
    """All that is configured.

    Args:
        urls: ``http://host:port`` of workers; a host with several addresses is several workers.
        timeout: seconds after which a worker that has not answered counts as down.
    """

    def __init__(self, urls: Sequence[str], *, timeout: float = 3.0) -> None:
        self._urls = tuple(urls)
        self._timeout = timeout
        self._http: httpx.AsyncClient | None = None
        self._asking: dict[_Place, asyncio.Task[None]] = {}
        self._known: dict[_Place, Target] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    @property
    def configured(self) -> bool:
        """Whether there is anyone to ask."""
        return bool(self._urls)

    async def ask(self, within: float) -> list[Target]:
        """All workers, by name; who has not answered ``within`` seconds as known from before."""
        if not self._urls:
            return []
        self._http = self._http or httpx.AsyncClient(timeout=self._timeout, trust_env=False)
        found: dict[_Place, Target] = {}
        for places, trouble in await asyncio.gather(*map(self._resolved, self._urls)):
            for place in places:
                found[place] = self._known.get(place) or Target(place.name)
                if trouble is not None:
                    found[place].trouble = trouble
        self._known = found
        for place, target in found.items():
            if place.url and place not in self._asking:
                task = asyncio.create_task(self._ask(place, target), name="tidemark-scrape")
                self._asking[place] = task
                task.add_done_callback(partial(self._asked, place))
        if self._asking:
            await asyncio.wait(self._asking.values(), timeout=within)
        return sorted(found.values(), key=lambda one: one.name)

    def _asked(self, place: _Place, _: asyncio.Task[None]) -> None:
        self._asking.pop(place, None)

    async def close(self) -> None:
        """Ask no more."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _resolved(self, url: str) -> tuple[list[_Place], str | None]:
        """The processes behind a URL: one for each address of its host."""
        parts = urlsplit(url)
        try:
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            return [_Place("", url, parts.netloc)], f"{url} cannot be asked: {error}"
        port = port or (443 if parts.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                answers = await loop.getaddrinfo(host, port, type=1)  # SOCK_STREAM
        except (OSError, UnicodeError, TimeoutError) as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            named = f"{host}:{port}"
            return [_Place("", host, named)], f"the host name cannot be resolved: {reason}"
        # A process that listens on two families is one.
        first = answers[0][0]
        addresses = list(dict.fromkeys(str(one[4][0]) for one in answers if one[0] == first))
        path = parts.path.rstrip("/") + "/metrics"
        places = []
        for address in addresses:
            shown = f"[{address}]" if ":" in address else address
            name = f"{host}:{port}" if len(addresses) == 1 else f"{shown}:{port}"
            places.append(_Place(f"{parts.scheme}://{shown}:{port}{path}", parts.netloc, name))
        return places, None

    async def _ask(self, place: _Place, target: Target) -> None:
        try:
            async with self._places, asyncio.timeout(self._timeout):
                text = await self._read(place)
                target.look, target.cost = await asyncio.to_thread(_parsed, text)
        except TimeoutError:
            target.trouble = f"no answer within {self._timeout:g} s"
        except httpx.TimeoutException:
            target.trouble = f"no answer within {self._timeout:g} s"
        except httpx.HTTPError as error:
            target.trouble = f"no connection: {error}" if str(error) else "the connection broke"
        except _AnswerError as error:
            target.trouble = str(error)
        except ValueError as error:
            target.trouble = f"what it serves is not Prometheus' text format: {error}"
        else:
            target.trouble = None

    async def _read(self, place: _Place) -> str:
        assert self._http is not None  # noqa: S101 # made by ask()
        hostname = urlsplit(f"//{place.host}").hostname or ""
        request = self._http.build_request(
            "GET",
            place.url,
            headers={"host": place.host, "accept": "text/plain"},
            # the certificate is the name's, not the address's
            extensions={"sni_hostname": hostname},
        )
        answer = await self._http.send(request, stream=True)
        try:
            if answer.status_code != httpx.codes.OK:
                raise _AnswerError(
                    f"it answers with HTTP status {answer.status_code}; expected 200"
                )
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise _AnswerError(f"its metrics are over {_MOST_BYTES >> 20} MiB")
        finally:
            await answer.aclose()
        return body.decode(errors="replace")


class _AnswerError(Exception):
    """What came is no metrics."""


def _parsed(text: str) -> tuple[Look, float]:
    begun = time.thread_time()
    look = look_at_text(text, time.monotonic())
    return look, time.thread_time() - begun
