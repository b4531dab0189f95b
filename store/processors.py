"""How many processors this process may use: fewer than the machine has, in a container."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["processors"]

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def processors(quota: Path = _QUOTA) -> int:
    """Those that it is bound to, and no more than its control group's share of time, rounded up.

    Threads beyond that share are stopped for the rest of each period, all of them.

    Args:
        quota: of the control group (version 2): microseconds of a period, or ``max``.
    """
    bound = len(os.sched_getaffinity(0))
    try:
        allowed, period = quota.read_text().split()
        share = math.inf if allowed == "max" else int(allowed) / int(period)
    except (OSError, ValueError):
        return bound  # no control group that says
    return max(1, min(bound, math.ceil(share))) if math.isfinite(share) else bound
