"""Which faults, when, and on what: a function of the seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tidemark.errors import SoakError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Fault", "FaultKind", "make_plan"]


class FaultKind(StrEnum):
    """What can go wrong; docs/soak.md says what each does."""

    worker_killed = "worker_killed"
    worker_stopped = "worker_stopped"
    worker_frozen = "worker_frozen"
    late_write = "late_write"
    worker_added = "worker_added"
    worker_removed = "worker_removed"
    broker_killed = "broker_killed"
    leader_moved = "leader_moved"
    retrieval_killed = "retrieval_killed"
    disk_full = "disk_full"
    slow_broker = "slow_broker"
    encoder_refuses = "encoder_refuses"
    encoder_out_of_memory = "encoder_out_of_memory"
    encoder_hangs = "encoder_hangs"
    duplicates = "duplicates"
    clock_step = "clock_step"


#: How long each lasts, seconds from and to; beside that, a frozen worker sleeps past its session.
_SECONDS: dict[FaultKind, tuple[float, float]] = {
    FaultKind.worker_killed: (0.0, 4.0),
    FaultKind.worker_stopped: (0.0, 2.0),
    FaultKind.worker_frozen: (1.0, 6.0),
    FaultKind.late_write: (1.0, 3.0),
    FaultKind.worker_added: (2.0, 6.0),
    FaultKind.worker_removed: (2.0, 6.0),
    FaultKind.broker_killed: (0.5, 5.0),
    FaultKind.leader_moved: (0.0, 0.0),
    FaultKind.retrieval_killed: (0.0, 2.0),
    FaultKind.disk_full: (6.0, 9.0),  # a worker writes a snapshot every five seconds
    FaultKind.slow_broker: (2.0, 6.0),
    FaultKind.encoder_refuses: (0.0, 0.0),
    FaultKind.encoder_out_of_memory: (1.0, 4.0),
    FaultKind.encoder_hangs: (1.0, 8.0),
    FaultKind.duplicates: (0.0, 0.0),
    FaultKind.clock_step: (0.0, 0.0),
}
#: Load before each fault, seconds from and to.
_BETWEEN = (0.5, 3.0)
#: These need a worker that takes over.
_NEED_TWO_WORKERS = {FaultKind.worker_frozen, FaultKind.late_write}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        number: from 1.
        after: seconds of load between the end of the fault before and this one.
        seconds: how long it lasts.
        worker: which one it meets, from 0.
        node: which broker it meets, from 0.
        size: in [0, 1): how much, for the faults that have a size.
    """

    number: int
    kind: FaultKind
    after: float
    seconds: float
    worker: int
    node: int
    size: float


def make_plan(
    kills: int, seed: int, *, workers: int = 2, brokers: int = 1, skip: Collection[FaultKind] = ()
) -> list[Fault]:
    """A plan of ``kills`` faults: every kind once before any comes again, in a random order.

    Args:
        kills: how many faults.
        seed: the same seed and arguments give the same plan.
        workers: that run all the time.
        brokers: nodes of the cluster; a leader can be moved where there are several.
        skip: kinds to leave out.

    Raises:
        SoakError: no kind is left.
    """
    kinds = [kind for kind in FaultKind if kind not in skip]
    if brokers < 2:  # noqa: PLR2004 # somewhere to move it
        kinds = [kind for kind in kinds if kind is not FaultKind.leader_moved]
    if workers < 2:  # noqa: PLR2004
        kinds = [kind for kind in kinds if kind not in _NEED_TWO_WORKERS]
    if not kinds:
        raise SoakError("every kind of fault is left out; expected at least one; see --skip")
    chance = random.Random(seed)  # noqa: S311 # reproducible, not secret
    plan: list[Fault] = []
    turn: list[FaultKind] = []
    for number in range(1, kills + 1):
        if not turn:
            turn = chance.sample(kinds, len(kinds))
        kind = turn.pop()
        plan.append(
            Fault(
                number=number,
                kind=kind,
                after=round(chance.uniform(*_BETWEEN), 2),
                seconds=round(chance.uniform(*_SECONDS[kind]), 2),
                worker=chance.randrange(workers),
                node=chance.randrange(brokers),
                size=round(chance.random(), 3),
            )
        )
    return plan
