"""How a worker's process ends where it cannot go on."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import asyncio
from tidemark.cli.services import _run_until_stopped
from tidemark.logs import setup_logging, tell_no_tracebacks

class Failing:
    async def run(self, stopping):
        async def part():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise RuntimeError("the connection is closed")
        self.part = asyncio.create_task(part())
        await asyncio.sleep(0)
        raise ValueError("the broker refuses")

setup_logging("info")
try:
    _run_until_stopped(Failing(), WHAT)
except ValueError as error:
    print(f"error: {error}")
"""


def told_at_the_end(what: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.replace("WHAT", what)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "error: the broker refuses\n"
    return done.stderr


def test_parts_that_fail_while_it_ends_are_told_of_without_tracebacks() -> None:
    told = told_at_the_end("tell_no_tracebacks")
    assert "RuntimeError('the connection is closed')" in told
    assert "Traceback" not in told
    # and it is this that keeps them away
    assert "Traceback" in told_at_the_end("lambda: None")
