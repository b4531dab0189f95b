"""How busy a device is, and how full its memory: a CPU by psutil, a GPU by torch."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CpuUse", "DeviceReading", "DeviceUse", "GpuUse", "use_of"]

#: Of a control group, version 2: what a container may have. ``max`` where there is no limit.
_LIMIT = Path("/sys/fs/cgroup/memory.max")
_WINDOW_S = 15.0


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """A device at a moment; None where it does not tell.

    Attributes:
        device: ``cpu`` or ``cuda:0``.
        utilization: 0 to 1.
        memory_bytes: in use.
        memory_limit_bytes: that there are.
    """

    device: str
    utilization: float | None
    memory_bytes: float | None
    memory_limit_bytes: float | None


class DeviceUse(Protocol):
    """Asked at each scrape."""

    def read(self) -> DeviceReading:
        """The device now."""
        ...


class CpuUse:
    """What this process uses of the processor and the memory that it may have."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._process = psutil.Process()
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque([(clock(), self._busy())])

    def _busy(self) -> float:
        """Seconds of CPU that the process took so far."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def read(self) -> DeviceReading:
        """Utilisation over the last 15 seconds or so, of all cores that the process may run on.

        Not since the last call: several scrape, each would shorten the others' time.
        """
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        now, busy = self._clock(), self._busy()
        while len(self._seen) > 1 and now - self._seen[1][0] >= _WINDOW_S:
            self._seen.popleft()
        begun, before = self._seen[0]
        share = (busy - before) / max(now - begun, 1e-3) / (cores or os.cpu_count() or 1)
        if now - self._seen[-1][0] >= 1:
            self._seen.append((now, busy))
        total = float(psutil.virtual_memory().total)
        return DeviceReading(
            "cpu", min(1.0, share), self._process.memory_info().rss, min(total, _limit(_LIMIT))
        )


class GpuUse:
    """A CUDA device, whoever uses it."""

    def __init__(self, device: str) -> None:
        import torch  # noqa: PLC0415 # slow to load, and a CPU's use does not need it

        self._torch = torch
        self._device = torch.device(device)
        self._name = f"cuda:{self._device.index or 0}"

    def read(self) -> DeviceReading:
        """Utilisation needs NVIDIA's management library (the extra ``gpu`` brings it)."""
        free, total = self._torch.cuda.mem_get_info(self._device)
        try:
            busy = self._torch.cuda.utilization(self._device) / 100
        except (ModuleNotFoundError, RuntimeError):
            busy = None
        return DeviceReading(self._name, busy, total - free, total)


def use_of(device: str) -> DeviceUse:
    """Of ``cpu``, or of a CUDA device by torch's name."""
    return GpuUse(device) if device.startswith("cuda") else CpuUse()


def _limit(file: Path) -> float:
    """Infinity where nothing limits it."""
    try:
        return float(file.read_text().strip().replace("max", "inf"))
    except (OSError, ValueError):
        return float("inf")
