"""The streams of events to the pages that are open: a bounded number, each for a bounded time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from store.dashboard.events import KEEP_ALIVE, EventStream, event
from store.service.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from store.dashboard.letters import LetterBox
    from store.dashboard.sampler import Sampler

__all__ = ["Streams"]

#: So long after the last stream ended the dead letters are still followed: pages are reloaded.
_REST_S = 30.0


class Streams:
    """Gives every page the same frames.

    Args:
        sampler: makes them.
        letters: the dead letters.
        hello: what a page is told first, beside the history.
        most: streams at once.
        lifetime: seconds after which a stream ends; the page asks for another.
        keep_alive: seconds without a frame after which something is sent all the same.
    """

    def __init__(
        self,
        sampler: Sampler,
        letters: LetterBox,
        hello: dict[str, Any],
        *,
        most: int = 32,
        lifetime: float = 900.0,
        keep_alive: float = 15.0,
    ) -> None:
        self._sampler = sampler
        self._letters = letters
        self._hello = hello
        self._most = most
        self._lifetime = lifetime
        self._keep_alive = keep_alive
        self._open = 0
        self._ending = asyncio.Event()
        self._resting: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        """Streams now."""
        return self._open

    def open_one(self) -> EventStream:
        """Another stream.

        Raises:
            ApiError: 429, there are as many as there may be; 503, the service is stopping.
        """
        if self._ending.is_set():
            raise ApiError(
                503, "stopping", "the service is stopping", "ask again, or another replica"
            )
        if self._open >= self._most:
            raise ApiError(
                429,
                "too_many_requests",
                f"{self._most} pages are watching already",
                "close one, or ask another replica",
                {"Retry-After": "10"},
            )
        # no-transform: a proxy that packs what goes through would hold it back.
        headers = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
        self._open += 1
        return EventStream(self._events(), headers, self._closed)

    def end(self) -> None:
        """All streams end now, and no more begin."""
        self._ending.set()

    async def stop(self) -> None:
        """End, and follow nothing any more."""
        self.end()
        if self._resting is not None:
            self._resting.cancel()
            await asyncio.gather(self._resting, return_exceptions=True)
        await self._letters.rest()

    async def _events(self) -> AsyncGenerator[bytes, None]:
        with self._sampler.watching():
            if self._resting is not None:
                self._resting.cancel()
                self._resting = None
            self._letters.follow()
            async for one in self._watch():
                yield one

    def _closed(self) -> None:
        self._open -= 1
        if not self._open and not self._ending.is_set():
            if self._resting is not None:
                self._resting.cancel()
            self._resting = asyncio.create_task(self._rest(), name="tidemark-letters-rest")

    async def _watch(self) -> AsyncGenerator[bytes, None]:
        ends = time.monotonic() + self._lifetime
        letter, state, frame = 0, None, 0
        yield event("hello", {**self._hello, "history": self._sampler.history()})
        while not self._ending.is_set() and time.monotonic() < ends:
            if (now := self._letters.state()) != state or self._letters.after(letter):
                new = self._letters.after(letter)
                letter, state = (new[-1]["number"] if new else letter), now
                yield event("letters", {**now, "letters": new})
            arriving = asyncio.ensure_future(self._sampler.after(frame))
            ending = asyncio.ensure_future(self._ending.wait())
            try:
                await asyncio.wait(
                    (arriving, ending), timeout=self._keep_alive,
                    return_when=asyncio.FIRST_COMPLETED,
                )  # fmt: skip
                if arriving.done():
                    frame = arriving.result().number
                    yield event("frame", arriving.result().data, frame)
                elif not ending.done():
                    yield KEEP_ALIVE
            finally:
                arriving.cancel()
                ending.cancel()
        yield event("bye", {"reason": "stopping" if self._ending.is_set() else "time"})

    async def _rest(self) -> None:
        await asyncio.sleep(_REST_S)
        if not self._open:
            await self._letters.rest()
