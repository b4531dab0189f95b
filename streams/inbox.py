"""Where fetched batches wait for the pipeline, bounded by their records."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.batches import Inbound

__all__ = ["Inbox"]


class Inbox:
    """First in, first out; for one taker.

    Bounded by records and not by batches: when little comes, a fetch has few records, and a bound
    on batches would leave what came later behind them, waiting for no reason.

    Args:
        most_records: where so many wait, nobody may put.
    """

    def __init__(self, most_records: int) -> None:
        self._most = most_records
        self._batches: deque[Inbound] = deque()
        self._records = 0
        self._changed = asyncio.Condition()

    async def put(self, batch: Inbound) -> None:
        """Add a batch, once fewer than ``most_records`` wait."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._records < self._most)
            self._batches.append(batch)
            self._records += len(batch.records)
            self._changed.notify_all()

    async def take(self, enough: int) -> list[Inbound]:
        """The first batches, until they have ``enough`` records; all, where there are fewer.

        Waits for one, and for no more: what comes meanwhile is taken the next time.
        """
        taken: list[Inbound] = []
        size = 0
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._batches))
            while self._batches and size < enough:
                taken.append(self._batches.popleft())
                size += len(taken[-1].records)
            self._records -= size
            self._changed.notify_all()
        return taken
