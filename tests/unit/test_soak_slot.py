"""How a soak judges the end of a worker, and what it reads of one's metrics."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from system_helpers import wait_until

from streams.health import Health
from streams.health_server import HealthServer
from streams.metrics import PrometheusSensor
from streams.processes import Child
from tidemark.soak.control import ControlFile
from tidemark.soak.log import SoakLog
from tidemark.soak.slot import WorkerSlot, metric, stop_problem
from tidemark.soak.system import SoakSystem

#: A process that takes part, and leaves with this exit status when it is asked to.
LEAVES = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit({status}))
print("partitions assigned", flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize(
    ("status", "seconds", "ran", "begun", "problem"),
    [
        (0, 9.9, True, True, None),
        (0, 0.1, True, False, None),
        (0, 10.1, True, True, "exit status 0 10.1 s after SIGTERM; expected 0 within 10 s"),
        (1, 9.0, True, True, "exit status 1 9.0 s after SIGTERM; expected 0 within 10 s"),
        (1, 2.0, True, False, "exit status 1 2.0 s after SIGTERM; expected 0 within 10 s"),
        (-signal.SIGKILL, 15.0, True, True, "exit status -9 15.0 s after SIGTERM; expected 0 "),
        (-signal.SIGTERM, 0.0, True, False, None),
        (-signal.SIGTERM, 0.0, True, True, "exit status -15 0.0 s after SIGTERM; expected 0 "),
        (0, 0.0, False, True, "ended by itself, exit status 0"),
        (-signal.SIGSEGV, 0.0, False, False, "ended by itself, exit status -11"),
    ],
)
def test_a_worker_leaves_with_status_0_within_ten_seconds(
    status: int, seconds: float, ran: bool, begun: bool, problem: str | None
) -> None:
    said = stop_problem(status, seconds, ran=ran, begun=begun)
    assert said == problem or (said is not None and problem and said.startswith(problem))


def slot_with(folder: Path, code: str) -> WorkerSlot:
    slot = WorkerSlot(2, folder, [], ControlFile(folder / "control.json"), wanted=True)
    slot.child = Child("worker 2", [sys.executable, "-c", code], slot.log)
    return slot


def stopped(folder: Path, slot: WorkerSlot) -> tuple[int, list[str]]:
    """The exit status, and what the soak notes of it."""
    system = SoakSystem(Path(), folder, SoakLog([], []))
    status = asyncio.run(system.stop_worker(slot))
    assert not slot.wanted
    return status, system.exits


def test_a_worker_that_leaves_as_it_should_is_not_noted(tmp_path: Path) -> None:
    slot = slot_with(tmp_path, LEAVES.format(status=0))
    wait_until(lambda: slot.assignments() == 1)
    assert stopped(tmp_path, slot) == (0, [])


def test_a_worker_that_fails_while_it_stops_is_noted_with_the_end_of_its_log(
    tmp_path: Path,
) -> None:
    slot = slot_with(tmp_path, LEAVES.format(status=1))
    wait_until(lambda: slot.assignments() == 1)
    status, (noted,) = stopped(tmp_path, slot)
    assert status == 1
    assert noted.startswith("worker 2, exit status 1 ")
    assert noted.endswith("partitions assigned")


def test_a_worker_that_ended_before_it_was_asked_is_noted(tmp_path: Path) -> None:
    slot = slot_with(tmp_path, "print('partitions assigned')")
    wait_until(lambda: slot.child is not None and not slot.child.alive())
    assert stopped(tmp_path, slot) == (
        0,
        ["worker 2, ended by itself, exit status 0: partitions assigned"],
    )


def test_a_worker_that_has_not_begun_may_be_ended_by_the_signal(tmp_path: Path) -> None:
    slot = slot_with(tmp_path, "import time; time.sleep(600)")
    assert stopped(tmp_path, slot) == (-signal.SIGTERM, [])


def test_failed_snapshots_are_what_the_worker_counts(tmp_path: Path) -> None:
    registry, health = CollectorRegistry(), Health()
    sensor = PrometheusSensor(registry)
    slot = WorkerSlot(0, tmp_path, [], ControlFile(tmp_path / "control.json"))
    with HealthServer(health, registry, "127.0.0.1", 0) as server:
        slot.metrics_port = server.port
        assert asyncio.run(slot.failed_snapshots()) == 0
        sensor.on_snapshot(0.1)
        sensor.on_snapshot(None)
        sensor.on_snapshot(None)
        assert asyncio.run(slot.failed_snapshots()) == 2
    assert asyncio.run(slot.failed_snapshots()) is None


def test_a_metric_is_found_by_its_whole_name() -> None:
    scrape = '# TYPE a counter\na_total_more 9.0\na_total{b="c"} 8.0\na_total 7.0\n'
    assert metric(scrape, "a_total") == 7.0
    assert metric(scrape, "a") is None
