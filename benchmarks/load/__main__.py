"""``python -m benchmarks.load``: what ``make load`` runs.

Drives a running service (``--url``, its token in TIDEMARK_CLIENT__TOKEN), or one on made-up data
that it starts. Times are those of the clients, on the same machine if it is started here.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.common.environments import peer_python
from benchmarks.common.results import commit, results_folder
from streams.errors import StreamsError
from streams.processes import Child, free_port
from tidemark.errors import NotReadyError, TidemarkError

__all__ = ["main", "summary"]

_PROGRAM = Path(__file__).parent / "programs" / "drive.py"
_READY_SECONDS = 300.0
_WARM_UP_SECONDS = 5.0
#: A shorter run shows that it works, not how fast.
_FULL_SECONDS = 60.0


def main() -> int:
    """Drive, print and save.

    Returns:
        0, or 1 where a request failed, or 2 where nothing could be driven.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--url", help="of a running service; one is started without")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=16, help="requests under way at most")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second; 0: no bound")
    parser.add_argument("--profiles", type=int, default=100_000, help="of the service started")
    parser.add_argument("--items", type=int, default=10_000, help="of the service started")
    parser.add_argument("--writes", type=int, default=5_000, help="profiles a second, meanwhile")
    given = parser.parse_args()
    try:
        outcome = _measure(given)
    except (StreamsError, TidemarkError) as error:
        print(error, file=sys.stderr)
        return 2
    _show(outcome)
    folder = results_folder(quick=given.seconds < _FULL_SECONDS)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "load.json"
    file.write_text(json.dumps(outcome, indent=1) + "\n")
    print(f"written to {file}")
    return 1 if outcome["failed"] else 0


def summary(times_ms: dict[str, list[float]], seconds: float) -> dict[str, dict[str, float]]:
    """Of each endpoint, and of all, the number of answers, their rate and quantiles of times."""
    everything = {**times_ms, "all": [one for times in times_ms.values() for one in times]}
    found = {}
    for name, times in everything.items():
        if not times:
            continue
        p50, p95, p99 = np.percentile(times, [50, 95, 99]).tolist()
        found[name] = {
            "answers": len(times),
            "per_second": round(len(times) / seconds, 1),
            "p50_ms": round(p50, 2),
            "p95_ms": round(p95, 2),
            "p99_ms": round(p99, 2),
            "max_ms": round(max(times), 2),
        }
    return found


def _measure(given: argparse.Namespace) -> dict[str, Any]:
    python = peer_python("locust")
    with ExitStack() as running:
        url = given.url or _start(given, running)
        asked = {
            "url": url,
            "seconds": given.seconds,
            "warm_up_seconds": _WARM_UP_SECONDS,
            "clients": given.clients,
            "rate": given.rate,
        }
        done = subprocess.run(
            [str(python), str(_PROGRAM), json.dumps(asked)],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise TidemarkError(f"Locust ended with {done.returncode}; it says why above")
        answered = json.loads(done.stdout.splitlines()[-1])
        freshness = None if given.url else _freshness(url)
    measured = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "clients": given.clients,
        "asked_per_second": given.rate or None,
        "seconds": round(answered["seconds"], 1),
        "endpoints": summary(answered["times_ms"], answered["seconds"]),
        "failed": answered["failed"],
    }
    if not given.url:
        measured["service"] = {
            "profiles": given.profiles,
            "items": given.items,
            "dim": 384,
            "profiles_written_per_second": given.writes,
            "freshness": freshness,
            "processors": len(os.sched_getaffinity(0)),
        }
    return measured


def _start(given: argparse.Namespace, running: ExitStack) -> str:
    folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="tidemark-load-")))
    port = free_port()
    child = Child(
        "service",
        [
            sys.executable, "-m", "benchmarks.load.service", "--port", str(port), "--profiles",
            str(given.profiles), "--items", str(given.items), "--writes", str(given.writes),
        ],
        folder / "service.log",
    )  # fmt: skip
    running.enter_context(child)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        child.check()
        try:
            if httpx.get(f"{url}/readyz", timeout=10.0).status_code == httpx.codes.OK:
                return url
        except httpx.TransportError:
            pass  # it does not listen yet; the deadline and its end are watched
        time.sleep(0.1)
    raise NotReadyError(f"the service was not ready within {_READY_SECONDS:.0f} s")


def _freshness(url: str) -> dict[str, float]:
    """Of the profiles written meanwhile, as the service saw it."""
    status = httpx.get(f"{url}/v1/status", timeout=30.0).raise_for_status().json()
    found: dict[str, float] = status["freshness"]
    return found


def _show(outcome: dict[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120)
    asked = outcome["asked_per_second"]
    title = f"{outcome['clients']} clients, {f'{asked:g} requests/s' if asked else 'no pause'}"
    table = Table("", "answers", "a second", "p50 ms", "p95 ms", "p99 ms", "longest", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, one in outcome["endpoints"].items():
        table.add_row(
            name, f"{one['answers']:,}", f"{one['per_second']:,.1f}", f"{one['p50_ms']:.1f}",
            f"{one['p95_ms']:.1f}", f"{one['p99_ms']:.1f}", f"{one['max_ms']:.0f}",
        )  # fmt: skip
    console.print(table)
    if "service" in outcome:
        service = outcome["service"]
        console.print(
            f"{service['profiles']:,} profiles and {service['items']:,} items of 384 numbers, "
            f"{service['profiles_written_per_second']:,} profiles written a second, retrievable "
            f"after p50 {1000 * service['freshness']['p50_seconds']:.0f} ms, "
            f"p99 {1000 * service['freshness']['p99_seconds']:.0f} ms"
            if service["freshness"]["count"]
            else "no profiles were written meanwhile"
        )
    for what, count in outcome["failed"].items():
        console.print(f"{count:,} × {what}", style="red", markup=False)


if __name__ == "__main__":
    sys.exit(main())
