"""How busy a device is, and how full its memory: a CPU by psutil, a GPU by torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

__all__ = ["CpuUse", "DeviceReading", "DeviceUse", "GpuUse", "use_of"]

#: Of a control group, version 2: what a container may have. ``max`` where there is no limit.
_LIMIT = Path("/sys/fs/cgroup/memory.max")


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

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call begins the interval

    def read(self) -> DeviceReading:
        """Utilisation since the last call, of all cores that the process may run on."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        share = self._process.cpu_percent() / 100 / (cores or os.cpu_count() or 1)
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
