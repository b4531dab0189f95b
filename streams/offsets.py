"""Which offset of each partition may be committed: a pure state machine.

Faust hands batches to agents and is told when each one's effects are durable. Batches of one
partition may finish in any order; a commit must never pass an unfinished one, or a crash loses it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Delivery", "OffsetTracker"]

P = TypeVar("P")


@dataclass(slots=True, eq=False)
class Delivery(Generic[P]):
    """One batch handed over.

    Attributes:
        partition: whose.
        next_offset: to read after it.
        number: its place in the order.
        first_ms: when its first record was written, ms since the epoch.
        first_offset: of that record.
    """

    partition: P
    next_offset: int
    number: int = 0
    first_ms: int | None = None
    first_offset: int | None = None
    done: bool = field(default=False)


class OffsetTracker(Generic[P]):
    """Batches in flight, by partition, in the order they were handed over."""

    def __init__(self) -> None:
        self._in_flight: dict[P, deque[Delivery[P]]] = {}
        self._committable: dict[P, int] = {}
        self._acknowledged: dict[P, int] = {}
        self._delivered = 0
        self._latest_done = 0

    def deliver(
        self,
        partition: P,
        last_offset: int,
        first_ms: int | None = None,
        first_offset: int | None = None,
    ) -> Delivery[P]:
        """A batch that ends at ``last_offset`` is handed over; see `Delivery`."""
        self._delivered += 1
        delivery = Delivery(partition, last_offset + 1, self._delivered, first_ms, first_offset)
        self._in_flight.setdefault(partition, deque()).append(delivery)
        return delivery

    def done(self, delivery: Delivery[P]) -> None:
        """Its effects are durable. A delivery from before a rebalance changes nothing."""
        delivery.done = True
        self._latest_done = max(self._latest_done, delivery.number)
        queue = self._in_flight.get(delivery.partition)
        while queue and queue[0].done:
            offset = queue.popleft().next_offset
            self._committable[delivery.partition] = self._acknowledged[delivery.partition] = offset

    def committable(self, partition: P) -> int | None:
        """The offset to commit (the next to be read), or None where nothing is new."""
        return self._committable.get(partition)

    def committed(self, partition: P, offset: int) -> None:
        """The broker took this offset."""
        if self._committable.get(partition) == offset:
            del self._committable[partition]

    def partitions(self) -> list[P]:
        """Partitions with an offset to commit."""
        return list(self._committable)

    def in_flight(self, partition: P) -> int:
        """Batches of the partition that were handed over and are not durable."""
        return sum(not delivery.done for delivery in self._in_flight.get(partition, ()))

    def oldest_ms(self, partition: P) -> int | None:
        """`Delivery.first_ms` of the oldest in flight; None where there is none."""
        queue = self._in_flight.get(partition)
        return queue[0].first_ms if queue else None

    def oldest_offset(self, partition: P) -> int | None:
        """`Delivery.first_offset` of the oldest in flight; None where there is none."""
        queue = self._in_flight.get(partition)
        return queue[0].first_offset if queue else None

    def acknowledged(self, partition: P) -> int | None:
        """The offset after the last durable batch, committed or not; None before the first."""
        return self._acknowledged.get(partition)

    def overtaken(self, partition: P) -> int:
        """Batches handed over after the partition's oldest in flight, up to the last durable one.

        Queues are first in, first out: this stays small unless the oldest is stuck somewhere.
        """
        queue = self._in_flight.get(partition)
        return max(0, self._latest_done - queue[0].number) if queue else 0

    def forget(self, partitions: Iterable[P]) -> None:
        """The partitions were given up: what is still in flight no longer counts."""
        for partition in partitions:
            self._in_flight.pop(partition, None)
            self._committable.pop(partition, None)
            self._acknowledged.pop(partition, None)
