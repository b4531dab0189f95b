"""A request's deadline, in the event loop and in the owner thread."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from store.service.context import current
from store.service.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["begin_in_time", "in_time"]

Answer = TypeVar("Answer")


def begin_in_time(query: Callable[..., Answer], *args: Any, **named: Any) -> Callable[[], Answer]:
    """The query as a job that does nothing once the deadline of this request has passed.

    A job that waits behind others would else be done for nobody, and keep those behind it from
    being answered in time. One that has begun is finished.
    """
    context = current()
    whole = partial(query, *args, **named)

    def job() -> Answer:
        if context.remaining <= 0:
            raise _too_late()
        return whole()

    return job


async def in_time(waited: asyncio.Future[Answer], *, shielded: bool = False) -> Answer:
    """Wait until the deadline of this request.

    Args:
        waited: is cancelled by then.
        shielded: it is left alone instead.

    Raises:
        ApiError: 504, the deadline has passed.
    """
    if shielded:
        waited.add_done_callback(_heard)
        waited = asyncio.shield(waited)
    limit = asyncio.timeout(current().remaining)
    try:
        async with limit:
            return await waited
    except TimeoutError:
        if not limit.expired():
            raise  # the query's own
        raise _too_late() from None


def _too_late() -> ApiError:
    return ApiError(
        504,
        "deadline_exceeded",
        "the answer was not there in time",
        "ask again, or give it longer by X-Request-Timeout; a forget may have been published",
    )


def _heard(done: asyncio.Future[Any]) -> None:
    """So that asyncio does not log, words and all, an error that came after the deadline."""
    if not done.cancelled():
        done.exception()
