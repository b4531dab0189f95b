"""CPU an action of a deployment: worker and retrieval service as processes, on the embedded broker.

Nothing of theirs is left out: fetching, decoding, looking the texts up, folding, publishing,
following, indexing, and what they do while they wait. Broker and publisher are not counted.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.common.stopwatch import CpuSampler
from benchmarks.quality.clicks import ITEMS, clicks
from streams.publisher import ActionPublisher, ItemPublisher
from streams.schema import Item
from tidemark.errors import NotReadyError
from tidemark.local import LocalSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from streams.schema import Action

__all__ = ["FULL_SPEED", "Deployed", "cost_of_actions"]

#: In place of a rate: as fast as they can be published and read.
FULL_SPEED = 0
_PARTS = ("worker", "retrieval")
_SLICE_SECONDS = 0.01
_STALLED_SECONDS = 120.0


class Deployed(NamedTuple):
    """What one stretch of actions took.

    Attributes:
        actions: published in it, and retrievable at its end.
        seconds: of wall time.
        micros: of CPU an action, by process.
        counted, learned: choices that the service took in.
    """

    actions: int
    seconds: float
    micros: dict[str, float]
    counted: int
    learned: int

    @property
    def cost(self) -> float:
        """CPU µs an action, of both processes."""
        return sum(self.micros.values())


def cost_of_actions(
    rates: Sequence[int], *, learns: bool, warm: int, seconds: float, at_once: int
) -> list[Deployed]:
    """Start a deployment, warm it up, and measure a stretch at each rate.

    Args:
        rates: actions a second, or `FULL_SPEED`.
        learns: whether `ranking.enabled`.
        warm: actions before anything is measured, so that users have a past.
        seconds: of a stretch at a rate.
        at_once: actions of a stretch at full speed.
    """
    env = {
        "TIDEMARK_RANKING__ENABLED": str(learns).lower(),
        # All texts are known after the warm-up, whatever made their vectors.
        "TIDEMARK_ENCODER__MODEL": "hashing",
    }
    with (
        tempfile.TemporaryDirectory(prefix="tidemark-bench-") as folder,
        LocalSystem(Path(folder), port=0, embedded=True, env=env) as system,
    ):
        return _measured(system, rates, warm, seconds, at_once)


def _measured(
    system: LocalSystem, rates: Sequence[int], warm: int, seconds: float, at_once: int
) -> list[Deployed]:
    with ItemPublisher(system.bootstrap) as publisher:
        for at in range(ITEMS):
            publisher.publish(Item(item_id=f"i{at}", title=f"Item {at}"))
    _wait(system, lambda status: int(status["items"]), ITEMS)
    done = warm
    _publish(system, clicks(warm, 0), FULL_SPEED)
    _wait(system, _applied, done)
    found = []
    with CpuSampler({name: system.pids[name] for name in _PARTS}) as cpu:
        spans = []
        for number, rate in enumerate(rates):
            count = int(rate * seconds) if rate else at_once
            made = clicks(count, 1 + number)
            before, begun = system.status(), time.monotonic()
            _publish(system, made, rate)
            done += count
            _wait(system, _applied, done)
            spans.append((count, begun, time.monotonic(), before, system.status()))
            time.sleep(1.0)  # what is put off is not the next one's
    for count, begun, ended, before, after in spans:
        spent = cpu.between(begun, ended)
        micros = {name: 1e6 * spent[name] / count for name in _PARTS}
        found.append(
            Deployed(
                count, ended - begun, micros,
                *(_of_ranking(after, name) - _of_ranking(before, name)
                  for name in ("counted", "learned")),
            )
        )  # fmt: skip
    return found


def _publish(system: LocalSystem, made: Sequence[Action], rate: int) -> None:
    """At an even pace, or all at once."""
    with ActionPublisher(system.bootstrap) as publisher:
        begun, sent = time.monotonic(), 0
        while sent < len(made):
            due = int(rate * (time.monotonic() - begun)) + 1 if rate else len(made)
            for action in made[sent:due]:
                publisher.publish_action(action)
            sent = due
            time.sleep(_SLICE_SECONDS)


def _wait(system: LocalSystem, read: Callable[[dict[str, Any]], int], count: int) -> None:
    moved, seen = time.monotonic(), -1
    while (now := read(system.status())) < count:
        system.check()
        if now > seen:
            moved, seen = time.monotonic(), now
        if time.monotonic() - moved > _STALLED_SECONDS:
            raise NotReadyError(
                f"only {now} of {count} can be retrieved, and nothing moved for "
                f"{_STALLED_SECONDS:.0f} s; see the logs in {system.folder}"
            )
        time.sleep(0.2)


def _applied(status: dict[str, Any]) -> int:
    return sum(offset + 1 for offsets in status["applied"].values() for offset in offsets.values())


def _of_ranking(status: dict[str, Any], name: str) -> int:
    return int(status["ranking"][name]) if status["ranking"] is not None else 0
