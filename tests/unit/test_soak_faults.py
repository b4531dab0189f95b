"""Faults that did not come about say so, rather than count."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.processes import Child
from tidemark.errors import FaultMissedError
from tidemark.soak import broker_faults, faults
from tidemark.soak.faults import inject
from tidemark.soak.plan import Fault, FaultKind


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (faults, broker_faults):
        monkeypatch.setattr(module, "PATIENCE", 0.05)


def injected(system: Any, kind: FaultKind) -> str:
    load: Any = None  # neither of these looks at it
    fault = Fault(1, kind, after=0.0, seconds=0.0, worker=0, node=0, size=0.0)
    return asyncio.run(inject(system, load, fault))


class Cluster:
    """Three brokers that have these copies in sync before a kill and after the restart."""

    def __init__(self, before: int, after: int) -> None:
        self.copies, self._after = before, after
        self.killed = False
        node = SimpleNamespace(node=1, kill=self._kill, start=self._start)
        self.system = SimpleNamespace(
            cluster=SimpleNamespace(nodes=[node]),
            topic="actions",
            names=SimpleNamespace(profiles="profiles"),
            brokers=3,
            admin=SimpleNamespace(in_sync=self._in_sync),
        )

    def _in_sync(self, topic: str) -> int:
        return self.copies if topic == "profiles" else 3

    def _kill(self) -> None:
        self.killed, self.copies = True, 2

    def _start(self) -> None:
        self.copies = self._after


@pytest.mark.usefixtures("_impatient")
def test_no_broker_is_killed_while_a_copy_is_missing() -> None:
    cluster = Cluster(before=2, after=3)
    with pytest.raises(FaultMissedError, match="not all 3 copies are in sync"):
        injected(cluster.system, FaultKind.broker_killed)
    assert not cluster.killed


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("after", "told"), [(3, "its copies in sync again"), (2, "a copy still missing")]
)
def test_whether_the_copies_came_back_is_told(after: int, told: str) -> None:
    cluster = Cluster(before=3, after=after)
    said = injected(cluster.system, FaultKind.broker_killed)
    assert cluster.killed
    assert told in said


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    with Child(
        "idle", [sys.executable, "-c", "import time; time.sleep(600)"], tmp_path / "log"
    ) as running:
        yield running


class Slot:
    """A worker that tells these numbers of failed snapshots, the last one again and again."""

    number = 0

    def __init__(self, child: Child, *failed: int | None) -> None:
        self.child = child
        self._failed = list(failed)
        self.limits: list[int] = []
        self.system = SimpleNamespace(slots=[self])

    async def failed_snapshots(self) -> int | None:
        self.limits.append(self.limit())
        return self._failed.pop(0) if len(self._failed) > 1 else self._failed[0]

    def limit(self) -> int:
        return resource.prlimit(self.child.pid, resource.RLIMIT_FSIZE)[0]


def test_a_disk_is_full_until_a_snapshot_has_failed(child: Child) -> None:
    slot = Slot(child, 4, 4, None, 6)
    usual = slot.limit()
    assert "2 snapshots failed" in injected(slot.system, FaultKind.disk_full)
    assert slot.limits == [usual, 0, 0, 0]
    assert slot.limit() == usual


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("failed", "told"), [(4, "no snapshot failed"), (None, "does not say which writes failed")]
)
def test_a_full_disk_that_nobody_wrote_to_is_missed(
    child: Child, failed: int | None, told: str
) -> None:
    slot = Slot(child, failed)
    usual = slot.limit()
    with pytest.raises(FaultMissedError, match=told):
        injected(slot.system, FaultKind.disk_full)
    assert slot.limit() == usual
