"""What a fault meets, and how long it waits for what has to follow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemark.soak.load import Load
    from tidemark.soak.plan import Fault
    from tidemark.soak.slot import WorkerSlot
    from tidemark.soak.system import SoakSystem

__all__ = ["PATIENCE", "REPAIR_SECONDS", "Scene", "assignments"]

#: For what has to follow from a fault: a takeover, a return, a failed write.
PATIENCE = 60.0
REPAIR_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault meets."""

    system: SoakSystem
    load: Load
    fault: Fault

    @property
    def slot(self) -> WorkerSlot:
        """The place of the worker that it meets."""
        return self.system.slots[self.fault.worker]

    @property
    def pid(self) -> int:
        """Of that worker."""
        assert self.slot.child is not None  # noqa: S101 # revived before every fault
        return self.slot.child.pid

    @property
    def others(self) -> list[WorkerSlot]:
        """The workers that run beside the one it meets."""
        return [one for one in self.system.slots if one.wanted and one is not self.slot]

    async def taken_over(self, before: int) -> bool:
        """Whether the others soon have had more assignments than before."""
        return await self.system.within(PATIENCE, lambda: assignments(self.others) > before)

    async def last(self) -> None:
        """As long as the plan says."""
        await asyncio.sleep(self.fault.seconds)


def assignments(slots: Sequence[WorkerSlot]) -> int:
    """Of all of them together."""
    return sum(one.assignments() for one in slots)
