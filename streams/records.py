"""What a worker publishes, and the promise that it was published. No Kafka client in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OutRecord", "Outbox"]


class OutRecord(NamedTuple):
    """A record to publish; a null value is a tombstone.

    One that ``may_shorten`` is cut to what surely fits where the broker finds it too large.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    may_shorten: bool = False


class Outbox(Protocol):
    """Publishes records durably."""

    async def publish(self, records: Sequence[OutRecord]) -> None:
        """Return when every record was acknowledged by all in-sync replicas, in order by partition.

        Raises:
            PublishError: not within the time given for retries, or one is too large.
        """
        ...
