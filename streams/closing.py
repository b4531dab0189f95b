"""How aiokafka's consumers and producers are stopped, so that nothing of theirs goes on.

aiokafka 0.14 stops part by part and closes its connections last, so whatever ends its stop before
leaves the rest running: tasks that connect again, and a producer that publishes what it still held.
That may be a broker that does not answer in time, a caller that is cancelled, or the cancelling of
its own fetch in the pause before the next try, which it lets out. So its stop runs as a task of its
own, whose cancelling is never taken for the caller's, and what it left is ended here.

Out of reach is the connection it begins with, while the first answer is awaited: a caller that is
cancelled then leaves that one to the garbage collector.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

__all__ = ["close"]

logger = logging.getLogger(__name__)

#: Without a broker the client waits for it.
_STOP_SECONDS = 3.0
#: Until a task is cancelled again.
_AGAIN_SECONDS = 0.05


async def close(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Stop it, started or not; what goes wrong is logged.

    Raises:
        CancelledError: the caller was cancelled; nothing of the client goes on then, either.
    """
    kind = "reader" if isinstance(client, AIOKafkaConsumer) else "producer"
    stopping = asyncio.create_task(client.stop())
    try:
        # Raises only where the caller is cancelled: what ends the task is not handed on.
        await asyncio.wait([stopping], timeout=_STOP_SECONDS)
    finally:
        if (went_wrong := _outcome(stopping)) is not None:
            logger.warning("a %s did not stop cleanly: %s", kind, went_wrong)
            parts = _parts_of(client)
            await _end(parts)
            for network in [part for part in parts if isinstance(part, AIOKafkaClient)]:
                await _hang_up(kind, network)


def _parts_of(client: AIOKafkaConsumer | AIOKafkaProducer) -> list[Any]:
    """The client, and what it holds that is of aiokafka: network, fetcher, sender and others."""
    held = vars(client).values()
    return [client, *(part for part in held if type(part).__module__.startswith("aiokafka."))]


def _outcome(stopping: asyncio.Task[None]) -> str | None:
    """What went wrong, in words; None where nothing did."""
    if not stopping.done():
        return f"not before {_STOP_SECONDS:g} s were over, or its caller was cancelled"
    if stopping.cancelled():
        return "a task of its own was waiting for a broker"
    error = stopping.exception()
    return None if error is None else repr(error)


def _tasks_of(parts: list[Any]) -> list[asyncio.Task[Any]]:
    """The tasks that run a method of one of these."""
    found = []
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        owner = None if frame is None else frame.f_locals.get("self")
        if owner is not None and any(owner is part for part in parts):
            found.append(task)
    return found


async def _end(parts: list[Any]) -> None:
    """Cancel all that they run, again and again: some swallow it, and some begin another."""
    deadline = time.monotonic() + _STOP_SECONDS
    while tasks := _tasks_of(parts):
        if time.monotonic() > deadline:
            logger.warning("%d tasks of aiokafka do not end", len(tasks))
            return
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_AGAIN_SECONDS)


async def _hang_up(kind: str, network: AIOKafkaClient) -> None:
    closing = asyncio.create_task(network.close())
    await asyncio.wait([closing], timeout=_STOP_SECONDS)
    if (went_wrong := _outcome(closing)) is not None:
        logger.warning("the connections of a %s did not close: %s", kind, went_wrong)
        closing.cancel()
