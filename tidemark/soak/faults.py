"""The faults: each does its harm, ends it, and says what happened."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from typing import TYPE_CHECKING

from tidemark.errors import FaultMissedError
from tidemark.soak.broker_faults import broker_killed, leader_moved, slow_broker
from tidemark.soak.compaction import compact
from tidemark.soak.plan import Fault, FaultKind
from tidemark.soak.proxy import hold
from tidemark.soak.scene import PATIENCE, REPAIR_SECONDS, Scene, assignments
from tidemark.soak.system import SESSION_SECONDS
from tidemark.soak.watch import read_profiles

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tidemark.soak.load import Load
    from tidemark.soak.slot import WorkerSlot
    from tidemark.soak.system import SoakSystem

__all__ = ["inject"]

LAG_MS = 60_000


async def inject(system: SoakSystem, load: Load, fault: Fault) -> str:
    """Do it; returns what happened, in words.

    Raises:
        FaultMissedError: it did not come about, and so tested nothing.
        TidemarkError, StreamsError, KafkaError: the test itself cannot go on.
    """
    return await _FAULTS[fault.kind](Scene(system, load, fault))


async def _worker_killed(scene: Scene) -> str:
    assert scene.slot.child is not None  # noqa: S101 # revived before every fault
    await asyncio.to_thread(scene.slot.child.kill)
    await scene.last()
    scene.system.start_worker(scene.slot)
    return f"worker {scene.slot.number} killed, started again after {scene.fault.seconds:.1f} s"


async def _worker_stopped(scene: Scene) -> str:
    status = await scene.system.stop_worker(scene.slot)
    await scene.last()
    scene.system.start_worker(scene.slot)
    return f"worker {scene.slot.number} stopped (exit status {status}), and started again"


async def _worker_frozen(scene: Scene) -> str:
    slot = scene.slot
    # One that still starts owns nothing that others could take over.
    await scene.system.within(PATIENCE, lambda: slot.assignments() > slot.joined)
    before = assignments(scene.others)
    os.kill(scene.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(SESSION_SECONDS)
        await scene.last()
        replaced = await scene.taken_over(before)
    finally:
        os.kill(scene.pid, signal.SIGCONT)
    if not replaced:
        raise FaultMissedError(f"worker {slot.number} stood still, and nobody took over")
    slept = SESSION_SECONDS + scene.fault.seconds
    return f"worker {slot.number} stood still for {slept:.1f} s, past its session"


async def _late_write(scene: Scene) -> str:
    """A worker's states arrive after its successor's newer ones, and compaction is forced.

    1. A Produce request of the worker is kept back on its way; the worker is stopped.
    2. Others take its partitions over, and publish newer states of the same users.
    3. It wakes, and takes part again, with all restores that brings: nothing more will look back.
    4. Its request arrives: older states lie behind newer ones, and no action hides them.
    5. What is left after compaction must be as new as what was ever there.
    """
    system, slot = scene.system, scene.slot
    held = hold(slot.proxies, system.names.profiles)
    if not await held.wait_caught(PATIENCE):
        held.release()
        raise FaultMissedError(f"worker {slot.number} published nothing; no write could be late")
    before = assignments(scene.others)
    os.kill(scene.pid, signal.SIGSTOP)
    try:
        await scene.taken_over(before)
        await scene.last()
        await asyncio.to_thread(scene.load.pause)
        await system.settle(PATIENCE)
    finally:
        joined = slot.assignments()
        os.kill(scene.pid, signal.SIGCONT)
    await system.within(PATIENCE, lambda: slot.assignments() > joined)
    # Further actions are applied by each: so all have been restored, and none will be again.
    scene.load.resume()
    await scene.last()
    await asyncio.to_thread(scene.load.pause)
    await system.settle(PATIENCE)
    late = system.watch.late
    held.release()
    await system.within(REPAIR_SECONDS, lambda: system.watch.late > late)
    late = system.watch.late - late
    behind = len(system.watch.overtaken())
    repaired = await system.within(REPAIR_SECONDS, lambda: not system.watch.overtaken())
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


async def _worker_added(scene: Scene) -> str:
    system = scene.system
    spare = system.slots[-1]
    joined = spare.assignments()
    child = system.start_worker(spare)
    await system.within(PATIENCE, lambda: spare.assignments() > joined or not child.alive())
    there = spare.assignments() > joined
    await scene.last()
    status = await system.stop_worker(spare)
    if not there:
        raise FaultMissedError(f"a further worker did not join (exit status {status})")
    return f"a further worker joined, and left (exit status {status})"


async def _worker_removed(scene: Scene) -> str:
    status = await scene.system.stop_worker(scene.slot)
    await scene.last()
    scene.system.start_worker(scene.slot)
    return (
        f"worker {scene.slot.number} left (exit status {status}) "
        f"and came back after {scene.fault.seconds:.1f} s"
    )


async def _retrieval_killed(scene: Scene) -> str:
    """It is waited for: a service that starts while its broker is down ends, as it should."""
    assert scene.system.retrieval is not None  # noqa: S101 # revived before every fault
    await asyncio.to_thread(scene.system.retrieval.kill)
    await scene.last()
    scene.system.start_retrieval()
    await scene.system.wait_listening(PATIENCE)
    return f"retrieval killed, started again after {scene.fault.seconds:.1f} s"


async def _disk_full(scene: Scene) -> str:
    """Every write to a file fails, in whatever folder: EFBIG here, ENOSPC on a full disk.

    As long as the plan says, and on until a snapshot was due and could not be written.
    """
    slot, pid = scene.slot, scene.pid
    before = await _failed_snapshots(slot, lambda _: True)
    if before is None:
        raise FaultMissedError(f"worker {slot.number} does not say which writes failed")
    full = time.monotonic()
    usual, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, most))
    try:
        await scene.last()
        after = await _failed_snapshots(slot, lambda failed: failed > before)
    finally:
        if slot.child is not None and slot.child.alive():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (usual, most))
    seconds = time.monotonic() - full
    if after is None:
        raise FaultMissedError(
            f"worker {slot.number} could write no file for {seconds:.1f} s, and no snapshot failed"
        )
    return (
        f"worker {slot.number} could write no file for {seconds:.1f} s: "
        f"{after - before} snapshots failed"
    )


async def _failed_snapshots(slot: WorkerSlot, enough: Callable[[int], bool]) -> int | None:
    """How many failed, once that is enough; None where it never is in time."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        failed = await slot.failed_snapshots()
        if failed is not None and enough(failed):
            return failed
        await asyncio.sleep(0.2)
    return None


async def _encoder_refuses(scene: Scene) -> str:
    count = 1 + int(8 * scene.fault.size)
    await asyncio.to_thread(scene.load.refuse, count)
    return f"{count} texts that the encoder raises on"


async def _encoder_out_of_memory(scene: Scene) -> str:
    most = 0 if scene.fault.size < 0.5 else int(16 * scene.fault.size)  # noqa: PLR2004 # half of them
    scene.slot.control.change(out_of_memory_above=most)
    await scene.last()
    scene.slot.control.change(out_of_memory_above=None)
    what = "every text" if most == 0 else f"batches of more than {most} texts"
    return f"worker {scene.slot.number}: no memory for {what}, for {scene.fault.seconds:.1f} s"


async def _encoder_hangs(scene: Scene) -> str:
    scene.slot.control.change(hangs=True)
    await scene.last()
    scene.slot.control.change(hangs=False)
    return f"worker {scene.slot.number}: the encoder hung for {scene.fault.seconds:.1f} s"


async def _duplicates(scene: Scene) -> str:
    count = await asyncio.to_thread(scene.load.repeat)
    if count == 0:
        raise FaultMissedError("nothing with an event_id was sent yet: nothing to send again")
    return f"the last {count} actions with an event_id were sent again"


async def _clock_step(scene: Scene) -> str:
    """Forward by up to three days; back by less than the skew that a message's time may have."""
    size = scene.fault.size
    allowed = scene.system.settings.limits.clock_skew_seconds
    seconds = -0.8 * allowed * (1 - size) if size < 0.5 else 6 * 86_400.0 * (size - 0.5)  # noqa: PLR2004
    scene.slot.control.change(clock_ms=int(seconds * 1000))
    return f"worker {scene.slot.number}: the clock is {seconds:+.0f} s off from now on"


_FAULTS: dict[FaultKind, Callable[[Scene], Awaitable[str]]] = {
    FaultKind.worker_killed: _worker_killed,
    FaultKind.worker_stopped: _worker_stopped,
    FaultKind.worker_frozen: _worker_frozen,
    FaultKind.late_write: _late_write,
    FaultKind.worker_added: _worker_added,
    FaultKind.worker_removed: _worker_removed,
    FaultKind.broker_killed: broker_killed,
    FaultKind.leader_moved: leader_moved,
    FaultKind.retrieval_killed: _retrieval_killed,
    FaultKind.disk_full: _disk_full,
    FaultKind.slow_broker: slow_broker,
    FaultKind.encoder_refuses: _encoder_refuses,
    FaultKind.encoder_out_of_memory: _encoder_out_of_memory,
    FaultKind.encoder_hangs: _encoder_hangs,
    FaultKind.duplicates: _duplicates,
    FaultKind.clock_step: _clock_step,
}
