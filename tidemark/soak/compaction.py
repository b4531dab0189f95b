"""Compaction now: so that what a late record hid is gone, and what is left must suffice."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tidemark.soak.broker_admin import MARKER
from tidemark.soak.watch import read_topic

if TYPE_CHECKING:
    from tidemark.soak.broker_admin import BrokerAdmin

__all__ = ["compact"]

_SEGMENT_SECONDS = 1.2  # a little more than the topic's segment.ms


async def compact(
    admin: BrokerAdmin, bootstrap: str, topic: str, *, lag_ms: int, seconds: float = 60.0
) -> bool:
    """Have every closed segment compacted; nothing else may write to the topic meanwhile.

    Args:
        admin: of the brokers.
        bootstrap: their addresses.
        topic: whose ``segment.ms`` is a second.
        lag_ms: what its ``min.compaction.lag.ms`` is set to afterwards.
        seconds: how long it may take.

    Returns:
        Whether each key is there once, before the last segment.

    Raises:
        KafkaError: no broker answers.
    """
    await asyncio.to_thread(admin.configure, topic, {"min.compaction.lag.ms": "0"})
    deadline = time.monotonic() + seconds
    done = False
    while not done and time.monotonic() < deadline:
        # The first closes the segment; once it is a segment's age old, the next closes its own.
        await asyncio.to_thread(admin.mark, topic)
        await asyncio.sleep(_SEGMENT_SECONDS)
        before = await asyncio.to_thread(admin.mark, topic)
        await asyncio.sleep(_SEGMENT_SECONDS)
        keys = [
            (record.partition, record.key)
            for record in await read_topic(bootstrap, topic)
            if record.offset < before[record.partition] and record.key != MARKER  # ours, by seconds
        ]
        done = len(keys) == len(set(keys))
    await asyncio.to_thread(admin.configure, topic, {"min.compaction.lag.ms": str(lag_ms)})
    return done
