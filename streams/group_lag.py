"""How far a consumer group is behind, partition by partition, and who has which.

Pure: `streams.group_state` asks the brokers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["GroupState", "Member", "PartitionLag", "Unread", "lag_of"]

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group.

    Attributes:
        assigned: topics and partitions.
    """

    member_id: str
    client_id: str
    host: str
    assigned: frozenset[Place] = frozenset()


@dataclass(frozen=True, slots=True)
class Unread:
    """What lies in a partition from some offset on.

    Attributes:
        begin: the first offset from there on that is still in the partition.
        end: where the partition ends.
        oldest_ms: time of the oldest record from there on, in ms since the epoch; None without any.
    """

    begin: int
    end: int
    oldest_ms: int | None


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition.

    Attributes:
        committed: the offset that the group goes on at; None where it committed nothing yet.
        end: where the partition ends.
        records: offsets between the two that are still there. Gaps that compaction or transactions
            leave count, unless there is no record at all.
        seconds: age of the oldest record that is not read; 0 where there is none.
        owner: the member that has it; None where none has, or it is not told.
    """

    topic: str
    partition: int
    committed: int | None
    end: int
    records: int
    seconds: float
    owner: Member | None


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group, and how far it is.

    Attributes:
        members: None where the broker does not tell; ``why_not`` says why.
        state: as the broker names it, such as Stable, Empty or PreparingRebalance.
        asked_ms: when, in ms since the epoch.
    """

    group: str
    state: str | None
    members: tuple[Member, ...] | None
    why_not: str
    partitions: tuple[PartitionLag, ...]
    asked_ms: int

    @property
    def records(self) -> int:
        """All that is to be read."""
        return sum(one.records for one in self.partitions)

    @property
    def seconds(self) -> float:
        """The largest of the partitions' lags."""
        return max((one.seconds for one in self.partitions), default=0.0)

    @property
    def unowned(self) -> tuple[PartitionLag, ...] | None:
        """Partitions that no member has; None where it is not told who has which."""
        if self.members is None:
            return None
        return tuple(one for one in self.partitions if one.owner is None)


def lag_of(
    committed: Mapping[Place, int],
    unread: Mapping[Place, Unread],
    members: Sequence[Member] | None,
    now_ms: int,
) -> tuple[PartitionLag, ...]:
    """Each partition's lag, in the order of topics and partitions.

    Args:
        committed: where the group committed anything.
        unread: from there on, or from the beginning on.
        members: None where they are not told.
        now_ms: ms since the epoch.
    """
    owners = {place: one for one in members or () for place in one.assigned}
    return tuple(
        PartitionLag(
            topic,
            partition,
            committed.get((topic, partition)),
            found.end,
            # The marks that transactions end with count as offsets, and no group reads them.
            0 if found.oldest_ms is None else max(0, found.end - found.begin),
            0.0 if found.oldest_ms is None else max(0.0, (now_ms - found.oldest_ms) / 1000),
            owners.get((topic, partition)),
        )
        for (topic, partition), found in sorted(unread.items())
    )
