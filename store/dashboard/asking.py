"""Asking what is held, within the time of the request being handled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from store.service.deadline import begin_in_time, in_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.generations import Generation
    from store.question import Question

__all__ = ["asked_of"]

Answer = TypeVar("Answer")


async def asked_of(
    generation: Generation,
    query: Callable[..., Answer | Question[Answer]],
    *args: Any,
    **named: Any,
) -> Answer:
    """Ask the view in the owner thread, unless nobody waits for the answer any more.

    Raises:
        ApiError: 504, the deadline has passed.
    """
    job = begin_in_time(query, generation.view, *args, **named)
    loop = asyncio.get_running_loop()
    # Of a question the owner gives the answer.
    waited: asyncio.Future[Answer] = loop.run_in_executor(generation.owner, job)  # type: ignore[arg-type]
    return await in_time(waited)
