"""Where fetched batches wait until a micro-batch is made of them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.batches import Inbound

__all__ = ["Inbox"]

#: One is prepared and folded while the broker acknowledges another.
_MOST_UNDER_WAY = 2


class Inbox:
    """First in, first out; for one taker.

    A micro-batch is all that waits, up to a number of records; no timer is waited for. The next one
    is taken when the one before is finished, so that it grows with the load, and an action waits
    for one micro-batch before its own and not for a queue of them. Only a full one is taken while
    another is on its way: then there is a backlog, and throughput is what counts.

    Bounded by records and not by batches: when little comes, a fetch has few records, and a bound
    on batches would leave what came later behind them, waiting for no reason.

    Args:
        full: records of a full micro-batch; where so many wait, nobody may put.
    """

    def __init__(self, full: int) -> None:
        self._full = full
        self._batches: deque[Inbound] = deque()
        self._records = 0
        self._under_way = 0
        self._changed = asyncio.Condition()

    async def put(self, batch: Inbound) -> None:
        """Add a batch, once fewer records wait than make a full micro-batch."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._records < self._full)
            self._batches.append(batch)
            self._records += len(batch.records)
            self._changed.notify_all()

    async def take(self) -> list[Inbound]:
        """The next micro-batch, at least one batch. The caller calls `finished` when it is done."""
        taken: list[Inbound] = []
        size = 0
        async with self._changed:
            await self._changed.wait_for(self._may_be_taken)
            while self._batches and size < self._full:
                taken.append(self._batches.popleft())
                size += len(taken[-1].records)
            self._records -= size
            self._under_way += 1
            self._changed.notify_all()
        return taken

    async def finished(self) -> None:
        """A micro-batch that was taken is published, or dropped."""
        async with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def _may_be_taken(self) -> bool:
        if self._under_way == 0:
            return bool(self._batches)
        return self._under_way < _MOST_UNDER_WAY and self._records >= self._full
