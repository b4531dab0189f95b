"""Progress bars on standard error: for work that may take long, where a person looks."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tidemark.cli.common import errors, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

__all__ = ["Counts", "RestoreBar", "counted", "waiting"]

_LOOK_SECONDS = 0.25


def _bar(console: Console, *, disable: bool = False) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=disable,
    )  # fmt: skip


@contextmanager
def counted(what: str, *, as_json: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told how much is done, and of how much; nothing in a pipe, or beside JSON."""
    with _bar(errors, disable=as_json or not errors.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


@contextmanager
def waiting(*, as_json: bool = False) -> Iterator[Callable[[str], None]]:
    """A line that says what is waited for, until it is told nothing; shown where `counted` is."""
    status = errors.status("")

    def tell(what: str) -> None:
        if not what:
            status.stop()
        elif errors.is_terminal and not as_json:
            status.update(shown(what))
            status.start()

    try:
        yield tell
    finally:
        status.stop()


class Counts:
    """How far something is that tells it, for whoever looks."""

    def __init__(self) -> None:
        self._now = 0, 0

    def tell(self, done: int, of: int) -> None:
        """So many of so many, perhaps about so many."""
        self._now = done, of

    def look(self) -> tuple[int, int]:
        """What was told last; 0 and 0 where all is done."""
        done, of = self._now
        return (done, of) if done < of else (0, 0)


class RestoreBar:
    """Shows a process's restores as long as they run: the first at its start, others later.

    What is logged meanwhile stands above the bar. One that is over at the next look is not shown.

    Args:
        what: is read back.
        look: how much was, and about how much there is; 0 and 0 where nothing is read back.
        console: where; nothing is shown where it is no terminal.
    """

    def __init__(
        self, what: str, look: Callable[[], tuple[int, int]], console: Console = errors
    ) -> None:
        self._what, self._look, self._console = what, look, console
        self._progress: Progress | None = None
        self._was_restoring = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="restore-bar", daemon=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._hide()

    def refresh(self) -> None:
        """Look once, and show it."""
        done, of = self._look()
        if not of:
            self._was_restoring = False
            self._hide()
            return
        if self._progress is None and self._was_restoring:
            self._progress = _bar(self._console)
            self._progress.add_task(self._what, completed=done, total=of)
            self._progress.start()
        self._was_restoring = True
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=done, total=of)

    def _run(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self.refresh()

    def _hide(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
