"""What belongs to one request, wherever in its handling it is asked for."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from store.service.negotiation import JSON

if TYPE_CHECKING:
    from store.generations import Generation
    from store.service.negotiation import MediaType

__all__ = ["RequestContext", "current", "current_request", "request"]


@dataclass(slots=True)
class RequestContext:
    """One request.

    Attributes:
        id: names it in the answer and in the log.
        media_type: of the answer.
        deadline: of the monotonic clock, seconds; later nobody waits for the answer.
        deadline_given: the client chose it.
        token_name: of the token that it came with.
        generation: what answers it, all of it.
    """

    id: str = "-"
    media_type: MediaType = JSON
    deadline: float = field(default=float("inf"))
    deadline_given: bool = False
    token_name: str = "-"  # noqa: S105 - a name, for the log
    generation: Generation | None = None

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; below 0 after it."""
        return self.deadline - time.monotonic()


#: Set by the guard around everything else that handles a request.
request: ContextVar[RequestContext] = ContextVar("tidemark_request")


def current() -> RequestContext:
    """The request being handled."""
    return request.get()


def current_request() -> dict[str, str]:
    """What a log line says of it: nothing outside of a request."""
    handled = request.get(None)
    return {} if handled is None else {"request": handled.id}
