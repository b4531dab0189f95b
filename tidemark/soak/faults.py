"""The faults: each does its harm, ends it, and says what happened."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemark.errors import FaultMissedError
from tidemark.soak.compaction import compact
from tidemark.soak.plan import Fault, FaultKind
from tidemark.soak.proxy import hold
from tidemark.soak.system import SESSION_SECONDS
from tidemark.soak.watch import read_profiles

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tidemark.soak.load import Load
    from tidemark.soak.system import SoakSystem, WorkerSlot

__all__ = ["inject"]

#: For what has to follow from a fault: a takeover, a return, a repair.
_PATIENCE = 60.0
_REPAIR_SECONDS = 15.0
LAG_MS = 60_000


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a fault meets."""

    system: SoakSystem
    load: Load
    fault: Fault

    @property
    def slot(self) -> WorkerSlot:
        return self.system.slots[self.fault.worker]

    @property
    def pid(self) -> int:
        assert self.slot.child is not None  # noqa: S101 # revived before every fault
        return self.slot.child.pid

    @property
    def others(self) -> list[WorkerSlot]:
        """The workers that run beside the one it meets."""
        return [one for one in self.system.slots if one.wanted and one is not self.slot]

    async def taken_over(self, before: int) -> bool:
        """Whether the others soon have had more assignments than before."""
        return await self.system.within(_PATIENCE, lambda: _assignments(self.others) > before)

    async def last(self) -> None:
        """As long as the plan says."""
        await asyncio.sleep(self.fault.seconds)


def _assignments(slots: Sequence[WorkerSlot]) -> int:
    return sum(one.assignments() for one in slots)


async def inject(system: SoakSystem, load: Load, fault: Fault) -> str:
    """Do it; returns what happened, in words.

    Raises:
        FaultMissedError: it did not come about, and so tested nothing.
        TidemarkError, StreamsError, KafkaError: the test itself cannot go on.
    """
    return await _FAULTS[fault.kind](_Scene(system, load, fault))


async def _worker_killed(scene: _Scene) -> str:
    assert scene.slot.child is not None  # noqa: S101 # revived before every fault
    await asyncio.to_thread(scene.slot.child.kill)
    await scene.last()
    scene.system.start_worker(scene.slot)
    return f"worker {scene.slot.number} killed, started again after {scene.fault.seconds:.1f} s"


async def _worker_stopped(scene: _Scene) -> str:
    status = await scene.system.stop_worker(scene.slot)
    await scene.last()
    scene.system.start_worker(scene.slot)
    return f"worker {scene.slot.number} stopped (exit status {status}), and started again"


async def _worker_frozen(scene: _Scene) -> str:
    before = _assignments(scene.others)
    os.kill(scene.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(SESSION_SECONDS)
        await scene.last()
        replaced = await scene.taken_over(before)
    finally:
        os.kill(scene.pid, signal.SIGCONT)
    if not replaced:
        raise FaultMissedError(f"worker {scene.slot.number} stood still, and nobody took over")
    slept = SESSION_SECONDS + scene.fault.seconds
    return f"worker {scene.slot.number} stood still for {slept:.1f} s, past its session"


async def _late_write(scene: _Scene) -> str:
    """A worker's states arrive after its successor's newer ones, and compaction is forced.

    1. A Produce request of the worker is kept back on its way; the worker is stopped.
    2. Others take its partitions over, and publish newer states of the same users.
    3. It wakes, and takes part again, with all restores that brings: nothing more will look back.
    4. Its request arrives: older states lie behind newer ones, and no action hides them.
    5. What is left after compaction must be as new as what was ever there.
    """
    system, slot = scene.system, scene.slot
    held = hold(slot.proxies, system.names.profiles)
    if not await held.wait_caught(_PATIENCE):
        held.release()
        raise FaultMissedError(f"worker {slot.number} published nothing; no write could be late")
    before = _assignments(scene.others)
    os.kill(scene.pid, signal.SIGSTOP)
    try:
        await scene.taken_over(before)
        await scene.last()
        await asyncio.to_thread(scene.load.pause)
        await system.settle(_PATIENCE)
    finally:
        joined = slot.assignments()
        os.kill(scene.pid, signal.SIGCONT)
    await system.within(_PATIENCE, lambda: slot.assignments() > joined)
    # Further actions are applied by each: so all have been restored, and none will be again.
    scene.load.resume()
    await scene.last()
    await asyncio.to_thread(scene.load.pause)
    await system.settle(_PATIENCE)
    late = system.watch.late
    held.release()
    await system.within(_REPAIR_SECONDS, lambda: system.watch.late > late)
    late = system.watch.late - late
    behind = len(system.watch.overtaken())
    repaired = await system.within(_REPAIR_SECONDS, lambda: not system.watch.overtaken())
    compacted = await compact(system.admin, system.bootstrap, system.names.profiles, lag_ms=LAG_MS)
    left = await read_profiles(system.bootstrap, system.names.profiles)
    lost = system.watch.older_in(left)
    system.overwritten |= lost
    scene.load.resume()
    if late == 0:
        raise FaultMissedError(f"worker {slot.number} froze in a write, and no state came late")
    return (
        f"worker {slot.number} froze in a write: {late} states came late, {behind} stood last, "
        f"{'repaired' if repaired else 'not repaired'}; "
        f"{'compacted' if compacted else 'compaction did not end'}, {len(lost)} overwritten"
    )


async def _worker_added(scene: _Scene) -> str:
    system = scene.system
    spare = system.slots[-1]
    joined = spare.assignments()
    system.start_worker(spare)
    there = await system.within(_PATIENCE, lambda: spare.assignments() > joined)
    await scene.last()
    status = await system.stop_worker(spare)
    if not there:
        raise FaultMissedError(f"a further worker did not join (exit status {status})")
    return f"a further worker joined, and left (exit status {status})"


async def _worker_removed(scene: _Scene) -> str:
    status = await scene.system.stop_worker(scene.slot)
    await scene.last()
    scene.system.start_worker(scene.slot)
    return (
        f"worker {scene.slot.number} left (exit status {status}) "
        f"and came back after {scene.fault.seconds:.1f} s"
    )


async def _broker_killed(scene: _Scene) -> str:
    system = scene.system
    node = system.cluster.nodes[scene.fault.node]
    await _copies_in_sync(system)
    await asyncio.to_thread(node.kill)
    await scene.last()
    await asyncio.to_thread(node.start)
    await _copies_in_sync(system)
    return f"broker {node.node} killed, started again after {scene.fault.seconds:.1f} s"


async def _copies_in_sync(system: SoakSystem) -> None:
    """With a copy missing, another broker's fall would stop the topic, as it should."""
    topics = (system.topic, system.names.profiles)

    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        least = [await asyncio.to_thread(system.admin.in_sync, topic) for topic in topics]
        if min(least) == system.brokers:
            return
        await asyncio.sleep(0.2)


async def _leader_moved(scene: _Scene) -> str:
    system = scene.system
    moved = []
    for topic in (system.topic, system.names.profiles):
        before = await asyncio.to_thread(system.admin.leaders, topic)
        await asyncio.to_thread(system.admin.move_leaders, topic)
        deadline = time.monotonic() + _REPAIR_SECONDS
        changed = 0
        while changed < len(before) and time.monotonic() < deadline:
            after = await asyncio.to_thread(system.admin.leaders, topic)
            changed = sum(old != new for old, new in zip(before, after, strict=True))
        if changed == 0:
            raise FaultMissedError(f"no leader of {topic} moved within {_REPAIR_SECONDS:.0f} s")
        moved.append(f"{changed} of {len(before)} of {topic}")
    return f"leaders moved: {', '.join(moved)}"


async def _retrieval_killed(scene: _Scene) -> str:
    assert scene.system.retrieval is not None  # noqa: S101 # revived before every fault
    await asyncio.to_thread(scene.system.retrieval.kill)
    await scene.last()
    scene.system.start_retrieval()
    return f"retrieval killed, started again after {scene.fault.seconds:.1f} s"


async def _disk_full(scene: _Scene) -> str:
    """Every write to a file fails, in whatever folder: EFBIG here, ENOSPC on a full disk."""
    pid = scene.pid
    usual, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, most))
    try:
        await scene.last()
    finally:
        if scene.slot.child is not None and scene.slot.child.alive():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (usual, most))
    return f"worker {scene.slot.number} could write no file for {scene.fault.seconds:.1f} s"


async def _slow_broker(scene: _Scene) -> str:
    delay = 0.05 + 0.5 * scene.fault.size
    proxies = [proxy for slot in scene.system.slots for proxy in slot.proxies]
    for proxy in proxies:
        proxy.delay = delay
    await scene.last()
    for proxy in proxies:
        proxy.delay = 0.0
    return f"every request took {delay:.2f} s longer, for {scene.fault.seconds:.1f} s"


async def _encoder_refuses(scene: _Scene) -> str:
    count = 1 + int(8 * scene.fault.size)
    await asyncio.to_thread(scene.load.refuse, count)
    return f"{count} texts that the encoder raises on"


async def _encoder_out_of_memory(scene: _Scene) -> str:
    most = 0 if scene.fault.size < 0.5 else int(16 * scene.fault.size)  # noqa: PLR2004 # half of them
    scene.slot.control.change(out_of_memory_above=most)
    await scene.last()
    scene.slot.control.change(out_of_memory_above=None)
    what = "every text" if most == 0 else f"batches of more than {most} texts"
    return f"worker {scene.slot.number}: no memory for {what}, for {scene.fault.seconds:.1f} s"


async def _encoder_hangs(scene: _Scene) -> str:
    scene.slot.control.change(hangs=True)
    await scene.last()
    scene.slot.control.change(hangs=False)
    return f"worker {scene.slot.number}: the encoder hung for {scene.fault.seconds:.1f} s"


async def _duplicates(scene: _Scene) -> str:
    count = await asyncio.to_thread(scene.load.repeat)
    if count == 0:
        raise FaultMissedError("nothing with an event_id was sent yet: nothing to send again")
    return f"the last {count} actions were sent again"


async def _clock_step(scene: _Scene) -> str:
    """Forward by up to three days; back by less than the skew that a message's time may have."""
    size = scene.fault.size
    allowed = scene.system.settings.limits.clock_skew_seconds
    seconds = -0.8 * allowed * (1 - size) if size < 0.5 else 6 * 86_400.0 * (size - 0.5)  # noqa: PLR2004
    scene.slot.control.change(clock_ms=int(seconds * 1000))
    return f"worker {scene.slot.number}: the clock is {seconds:+.0f} s off from now on"


_FAULTS: dict[FaultKind, Callable[[_Scene], Awaitable[str]]] = {
    FaultKind.worker_killed: _worker_killed,
    FaultKind.worker_stopped: _worker_stopped,
    FaultKind.worker_frozen: _worker_frozen,
    FaultKind.late_write: _late_write,
    FaultKind.worker_added: _worker_added,
    FaultKind.worker_removed: _worker_removed,
    FaultKind.broker_killed: _broker_killed,
    FaultKind.leader_moved: _leader_moved,
    FaultKind.retrieval_killed: _retrieval_killed,
    FaultKind.disk_full: _disk_full,
    FaultKind.slow_broker: _slow_broker,
    FaultKind.encoder_refuses: _encoder_refuses,
    FaultKind.encoder_out_of_memory: _encoder_out_of_memory,
    FaultKind.encoder_hangs: _encoder_hangs,
    FaultKind.duplicates: _duplicates,
    FaultKind.clock_step: _clock_step,
}
