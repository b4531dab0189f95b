"""The profiles of the partitions a worker owns, restored when a partition's first batch comes."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Protocol

from store.errors import CorruptRecordError
from store.profile import decode_fence, decode_profile, version_of
from store.table import ProfileTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from store.profile import Fence, ProfileState
    from store.record import Record
    from store.table import Identity, Memory, Vocabulary
    from streams.sensor import Sensor

__all__ = ["OwnedPartitions", "ProfileSource", "newest_versions"]

logger = logging.getLogger(__name__)


class ProfileSource(Protocol):
    """Reads one partition of ``profiles`` from its beginning (`streams.tail.TopicTail`)."""

    async def start(self) -> None: ...  # noqa: D102
    async def stop(self) -> None: ...  # noqa: D102
    async def read_to_end(self) -> Sequence[Record]: ...  # noqa: D102


def newest_versions(
    records: Iterable[Record],
) -> tuple[dict[str, ProfileState | Fence | None], set[str]]:
    """Each key's version with the highest source offset, whatever order they were written in.

    Returns:
        The newest by user (None: deleted without a fence), and the users whose last record is an
        older one: theirs must be published again, or compaction keeps the wrong one.

    Raises:
        CorruptRecordError: a record cannot be read. Going on without it would lose a profile.
    """
    newest: dict[str, tuple[int, ProfileState | Fence | None]] = {}
    outdated: set[str] = set()
    for record in records:
        try:
            user_id = (record.key or b"").decode()
            found = (
                decode_fence(record.headers)
                if record.value is None
                else decode_profile(record.value)
            )
        except (CorruptRecordError, UnicodeDecodeError) as error:
            raise CorruptRecordError(
                f"profiles, partition {record.partition}, offset {record.offset}: {error}. "
                "Something else writes to this topic: find it, delete the record's key with a "
                "tombstone, and start again"
            ) from error
        # A tombstone without a fence was written by hand, and means what it says.
        version = newest[user_id][0] if found is None and user_id in newest else 0
        if found is not None:
            version = version_of(found.applied)
        if user_id in newest and version < newest[user_id][0]:
            outdated.add(user_id)
        else:
            newest[user_id] = (version, found)
            outdated.discard(user_id)
    return {user_id: found for user_id, (_, found) in newest.items()}, outdated


class OwnedPartitions:
    """Tables by partition.

    Args:
        read: a source of one partition of ``profiles``, from its beginning.
        identity: of every profile.
        memory: how much of a user's past to keep.
        vocabulary: codes of actions and items.
        sensor: is told of restores.
    """

    def __init__(
        self,
        read: Callable[[int], ProfileSource],
        identity: Identity,
        memory: Memory,
        vocabulary: Vocabulary,
        sensor: Sensor,
    ) -> None:
        self._read = read
        self._identity = identity
        self._memory = memory
        self._vocabulary = vocabulary
        self._sensor = sensor
        self._tables: dict[int, ProfileTable] = {}

    async def restore(self, partitions: Iterable[int]) -> None:
        """Make sure that these partitions' tables are there.

        Users who must be published again (see `newest_versions`) count as changed.

        Raises:
            StoreError: what is in the topic cannot be taken over.
            StreamsError: the topic cannot be read.
        """
        missing = sorted(set(partitions) - self._tables.keys())
        await asyncio.gather(*(self._restore(partition) for partition in missing))

    def table(self, partition: int) -> ProfileTable:
        """A restored partition's table."""
        return self._tables[partition]

    async def _restore(self, partition: int) -> None:
        started = time.perf_counter()
        source = self._read(partition)
        await source.start()
        try:
            newest, outdated = newest_versions(await source.read_to_end())
        finally:
            await source.stop()
        table = ProfileTable(partition, self._identity, self._memory, self._vocabulary)
        for user_id, found in newest.items():
            if found is not None:
                table.take_over(user_id, found)
        for user_id in outdated:
            table.touch(user_id)
        self._tables[partition] = table
        seconds = time.perf_counter() - started
        self._sensor.on_restored(partition, len(table), seconds)
        logger.info(
            "profiles restored: partition=%d profiles=%d republish=%d seconds=%.2f",
            partition,
            len(table),
            len(outdated),
            seconds,
        )

    def drop_all(self) -> None:
        """Give every partition up: another worker may write to it from now on."""
        self._tables.clear()
