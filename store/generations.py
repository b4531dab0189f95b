"""Generations: all that answers from one worker's profiles and items, and the change to the next.

Vectors of two encoders do not compare, nor profiles of two policies, so a change of these is a
generation of its own: another worker reads the actions from their beginning and writes topics of
its own, and here they are followed beside the generation that answers. Once the next has all that
there is, it answers, from one request to the next; a request is answered by one generation from
its beginning to its end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Executor

    from store.follower import Follower
    from store.receipt import ForgetReceipt
    from store.sensor import SwitchedSensor
    from store.view import RetrievalView

__all__ = ["Encode", "Generation", "Generations", "Progress"]

logger = logging.getLogger(__name__)

#: A text's unit vector, ``(dim,) float32``.
Encode = Callable[[str], Awaitable[NDArray[np.float32]]]

#: What there was so long ago has all been read: caught up. A worker commits every few seconds.
_RECENT_S = 15.0
_CHECK_S = 1.0
#: For what was changed from to be closed, when the service ends meanwhile.
_LET_GO_S = 10.0
#: Of the profiles and items that are served the next generation is to have so many.
_ENOUGH = 0.9
#: After an error.
_RETRY_S = 5.0


@dataclass(frozen=True, eq=False)
class Generation:
    """What answers from the vectors of one encoder, folded by one policy.

    Attributes:
        name: of the topic that its profiles are in.
        view: what is asked.
        follower: keeps it up to date.
        owner: where it is asked: the `questions` of the `store.owner.IndexOwner` that the follower
            applies in.
        encode: of its encoder.
        sensor: of view and follower; on while it answers.
        close: blocks; lets go of all of it, once the follower is stopped.
    """

    name: str
    view: RetrievalView
    follower: Follower
    owner: Executor
    encode: Encode
    sensor: SwitchedSensor
    close: Callable[[], None]


class Progress(Protocol):
    """How far the next generation's worker has come (`streams.progress`); every call blocks."""

    def goal(self) -> Mapping[tuple[str, int], int]:
        """Where the topics that it reads end now."""
        ...

    def unread(self, goal: Mapping[tuple[str, int], int]) -> int:
        """Records before the goal whose effects are not all published."""
        ...

    def published(self) -> Mapping[tuple[str, int], int]:
        """Where the topics that it writes end now."""
        ...


class Generations:
    """The generation that answers, and perhaps the next one.

    Args:
        serving: answers now.
        upcoming: is to answer once it has caught up.
        progress: of its worker; needed with it.
        sleep: waits a number of seconds.
        clock: seconds, from any beginning.
    """

    def __init__(
        self,
        serving: Generation,
        upcoming: Generation | None = None,
        progress: Progress | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if (upcoming is None) != (progress is None):
            raise ValueError("expected both or none of upcoming and progress")
        self.serving = serving
        self.upcoming = upcoming
        #: Why the next does not answer yet.
        self.waiting_for = "it was just begun"
        #: How often the next has taken over.
        self.swaps = 0
        self._progress = progress
        self._sleep = sleep
        self._clock = clock
        self._changing: asyncio.Task[None] | None = None
        self._held: Counter[Generation] = Counter()
        self._released = asyncio.Event()
        self._open = [one for one in (serving, upcoming) if one is not None]

    async def start(self) -> None:
        """Follow the topics of both. Raises what `Follower.start` raises, with none started."""
        try:
            for one in self._open:
                await one.follower.start()
        except BaseException:
            await self.stop()
            raise
        if self.upcoming is not None:
            self._changing = asyncio.create_task(self._change(), name="tidemark-generations")

    async def stop(self) -> None:
        """Stop following."""
        if self._changing is not None:
            if self.upcoming is None:  # what is being let go is let go whole
                await asyncio.wait([self._changing], timeout=_LET_GO_S)
            self._changing.cancel()
            with suppress(asyncio.CancelledError):
                await self._changing
        for one in self._open:
            await one.follower.stop()

    def close(self) -> None:
        """Let go of all that is held; blocks. After `stop`."""
        while self._open:
            self._open.pop().close()

    @contextmanager
    def held(self) -> Iterator[Generation]:
        """The generation that answers, which stays whole until this context is left."""
        generation = self.serving
        self._held[generation] += 1
        try:
            yield generation
        finally:
            self._held[generation] -= 1
            self._released.set()

    async def wait_forgotten(self, receipt: ForgetReceipt, within: float) -> bool:
        """Wait until nothing that is asked tells of the user any more; whether it came in time."""
        ends = self._clock() + within
        while True:
            with self.held() as generation:
                gone = await generation.follower.wait_forgotten(
                    receipt.user_id, receipt.topic, receipt.partition, receipt.offset,
                    within=max(0.0, ends - self._clock()),
                )  # fmt: skip
            if generation is self.serving:
                return gone

    async def _change(self) -> None:
        """Wait until the next has caught up, have it answer, and let go of the one before."""
        upcoming = self.upcoming
        assert upcoming is not None  # noqa: S101 # or there is no such task
        while not await self._caught_up(upcoming):
            pass
        old, self.serving, self.upcoming = self.serving, upcoming, None
        self.swaps += 1
        old.sensor.on, upcoming.sensor.on = False, True
        logger.info(
            "the next generation answers from now on: %s; before it: %s",
            upcoming.name, old.name,
        )  # fmt: skip
        try:
            await _in_owner(upcoming, upcoming.view.begin_serving)
            await self._let_go(old)
        except Exception:
            logger.exception("the generation before could not be let go: %s", old.name)
        else:
            logger.info("the generation before was let go: %s", old.name)

    async def _let_go(self, old: Generation) -> None:
        """Once no request holds it."""
        await old.follower.stop()
        while self._held[old]:
            self._released.clear()
            await self._released.wait()
        self._open.remove(old)
        await asyncio.to_thread(old.close)

    async def _caught_up(self, upcoming: Generation) -> bool:
        """Whether it has all that there was a moment ago; if not, `waiting_for` says why."""
        told = self.waiting_for
        try:
            reason = await self._what_is_missing(upcoming)
        except Exception as error:
            # The brokers' errors say what is wrong; another is a defect. Neither ends the service.
            reason = f"the brokers cannot be asked how far its worker is: {error}"
            logger.warning("%s", reason, exc_info=not hasattr(error, "retriable"))
            self.waiting_for = reason
            await self._sleep(_RETRY_S)
            return False
        if reason is None:
            return True
        if reason != told:
            logger.info("the next generation does not answer yet: %s", reason)
        self.waiting_for = reason
        await self._sleep(_CHECK_S)
        return False

    async def _what_is_missing(self, upcoming: Generation) -> str | None:
        progress = self._progress
        assert progress is not None  # noqa: S101 # comes with the generation
        begun = self._clock()
        goal = await asyncio.to_thread(progress.goal)
        # Its worker commits now and then: it has read what there was, not what there is.
        while unread := await asyncio.to_thread(progress.unread, goal):
            self.waiting_for = f"its worker has {unread:,} actions and items to read"
            if self._clock() - begun > _RECENT_S:
                return self.waiting_for
            await self._sleep(_CHECK_S)
        published = await asyncio.to_thread(progress.published)
        while not _has_read(upcoming.follower.positions, published):
            if self._clock() - begun > _RECENT_S:
                return upcoming.follower.ready().reason or "its profiles are being read"
            await self._sleep(_CHECK_S / 10)
        ready = upcoming.follower.ready()
        if not ready.ok:
            return ready.reason
        if lost := await self._what_would_be_lost(upcoming):
            return lost
        # All before the goal was read by both. Of what came after it, who was forgotten counts.
        forgotten = await _in_owner(self.serving, _forgotten_from, self.serving.view, goal)
        known = await _in_owner(upcoming, _still_known, upcoming.view, forgotten)
        return f"{known:,} users are to be forgotten there too" if known else None

    async def _what_would_be_lost(self, upcoming: Generation) -> str | None:
        for what, count in (("profiles", _profiles_of), ("items", _items_of)):
            here = await _in_owner(self.serving, count, self.serving.view)
            there = await _in_owner(upcoming, count, upcoming.view)
            if there < _ENOUGH * here:
                return (
                    f"it has {there:,} {what} where {here:,} are served: the topics no longer hold "
                    "what the others were made of. To have it answer all the same, start the "
                    "service with its settings alone"
                )
        return None


def _profiles_of(view: RetrievalView) -> int:
    return view.profile_count


def _items_of(view: RetrievalView) -> int:
    return view.item_count


async def _in_owner(generation: Generation, work: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(generation.owner, work, *args)


def _forgotten_from(view: RetrievalView, goal: Mapping[tuple[str, int], int]) -> list[Any]:
    return view.forgotten_from(goal)


def _still_known(view: RetrievalView, forgotten: list[Any]) -> int:
    return sum(not view.has_applied(*one) for one in forgotten)


def _has_read(
    positions: Mapping[tuple[str, int], int], published: Mapping[tuple[str, int], int]
) -> bool:
    return all(positions.get(place, 0) >= end for place, end in published.items())
