"""The worker process: its parts, started in order and stopped in reverse."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Protocol

from aiokafka.errors import KafkaError

from streams.app import run_app
from streams.errors import BrokerUnavailableError, StreamsError
from streams.loop_watch import LoopWatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    import faust

    from streams.catalogue import CatalogueFollower
    from streams.health import Health
    from streams.outbox import KafkaOutbox
    from streams.pipeline import Pipeline
    from streams.snapshots import LocalSnapshots

__all__ = ["Service", "Worker"]

logger = logging.getLogger(__name__)
#: What a stop waits at most for snapshots: they make the next start faster, and that is all.
_SNAPSHOT_SECONDS = 2.0


class Service(Protocol):
    """Something that runs until it is cancelled."""

    async def run(self) -> None: ...  # noqa: D102


class Worker:
    """Runs the Faust app, the pipeline and the catalogue's follower until told to stop.

    Args:
        app: from `build_app`.
        pipeline: what the app's agents feed.
        follower: the catalogue's.
        outbox: the pipeline's.
        services: run beside the pipeline: what watches it, and what saves it.
        snapshots: of its tables; None: none.
        health: is told what goes on.
        stall: the event loop may be silent for so many seconds, before that is told, and before
            the process ends.
        bootstrap: named in errors.
    """

    def __init__(
        self,
        app: faust.App,
        pipeline: Pipeline,
        follower: CatalogueFollower,
        outbox: KafkaOutbox,
        services: Sequence[Service],
        snapshots: LocalSnapshots | None,
        health: Health,
        stall: tuple[float, float],
        bootstrap: str,
    ) -> None:
        self._app = app
        self._pipeline = pipeline
        self._follower = follower
        self._outbox = outbox
        self._services = services
        self._snapshots = snapshots
        self._health = health
        self._stall = stall
        self._bootstrap = bootstrap

    async def run(self, stopping: asyncio.Event) -> None:
        """Return when ``stopping`` is set and what was in flight is published and committed.

        Raises:
            StreamsError, StoreError, EncoderError: it cannot go on; what was not committed is
                read again by the next start.
        """
        with LoopWatch(*self._stall, self._health.on_blocked, time.monotonic):
            await self._run(stopping)

    async def _run(self, stopping: asyncio.Event) -> None:
        try:
            await self._outbox.start()
        except KafkaError as error:
            # Checked moments ago, when the topics were; so it has just gone.
            raise BrokerUnavailableError(
                f"no Kafka broker answers at {self._bootstrap}: {error}"
            ) from error
        try:
            self._health.on_phase("reading the catalogue")
            await self._follower.start()
            self._health.on_phase("joining the consumer group")
            async with asyncio.TaskGroup() as group:
                background = [
                    group.create_task(self._follower.run()),
                    group.create_task(self._pipeline.run()),
                    *(group.create_task(service.run()) for service in self._services),
                ]
                await self._consume(stopping)
                for task in background:
                    task.cancel()
        except BaseExceptionGroup as errors:
            cause = _first(errors)
            if isinstance(cause, KafkaError):
                raise StreamsError(f"Kafka failed: {cause}") from errors
            raise cause from errors
        finally:
            await self._outbox.stop()
            if self._snapshots is not None:
                self._snapshots.close(_SNAPSHOT_SECONDS)

    async def _consume(self, stopping: asyncio.Event) -> None:
        """The app, and before it ends: what is being published is finished and committed."""
        running = asyncio.Event()

        async def drain() -> None:
            await stopping.wait()
            logger.info("stopping: finishing what is in flight")
            self._health.on_phase("stopping")
            await self._pipeline.drain()
            running.set()

        drainer = asyncio.create_task(drain())
        try:
            await run_app(self._app, running)
        finally:
            drainer.cancel()


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
