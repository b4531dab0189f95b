"""A place for a worker in a soak: how it is started there, asked, stopped and judged."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from streams.processes import Child, free_port
from tidemark.soak.control import Control

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tidemark.soak.control import ControlFile
    from tidemark.soak.proxy import BrokerProxy

__all__ = ["STOP_SECONDS", "WorkerSlot", "metric", "stop_problem"]

#: From SIGTERM to the end of the process, at most.
STOP_SECONDS = 10.0
_ANSWER_SECONDS = 5.0
_TOLD_LINES = 4


@dataclass(slots=True)
class WorkerSlot:
    """Its own proxies, settings for its faults, and the process, if any."""

    number: int
    folder: Path
    proxies: list[BrokerProxy]
    control: ControlFile
    child: Child | None = None
    wanted: bool = False
    metrics_port: int = 0
    joined: int = 0  # assignments before the process that runs now

    @property
    def log(self) -> Path:
        """All that the worker in this place said."""
        return self.folder / "worker.log"

    def assignments(self) -> int:
        """How often the worker in this place was assigned partitions, or none."""
        return self.log.read_text().count("partitions assigned") if self.log.exists() else 0

    def start(self, environment: Mapping[str, str]) -> Child:
        """Run a worker with these settings, well again."""
        self.control.write(Control())
        self.wanted = True
        self.joined = self.assignments()
        self.metrics_port = free_port()
        self.child = Child(
            f"worker {self.number}",
            [
                sys.executable, "-m", "tidemark.soak.worker",
                "--control", str(self.folder / "control.json"), "--state", str(self.folder),
            ],
            self.log,
            env={**environment, "TIDEMARK_WORKER__METRICS_PORT": str(self.metrics_port)},
        )  # fmt: skip
        return self.child

    def stop(self) -> tuple[int, str | None]:
        """Stop it by SIGTERM; blocks. Returns its exit status and what was wrong, if anything."""
        child = self.child
        assert child is not None  # noqa: S101 # faults meet workers that run
        self.wanted = False
        ran, begun = child.alive(), self.assignments() > self.joined
        asked = time.monotonic()
        status = child.stop()
        problem = stop_problem(status, time.monotonic() - asked, ran=ran, begun=begun)
        if problem is not None:
            problem = f"worker {self.number}, {problem}: {child.tail(_TOLD_LINES)}"
        return status, problem

    async def failed_snapshots(self) -> int | None:
        """Snapshots that the worker could not write; None while it does not answer."""
        try:
            async with httpx.AsyncClient(timeout=_ANSWER_SECONDS) as http:
                answer = await http.get(f"http://127.0.0.1:{self.metrics_port}/metrics")
        except httpx.TransportError:
            return None
        found = metric(answer.text, "tidemark_snapshot_failures_total")
        return None if found is None else int(found)


def stop_problem(status: int, seconds: float, *, ran: bool, begun: bool) -> str | None:
    """What was wrong with the end of a worker that was to stop; None where nothing was.

    Args:
        status: its exit status; minus the signal that ended it.
        seconds: since SIGTERM.
        ran: it still ran when it was asked.
        begun: it had been assigned partitions, or none, before. One that still loads its modules
            is ended by SIGTERM like any process: there is nothing yet that it could finish.
    """
    if not ran:
        return f"ended by itself, exit status {status}"
    if status == -signal.SIGTERM and not begun:
        return None
    if status == 0 and seconds <= STOP_SECONDS:
        return None
    return (
        f"exit status {status} {seconds:.1f} s after SIGTERM; "
        f"expected 0 within {STOP_SECONDS:.0f} s"
    )


def metric(scrape: str, name: str) -> float | None:
    """The value of a metric without labels; None where it is not there.

    Args:
        scrape: in the Prometheus text format.
        name: with its ending, as ``_total``.
    """
    for line in scrape.splitlines():
        found, _, value = line.partition(" ")
        if found == name:
            return float(value)
    return None
