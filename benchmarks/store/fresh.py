"""Work done in a process of its own, which begins with nothing in memory and takes it along."""

from __future__ import annotations

import gc
import multiprocessing
import traceback
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

__all__ = ["in_fresh_process", "own_bytes"]

Result = TypeVar("Result")


def in_fresh_process(work: Callable[..., Result], *arguments: Any) -> Result:
    """What a function of a module returns, called in a new interpreter.

    Raises:
        RuntimeError: it raised, or the process ended.
    """
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe(duplex=False)
    child = spawning.Process(target=_call, args=(there, work, arguments), daemon=True)
    child.start()
    there.close()
    try:
        result, error = here.recv()
    except EOFError as ended:
        child.join()
        raise RuntimeError(f"{work.__name__} ended with status {child.exitcode}") from ended
    finally:
        child.terminate()  # it has said what it had to say, or we are to end
        child.join()
    if error:
        raise RuntimeError(f"{work.__name__} failed in its process:\n{error}")
    found: Result = result
    return found


def _call(there: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    answer: tuple[Any, str | None]
    try:
        answer = (work(*arguments), None)
    except Exception:  # noqa: BLE001 # raised again by whoever waits
        answer = (None, traceback.format_exc())
    there.send(answer)


def own_bytes() -> int:
    """Resident memory of this process, but for pages of files."""
    gc.collect()
    found = psutil.Process().memory_info()
    return int(found.rss - found.shared)
