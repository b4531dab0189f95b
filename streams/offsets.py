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
    """One batch handed over: its partition, and the offset to read after it."""

    partition: P
    next_offset: int
    done: bool = field(default=False)


class OffsetTracker(Generic[P]):
    """Batches in flight, by partition, in the order they were handed over."""

    def __init__(self) -> None:
        self._in_flight: dict[P, deque[Delivery[P]]] = {}
        self._committable: dict[P, int] = {}

    def deliver(self, partition: P, last_offset: int) -> Delivery[P]:
        """A batch that ends at ``last_offset`` is handed over."""
        delivery = Delivery(partition, last_offset + 1)
        self._in_flight.setdefault(partition, deque()).append(delivery)
        return delivery

    def done(self, delivery: Delivery[P]) -> None:
        """Its effects are durable. A delivery from before a rebalance changes nothing."""
        delivery.done = True
        queue = self._in_flight.get(delivery.partition)
        while queue and queue[0].done:
            self._committable[delivery.partition] = queue.popleft().next_offset

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

    def forget(self, partitions: Iterable[P]) -> None:
        """The partitions were given up: what is still in flight no longer counts."""
        for partition in partitions:
            self._in_flight.pop(partition, None)
            self._committable.pop(partition, None)
