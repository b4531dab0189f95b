"""What a worker is doing at the moment and how much it has done, for those who watch it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from streams.batches import EncodedTexts, TextEncoding

__all__ = ["Activities", "Activity", "WatchedEncoding"]


@dataclass(slots=True, eq=False)
class Activity:
    """Something that was begun and has not ended.

    Attributes:
        stage: restore, encode or publish.
        what: of what and how much, in words.
        since: the clock, seconds, when it began.
    """

    stage: str
    what: str
    since: float


class Activities:
    """What is going on, and a count that grows whenever something advances.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._current: list[Activity] = []
        self._advanced = 0
        self._counters: list[Callable[[], int]] = []

    @contextmanager
    def during(self, stage: str, what: str) -> Iterator[Activity]:
        """Something goes on within the block; ``what`` may be changed meanwhile."""
        activity = Activity(stage, what, self._clock())
        self._current.append(activity)
        try:
            yield activity
        finally:
            self._current.remove(activity)

    def advance(self, count: int = 1) -> None:
        """So much more was done: records restored or published, batches acknowledged."""
        self._advanced += count

    def count_also(self, counter: Callable[[], int]) -> None:
        """What this returns grows with progress as well."""
        self._counters.append(counter)

    @property
    def done(self) -> int:
        """Grows with every advance; its unit is of no meaning."""
        return self._advanced + sum(counter() for counter in self._counters)

    def since(self, stage: str) -> float | None:
        """When the longest activity of a stage was begun; None where there is none."""
        return min((one.since for one in self._current if one.stage == stage), default=None)

    def current(self) -> list[Activity]:
        """What goes on now, the longest first."""
        return list(self._current)


class WatchedEncoding:
    """An encoding whose calls are told to `Activities`."""

    def __init__(self, encoding: TextEncoding, activities: Activities) -> None:
        self._encoding = encoding
        self._activities = activities

    @property
    def encoder_id(self) -> str:
        """Of the encoding."""
        return self._encoding.encoder_id

    async def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """See `streams.batches.TextEncoding`."""
        with self._activities.during("encode", f"{len(texts):,} texts"):
            return await self._encoding.encode(texts)
