"""Wall and CPU time of what runs in other processes, between two points of its progress."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["CpuSampler", "Progress", "Stretch", "cpu_columns", "resident_bytes", "stretch_of"]

#: (time.monotonic() in seconds, actions done so far), in order.
Progress = list[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The measured part of a run.

    Attributes:
        actions: done in it.
        seconds: of wall time.
        cpu: seconds of CPU in it, by what used them.
    """

    actions: int
    seconds: float
    cpu: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Actions a second."""
        return self.actions / self.seconds

    def cpu_micros(self, name: str) -> float:
        """CPU microseconds an action."""
        return 1e6 * self.cpu[name] / self.actions

    def rate_per_core(self, name: str) -> float:
        """Actions a second of CPU."""
        return self.actions / self.cpu[name]

    def as_json(self) -> dict[str, object]:
        """For the file of raw figures."""
        return {
            "actions": self.actions,
            "seconds": round(self.seconds, 4),
            "rate": round(self.rate, 1),
            "cpu_micros_per_action": {name: round(self.cpu_micros(name), 3) for name in self.cpu},
        }


def cpu_columns(runs: Sequence[Stretch]) -> dict[str, str]:
    """Columns of a table: the median CPU time an action, by what used it."""
    return {
        f"{name} CPU µs/action": f"{statistics.median(run.cpu_micros(name) for run in runs):.2f}"
        for name in runs[0].cpu
    }


def stretch_of(progress: Progress, cpu: CpuSampler, *, start: int, end: int) -> Stretch:
    """From the first point at or past ``start`` actions to the first at or past ``end``.

    Both points are observed ones, so their exact counts are used: a program that reports only every
    thousandth action, or commits only twice a second, is neither favoured nor punished.

    Raises:
        ValueError: the progress has no such points, or both are the same.
    """
    first = next((one for one in progress if one[1] >= start), None)
    last = next((one for one in progress if one[1] >= end), None)
    if first is None or last is None or last[1] <= first[1]:
        raise ValueError(
            f"the run has no stretch from {start} to {end} actions: it went from {progress[:1]} to "
            f"{progress[-1:]} in {len(progress)} steps; use more actions"
        )
    return Stretch(last[1] - first[1], last[0] - first[0], cpu.between(first[0], last[0]))


class CpuSampler:
    """Samples the CPU time of process trees in a thread; use as a context manager.

    Reading ``/proc`` ten times a second costs about 1 ms of CPU a second.

    Args:
        pids: root process of each tree, by name.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._roots = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._trees: dict[str, dict[int, psutil.Process]] = {name: {} for name in pids}
        self._last: dict[str, dict[int, float]] = {name: {} for name in pids}
        self._times: list[float] = []
        self._seconds: dict[str, list[float]] = {name: [] for name in pids}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cpu-sampler", daemon=True)

    def __enter__(self) -> Self:
        self._sample(find=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stopping.wait(0.1):
            number += 1
            # Finding a tree's processes reads all of /proc, so it is done once in a second.
            self._sample(find=number % 10 == 0)
        self._sample(find=False)

    def _sample(self, *, find: bool) -> None:
        for name, root in self._roots.items():
            if find:
                self._trees[name] = _tree(root)
            for pid, process in self._trees[name].items():
                try:
                    times = process.cpu_times()
                except psutil.NoSuchProcess:
                    continue  # it ended: what it used last still counts
                self._last[name][pid] = times.user + times.system
            self._seconds[name].append(sum(self._last[name].values()))
        self._times.append(time.monotonic())

    def between(self, start: float, end: float) -> dict[str, float]:
        """CPU seconds of each tree between two times, interpolated between samples."""
        return {
            name: float(np.diff(np.interp([start, end], self._times, seconds))[0])
            for name, seconds in self._seconds.items()
        }


def _tree(root: psutil.Process) -> dict[int, psutil.Process]:
    try:
        return {one.pid: one for one in [root, *root.children(recursive=True)]}
    except psutil.NoSuchProcess:
        return {}


def resident_bytes(pids: Sequence[int]) -> int:
    """Resident memory of processes."""
    return sum(int(psutil.Process(pid).memory_info().rss) for pid in pids)
