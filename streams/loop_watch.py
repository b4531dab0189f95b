"""Notices an event loop that does not run any more, from a thread of its own."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn, Self

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Beats", "LoopWatch"]

logger = logging.getLogger(__name__)


class Beats:
    """How long a heart has not beaten: a pure state machine.

    Time between two looks counts for one step at most: whoever looks was perhaps stopped himself.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._beaten = True
        self._looked: float | None = None
        self._silent = 0.0

    def beat(self) -> None:
        """The heart beats."""
        self._beaten = True

    def look(self, now: float) -> float:
        """Seconds without a beat, as of the clock's ``now``."""
        passed = 0.0 if self._looked is None else min(now - self._looked, self._step)
        self._looked = now
        self._silent = 0.0 if self._beaten else self._silent + passed
        self._beaten = False
        return self._silent


def _leave() -> NoReturn:
    logging.shutdown()
    os._exit(1)


class LoopWatch:
    """Watches the running event loop while the context lasts.

    A loop that is blocked can neither stop its worker nor say so. Past ``stall_seconds`` the
    stacks of all threads go to stderr and `on_blocked` is told; past ``exit_seconds`` the process
    ends at once: what was not committed is read again.

    Args:
        stall_seconds: a loop silent for so long is unhealthy.
        exit_seconds: and for so long, a reason to end.
        on_blocked: is told why, and None when the loop runs again; called in the thread.
        clock: seconds, monotonic.
        leave: ends the process.
    """

    def __init__(
        self,
        stall_seconds: float,
        exit_seconds: float,
        on_blocked: Callable[[str | None], object],
        clock: Callable[[], float],
        leave: Callable[[], object] = _leave,
    ) -> None:
        self._stall_seconds = stall_seconds
        self._exit_seconds = exit_seconds
        self._on_blocked = on_blocked
        self._clock = clock
        self._leave = leave
        self._interval = min(1.0, stall_seconds / 4)
        self._beats = Beats(2 * self._interval)
        self._ended = threading.Event()
        self._beating: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._watch, name="loop-watch", daemon=True)

    def __enter__(self) -> Self:
        self._beating = asyncio.get_running_loop().create_task(self._beat())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(1.0)  # it may be telling of something, and then ends
        if self._beating is not None:
            self._beating.cancel()

    async def _beat(self) -> None:
        while True:
            self._beats.beat()
            await asyncio.sleep(self._interval / 2)

    def _watch(self) -> None:
        told = False
        while not self._ended.wait(self._interval):
            silent = self._beats.look(self._clock())
            if silent >= self._exit_seconds:
                logger.critical("the event loop has not run for %.0f s; leaving", silent)
                self._leave()
            if silent >= self._stall_seconds:
                self._on_blocked(f"the event loop has not run for {silent:.0f} s")
                if not told:
                    logger.error("the event loop has not run for %.0f s; the stacks:", silent)
                    faulthandler.dump_traceback(sys.stderr, all_threads=True)
                told = True
            elif told:
                self._on_blocked(None)
                logger.warning("the event loop runs again")
                told = False
