"""How many may wait at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from store.service.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Places"]


class Places:
    """A number of places, taken and given back in one thread; who finds none is sent away.

    Args:
        count: of places.
        what: takes them, for the message.
    """

    def __init__(self, count: int, what: str) -> None:
        self._count, self._what = count, what
        self._taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a place for the time of the block.

        Raises:
            ApiError: 429, all are taken.
        """
        if self._taken >= self._count:
            raise ApiError(
                429,
                "too_many_requests",
                f"{self._count} {self._what} are waiting already",
                "ask again later, or another replica",
                {"Retry-After": "1"},
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
