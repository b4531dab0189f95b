"""The owner watches its partitions of ``profiles`` for what others write there.

A worker that was stopped past its session may, on waking, still send what lay in its buffer. Where
such a late state of a user lands after a newer one, compaction would in the end keep the late one.
The owner sees it and publishes the user's newest state again; the topic's compaction lag (ten
minutes as we create it) is the time it has.

Reading everything back would cost half of the worker's rate. But the broker says at which offsets
it put the owner's own records, so only the others need to be read: none, as a rule.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from store.errors import CorruptRecordError
from store.profile import decode_fence, decode_profile, version_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

    from store.record import Record
    from store.table import ProfileTable
    from streams.ranges import ForeignRanges
    from streams.sensor import Sensor

__all__ = ["OwnedProfiles", "Peek", "ProfileGuard"]

logger = logging.getLogger(__name__)


class Peek(Protocol):
    """A look at partitions without following them (`streams.peek.TopicPeek`)."""

    async def start(self) -> None: ...  # noqa: D102
    async def stop(self) -> None: ...  # noqa: D102
    async def ends(  # noqa: D102
        self, partitions: Collection[tuple[str, int]]
    ) -> Mapping[tuple[str, int], int]: ...
    def read(  # noqa: D102
        self, topic: str, partition: int, first: int, stop: int
    ) -> AsyncIterator[tuple[Sequence[Record], int]]: ...


class OwnedProfiles(Protocol):
    """The tables of the partitions owned (`streams.partitions.OwnedPartitions`)."""

    def watched(self) -> Mapping[int, tuple[ProfileTable, ForeignRanges]]:
        """By partition its table, and what of the topic is known."""
        ...


class ProfileGuard:
    """See the module.

    Args:
        topic: ``profiles``.
        owned: the tables.
        peek: looks at the topic.
        republish: publishes what the tables hold as changed; returns when it is acknowledged.
        sending_since: when the oldest publication that goes on was begun; None: none does.
        sensor: is told of overtaken users.
        clock: seconds, monotonic.
        unavailable: errors of the peek that another look may not have.
        interval: seconds between two looks.
    """

    def __init__(
        self,
        topic: str,
        owned: OwnedProfiles,
        peek: Peek,
        republish: Callable[[], Awaitable[None]],
        sending_since: Callable[[], float | None],
        sensor: Sensor,
        clock: Callable[[], float],
        *,
        unavailable: tuple[type[Exception], ...],
        interval: float = 1.0,
    ) -> None:
        self._topic = topic
        self._owned = owned
        self._peek = peek
        self._republish = republish
        self._sending_since = sending_since
        self._sensor = sensor
        self._clock = clock
        self._unavailable = unavailable
        self._interval = interval

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            StreamsError: no broker answers at the start, or a state cannot be published again.
        """
        await self._peek.start()
        try:
            while True:
                await asyncio.sleep(self._interval)
                try:
                    await self.look()
                except self._unavailable as error:
                    logger.warning(
                        "%s cannot be watched for late writes now: %r", self._topic, error
                    )
        finally:
            await self._peek.stop()

    async def look(self) -> int:
        """One look at every owned partition; returns how many users are published again.

        What of a partition cannot be read now is told, and left for the next look.
        """
        watched = dict(self._owned.watched())
        now = self._clock()
        ends = await self._peek.ends([(self._topic, partition) for partition in watched])
        found = 0
        failed: list[str] = []
        for partition, (table, ranges) in watched.items():
            end = ends[self._topic, partition]
            try:
                for first, stop in ranges.look(now, end, self._sending_since()):
                    found += await self._examine(partition, table, ranges, first, stop)
            except self._unavailable as error:
                failed.append(f"partition {partition}: {error!r}")
        if failed:
            logger.warning(
                "%s cannot be watched for late writes now: %s", self._topic, "; ".join(failed)
            )
        return found

    async def _examine(
        self, partition: int, table: ProfileTable, ranges: ForeignRanges, first: int, stop: int
    ) -> int:
        """Read a range that somebody else wrote, and publish again what it overtook."""
        overtaken: set[str] = set()
        position, records = first, 0
        async for chunk, position in self._peek.read(self._topic, partition, first, stop):  # noqa: B007 # the last one counts
            records += len(chunk)
            overtaken.update(user_id for record in chunk if (user_id := _late(record, table)))
        for user_id in overtaken:
            table.touch(user_id)
        if records:
            logger.log(
                logging.WARNING if overtaken else logging.INFO,
                "another writer in %s: partition=%d offsets=%d..%d records=%d overtaken=%d",
                self._topic, partition, first, position - 1, records, len(overtaken),
            )  # fmt: skip
        if overtaken:
            self._sensor.on_overtaken(len(overtaken))
            await self._republish()
        # Not before the newer states are acknowledged: a snapshot says that it needs nothing of
        # the topic before this offset.
        ranges.explain(first, position)
        return len(overtaken)


def _late(record: Record, table: ProfileTable) -> str | None:
    """The user whose newer state in the table the record follows; None where it does no harm.

    A version higher than the table's does none: it is what the owner is about to reach, from a
    worker that had read further than it had committed.
    """
    try:
        user_id = (record.key or b"").decode()
        found = (
            decode_fence(record.headers) if record.value is None else decode_profile(record.value)
        )
    except (CorruptRecordError, UnicodeDecodeError) as error:
        logger.error(  # noqa: TRY400 # its traceback says nothing
            "%s, partition %d, offset %d: %s. Something else writes to this topic: find it, and "
            "delete the record's key with a tombstone; no restore takes it over",
            record.topic, record.partition, record.offset, error,
        )  # fmt: skip
        return None
    held = table.version(user_id)
    if found is None or held is None or version_of(found.applied) >= held:
        return None
    return user_id
