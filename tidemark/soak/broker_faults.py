"""The faults that meet brokers, and the way to them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tidemark.errors import FaultMissedError
from tidemark.soak.scene import PATIENCE, REPAIR_SECONDS

if TYPE_CHECKING:
    from tidemark.soak.scene import Scene
    from tidemark.soak.system import SoakSystem

__all__ = ["broker_killed", "leader_moved", "slow_broker"]


async def broker_killed(scene: Scene) -> str:
    """With a copy missing, another broker's fall would stop the topic, as it should.

    Raises:
        FaultMissedError: a copy is missing before.
    """
    system = scene.system
    node = system.cluster.nodes[scene.fault.node]
    if not await _copies_in_sync(system, PATIENCE):
        raise FaultMissedError(
            f"after {PATIENCE:.0f} s not all {system.brokers} copies are in sync: broker "
            f"{node.node} may be the only one with the newest records, and was not killed"
        )
    await asyncio.to_thread(node.kill)
    await scene.last()
    await asyncio.to_thread(node.start)
    back = await _copies_in_sync(system, PATIENCE)
    return (
        f"broker {node.node} killed, started again after {scene.fault.seconds:.1f} s, "
        f"{'its copies in sync again' if back else f'a copy still missing {PATIENCE:.0f} s later'}"
    )


async def _copies_in_sync(system: SoakSystem, seconds: float) -> bool:
    """Whether every broker soon has all that was acknowledged."""
    topics = (system.topic, system.names.profiles)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        least = [await asyncio.to_thread(system.admin.in_sync, topic) for topic in topics]
        if min(least) == system.brokers:
            return True
        await asyncio.sleep(0.2)
    return False


async def leader_moved(scene: Scene) -> str:
    """Another copy of every partition leads.

    Raises:
        FaultMissedError: none does.
    """
    system = scene.system
    moved = []
    for topic in (system.topic, system.names.profiles):
        before = await asyncio.to_thread(system.admin.leaders, topic)
        await asyncio.to_thread(system.admin.move_leaders, topic)
        deadline = time.monotonic() + REPAIR_SECONDS
        changed = 0
        while changed < len(before) and time.monotonic() < deadline:
            after = await asyncio.to_thread(system.admin.leaders, topic)
            changed = sum(old != new for old, new in zip(before, after, strict=True))
        if changed == 0:
            raise FaultMissedError(f"no leader of {topic} moved within {REPAIR_SECONDS:.0f} s")
        moved.append(f"{changed} of {len(before)} of {topic}")
    return f"leaders moved: {', '.join(moved)}"


async def slow_broker(scene: Scene) -> str:
    """Every request waits, from every worker."""
    delay = 0.05 + 0.5 * scene.fault.size
    proxies = [proxy for slot in scene.system.slots for proxy in slot.proxies]
    for proxy in proxies:
        proxy.delay = delay
    await scene.last()
    for proxy in proxies:
        proxy.delay = 0.0
    return f"every request took {delay:.2f} s longer, for {scene.fault.seconds:.1f} s"
