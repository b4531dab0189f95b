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
#: A micro-batch of so many bytes is full, however few records it has: a message may have megabytes.
_FULL_BYTES = 64 * 1024 * 1024


class Inbox:
    """First in, first out; for one taker.

    A micro-batch is all that waits, up to a number of records or of bytes; no timer is waited for.
    The next one is taken when the one before is finished, so that it grows with the load, and an
    action waits for one micro-batch before its own and not for a queue of them. Only a full one is
    taken while another is on its way: then there is a backlog, and throughput is what counts.

    Bounded by these and not by batches: when little comes, a fetch has few records, and a bound
    on batches would leave what came later behind them, waiting for no reason.

    Args:
        full: records of a full micro-batch; where so many wait, nobody may put.
        full_bytes: likewise.
    """

    def __init__(self, full: int, full_bytes: int = _FULL_BYTES) -> None:
        self._full = full
        self._full_bytes = full_bytes
        self._batches: deque[Inbound] = deque()
        self._records = 0
        self._bytes = 0
        self._under_way = 0
        self._changed = asyncio.Condition()

    async def put(self, batch: Inbound) -> None:
        """Add a batch, once less waits than makes a full micro-batch."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_full(self._records, self._bytes))
            self._batches.append(batch)
            self._records += len(batch.records)
            self._bytes += batch.size
            self._changed.notify_all()

    async def take(self) -> list[Inbound]:
        """The next micro-batch, at least one batch. The caller calls `finished` when it is done."""
        taken: list[Inbound] = []
        records = size = 0
        async with self._changed:
            await self._changed.wait_for(self._may_be_taken)
            while self._batches and not self._is_full(records, size):
                taken.append(self._batches.popleft())
                records += len(taken[-1].records)
                size += taken[-1].size
            self._records -= records
            self._bytes -= size
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
        full = self._is_full(self._records, self._bytes)
        return full and self._under_way < _MOST_UNDER_WAY

    def _is_full(self, records: int, size: int) -> bool:
        return records >= self._full or size >= self._full_bytes
