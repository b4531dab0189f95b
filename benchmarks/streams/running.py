"""Runs a program over a loaded topic and measures its steady stretch."""

from __future__ import annotations

import itertools
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common.stopwatch import CpuSampler, Progress, Stretch, stretch_of
from streams.processes import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.common.broker import Bench

__all__ = ["BROKER", "TAIL", "WORKER", "Program", "program", "run_program", "watch"]

#: Names of what CPU time is told of.
WORKER, BROKER = "worker", "broker"

#: Actions in a topic beyond the last one measured: programs report by the thousand, and none is to
#: meet the end of the topic while it is measured.
TAIL = 20_000

_PROGRAMS = Path(__file__).with_name("programs")
_STALLED_SECONDS = 120.0
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Program:
    """A running program.

    Attributes:
        child: its process.
        group: its consumer group.
        folder: where it reports its progress.
    """

    child: Child
    group: str
    folder: Path

    def wait(self, end: int) -> None:
        """Return when it has done so many actions.

        Raises:
            ChildFailedError: it ended by itself; with the end of its log.
            RuntimeError: it got stuck.
        """
        _wait(self.child, lambda: _last_count(self.folder), end)

    def progress(self) -> Progress:
        """What it reported so far, its processes added up."""
        return _read_progress(self.folder)


@contextmanager
def program(
    bench: Bench,
    name: str,
    python: Path,
    *,
    topic: str,
    given: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Program]:
    """Start one of ``programs/`` as a new consumer group that reads a topic from its beginning.

    Args:
        bench: the broker.
        name: file name without ``.py``.
        python: the interpreter, hence the environment.
        topic: what it reads.
        given: further arguments of the program.
        env: variables of its environment beside ours.
    """
    group = f"{name}-{next(_numbers)}"
    folder = bench.folder / group
    progress = folder / "progress"
    progress.mkdir(parents=True)
    arguments = {
        "bootstrap": bench.bootstrap,
        "topic": topic,
        "group": group,
        "folder": str(folder / "state"),
        "progress": str(progress),
        **(given or {}),
    }
    command = [str(python), str(_PROGRAMS / f"{name}.py"), json.dumps(arguments)]
    with Child(group, command, folder / "log", env=env, cwd=folder, grace=5.0) as child:
        yield Program(child, group, progress)


def run_program(
    bench: Bench,
    name: str,
    python: Path,
    *,
    topic: str,
    start: int,
    end: int,
    given: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
) -> Stretch:
    """Run a program until it has done ``end`` actions.

    Args:
        bench: as for `program`, and so are ``name``, ``python``, ``given`` and ``env``.
        name: see there.
        python: see there.
        given: see there.
        env: see there.
        topic: loaded with at least ``end + TAIL`` actions.
        start: actions after which the clock starts; before is start-up and warm-up.
        end: actions at which it stops.
    """
    with (
        program(bench, name, python, topic=topic, given=given, env=env) as running,
        CpuSampler({WORKER: running.child.pid, BROKER: bench.pid}) as cpu,
    ):
        running.wait(end)
    return stretch_of(running.progress(), cpu, start=start, end=end)


def watch(child: Child, count: Callable[[], int], *, end: int, every: float = 0.05) -> Progress:
    """Ask for a count until it reaches ``end``; the points at which it changed.

    Raises:
        ChildFailedError: the process ended.
        RuntimeError: the count does not move any more.
    """
    points: Progress = []

    def observed() -> int:
        now = count()
        if not points or now != points[-1][1]:
            points.append((time.monotonic(), now))
        return now

    _wait(child, observed, end, every)
    return points


def _wait(child: Child, count: Callable[[], int], end: int, every: float = 0.1) -> None:
    seen, moved = -1, time.monotonic()
    while True:
        now = count()
        if now >= end:
            return
        child.check()
        if now > seen:
            seen, moved = now, time.monotonic()
        if time.monotonic() - moved > _STALLED_SECONDS:
            raise RuntimeError(
                f"{child.name} is stuck at {now} of {end} actions. The end of its log:\n"
                f"{child.tail(30)}"
            )
        time.sleep(every)


def _last_count(folder: Path) -> int:
    total = 0
    for path in folder.iterdir():
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 100))
            lines = file.read().split(b"\n")
        if len(lines) > 1:  # the last one is what follows the last line break
            total += int(lines[-2].split()[1])
    return total


def _read_progress(folder: Path) -> Progress:
    """The processes' counts, added up in the order of time."""
    points: list[tuple[float, str, int]] = []
    for path in folder.iterdir():
        for line in path.read_text().splitlines():
            time_of_it, done = line.split()
            points.append((float(time_of_it), path.name, int(done)))
    counts: dict[str, int] = {}
    progress: Progress = []
    for seconds, process, count in sorted(points):
        counts[process] = count
        progress.append((seconds, sum(counts.values())))
    return progress
