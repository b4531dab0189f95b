"""What a worker publishes, and the promise that it was published. No Kafka client in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.batch import Pairs

__all__ = ["OutPairs", "OutRecord", "Outbox", "count_of"]


#: What is kept of a value that is too large.
_KEPT_BYTES = 64 * 1024


class OutRecord(NamedTuple):
    """A record to publish; a null value is a tombstone.

    One that ``may_shorten`` is `shortened` where the broker finds it too large.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    may_shorten: bool = False

    def shortened(self) -> OutRecord:
        """With as much of its value as surely fits, and a header that says what its size was."""
        if self.value is None or len(self.value) <= _KEPT_BYTES:
            return self
        size = ("truncated-from-bytes", str(len(self.value)).encode())
        return self._replace(value=self.value[:_KEPT_BYTES], headers=(*self.headers, size))


class OutPairs(NamedTuple):
    """Many records to publish, of which there is no object each; at least one."""

    topic: str
    partition: int
    pairs: Pairs

    def listed(self) -> list[OutRecord]:
        """As objects."""
        return [OutRecord(self.topic, self.partition, *pair) for pair in self.pairs.listed()]


def count_of(records: Sequence[OutRecord | OutPairs]) -> int:
    """How many records these are."""
    return sum(
        (len(one.pairs.bounds) - 1) // 2 if isinstance(one, OutPairs) else 1 for one in records
    )


class Outbox(Protocol):
    """Publishes records durably."""

    async def publish(self, records: Sequence[OutRecord | OutPairs]) -> None:
        """Return when every record was acknowledged by all in-sync replicas, in order by partition.

        Raises:
            PublishError: not within the time given for retries, or one is too large.
        """
        ...
