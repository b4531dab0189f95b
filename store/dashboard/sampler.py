"""The one who looks: at the workers and at this service, now and then, for all who watch."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from store.dashboard.exposition import look_at_registry
from store.dashboard.history import History
from store.dashboard.looks import Looks
from store.dashboard.panels import (
    absent,
    device_rows,
    index_rows,
    lag_rows,
    service_values,
    worker_figures,
    worker_values,
)
from store.dashboard.promises import RANKINGS, Promises

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import CollectorRegistry

    from store.dashboard.figures import Look, Window
    from store.dashboard.targets import Target, Targets
    from store.generations import Generations

__all__ = ["Frame", "Sampler"]

logger = logging.getLogger(__name__)

#: Of this service, among the processes looked at.
_OWN = "retrieval"
#: Seconds of the windows: of rates, and of quantiles.
_FAST_S, _SLOW_S = 5.0, 20.0
#: While nobody watches a look is for the history alone.
_UNWATCHED_S = 5.0
#: The share of one core that looking may take, watched and not; where it costs more it is rarer.
_WATCHED_SHARE, _UNWATCHED_SHARE = 0.05, 0.01
_RETRY_S = 5.0


class Frame(NamedTuple):
    """What the page shows at one moment: ``data`` is JSON, numbered from 1 on."""

    number: int
    data: bytes


class Sampler:
    """Makes a frame every so often and keeps the history.

    Args:
        registry: this service's metrics.
        generations: what it serves.
        targets: the workers.
        refresh_seconds: between two frames while someone watches.
        now_ms: wall clock, ms since the epoch.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        generations: Generations,
        targets: Targets,
        *,
        refresh_seconds: float = 1.0,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._registry = registry
        self._generations = generations
        self._targets = targets
        self._refresh = refresh_seconds
        self._now_ms = now_ms
        self._looks, self._promises = Looks(), Promises()
        self._history = History()
        self._latest = Frame(0, b"")
        self._arrived = asyncio.Event()
        self._watched = asyncio.Event()
        self._watchers = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def watchers(self) -> int:
        """Who watches now."""
        return self._watchers

    def start(self) -> None:
        """Begin to look; in a running loop."""
        self._task = asyncio.create_task(self._run(), name="tidemark-dashboard")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._targets.close()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Someone watches within this context: frames come as often as set."""
        self._watchers += 1
        self._watched.set()
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._watched.clear()

    async def after(self, number: int) -> Frame:
        """The latest frame, once there is one with a higher number."""
        while self._latest.number <= number:
            await self._arrived.wait()
        return self._latest

    def history(self) -> dict[str, list[float | None]]:
        """The series of the last while, as `History.columns`."""
        return self._history.columns()

    async def _run(self) -> None:
        while True:
            try:
                cost = await self._sample()
            except Exception:
                logger.exception("the dashboard's figures could not be taken")
                await asyncio.sleep(_RETRY_S)
                continue
            await self._pause(cost)

    async def _pause(self, cost: float) -> None:
        """Until the next look is due, or someone begins to watch."""
        if self._watched.is_set():
            await asyncio.sleep(max(self._refresh, cost / _WATCHED_SHARE))
            return
        try:
            async with asyncio.timeout(max(_UNWATCHED_S, self._refresh, cost / _UNWATCHED_SHARE)):
                await self._watched.wait()
        except TimeoutError:
            return

    async def _sample(self) -> float:
        """Make a frame; the seconds of CPU that it took."""
        targets = await self._targets.ask(0.8 * self._refresh)
        begun = time.thread_time()
        state = self._state()
        looked = time.thread_time() - begun
        own, cost = await asyncio.to_thread(self._own)
        begun = time.thread_time()  # others ran here meanwhile
        values, frame = self._figures(targets, own, state)
        now = self._now_ms()
        self._history.add(now, values)
        self._latest = Frame(
            self._latest.number + 1, msgspec.json.encode({"t": now, "values": values, **frame})
        )
        arrived, self._arrived = self._arrived, asyncio.Event()
        arrived.set()
        return cost + looked + time.thread_time() - begun + sum(target.cost for target in targets)

    def _own(self) -> tuple[Look, float]:
        """This service's look; not in the loop, since some metrics ask the system."""
        begun = time.thread_time()
        look = look_at_registry(self._registry, time.monotonic())
        return look, time.thread_time() - begun

    def _figures(
        self, targets: list[Target], own: Look, state: dict[str, Any]
    ) -> tuple[dict[str, float | None], dict[str, Any]]:
        self._looks.keep({_OWN, *(target.name for target in targets)})
        self._looks.add(_OWN, own)
        for target in targets:
            if target.look is not None and target.trouble is None:
                self._looks.add(target.name, target.look)
        up = {target.name for target in targets if target.trouble is None}
        fast, slow = (self._looks.window(seconds) for seconds in (_FAST_S, _SLOW_S))
        working, mine = fast.among(up), fast.among({_OWN})
        values = {
            **worker_values(working, slow.among(up)),
            **service_values(mine, slow.among({_OWN})),
            "index.items": state["items"],
            "index.profiles": state["profiles"],
            "follower.lag": state["lag"],
        }
        promises = self._promises.add(own.at, mine)
        quality = promises["quality"]
        for ranking in RANKINGS:
            values[f"quality.{ranking}"] = quality["window"][ranking] if quality else None
        return values, {
            "service": state,
            "workers": [_row(target, working) for target in targets],
            "workers_configured": self._targets.configured,
            "lag": lag_rows(working),
            "devices": device_rows(working),
            "types": working.rates("tidemark_actions_total", "type"),
            "letters": working.totals("tidemark_dead_letters_total", "reason"),
            "indexes": index_rows(mine, slow.among({_OWN}), state["kinds"]),
            "absent": absent(working, mine),
            **promises,
        }

    def _state(self) -> dict[str, Any]:
        """What is served, read as the probes read it: not in the owner thread."""
        generations = self._generations
        serving, upcoming = generations.serving, generations.upcoming
        ready, health = serving.follower.ready(), serving.follower.health()
        return {
            "ready": ready.ok,
            "healthy": health.ok,
            "reason": ready.reason or health.reason,
            "generation": serving.name,
            "encoder_id": serving.view.encoder_id,
            "kinds": serving.view.kinds,
            "profiles": serving.view.profile_count,
            "items": serving.view.item_count,
            "lag": serving.follower.lag,
            "upcoming": None
            if upcoming is None
            else {
                "generation": upcoming.name,
                "encoder_id": upcoming.view.encoder_id,
                "waiting_for": generations.waiting_for,
                "lag": upcoming.follower.lag,
                "profiles": upcoming.view.profile_count,
                "items": upcoming.view.item_count,
            },
        }


def _row(target: Target, working: Window) -> dict[str, Any]:
    """Of a worker that is down nothing is said but why."""
    if target.trouble is not None:
        return {"name": target.name, "up": False, "reason": target.trouble}
    return {
        "name": target.name,
        "up": True,
        "reason": None,
        **worker_figures(working, target.name),
    }
