"""The bars of work that takes long, on a terminal and in a pipe."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console
from system_helpers import wait_until

from tidemark.cli import bars
from tidemark.cli.bars import Counts, RestoreBar, counted, waiting


def terminal() -> tuple[Console, io.StringIO]:
    said = io.StringIO()
    return Console(file=said, force_terminal=True, width=100), said


def pipe() -> tuple[Console, io.StringIO]:
    said = io.StringIO()
    return Console(file=said, width=100), said


def test_work_that_is_counted_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    console, said = terminal()
    monkeypatch.setattr(bars, "errors", console)
    with counted("reading letters") as progress:
        progress(70, 200)
    assert "reading letters" in said.getvalue()
    assert "70/200" in said.getvalue()


def test_there_is_none_in_a_pipe_nor_beside_json(monkeypatch: pytest.MonkeyPatch) -> None:
    for (console, said), as_json in ((pipe(), False), (terminal(), True)):
        monkeypatch.setattr(bars, "errors", console)
        with counted("reading letters", as_json=as_json) as progress:
            progress(70, 200)
        with waiting(as_json=as_json) as tell:
            tell("worker: restoring")
        assert said.getvalue() == ""


def test_what_is_waited_for_is_said_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    console, said = terminal()
    monkeypatch.setattr(bars, "errors", console)
    with waiting() as tell:
        tell("worker: restoring partition 0: 10 of ~30 [profiles]")
        wait_until(lambda: "10 of ~30 [profiles]" in said.getvalue())
        tell("")
        before = len(said.getvalue())
        time.sleep(0.3)  # several turns of what spins
        assert len(said.getvalue()) == before


def test_a_restore_is_shown_from_the_second_look_on() -> None:
    console, said = terminal()
    counts = Counts()
    bar = RestoreBar("restoring profiles", counts.look, console)
    bar.refresh()
    counts.tell(10, 50)
    bar.refresh()
    assert said.getvalue() == "", "one that is over in a moment does not flicker"
    counts.tell(20, 50)
    bar.refresh()
    wait_until(lambda: "20/50" in said.getvalue())
    counts.tell(50, 50)
    bar.refresh()
    before = len(said.getvalue())
    bar.refresh()
    assert len(said.getvalue()) == before
    # and the next one has a bar of its own
    counts.tell(1, 7)
    bar.refresh()
    bar.refresh()
    wait_until(lambda: "1/7" in said.getvalue())
    bar.__exit__()


def test_restores_are_looked_at_beside_the_work() -> None:
    console, said = terminal()
    counts = Counts()
    with RestoreBar("restoring profiles", counts.look, console):
        counts.tell(1, 3)
        wait_until(lambda: "restoring profiles" in said.getvalue())
    nobody, said = pipe()
    with RestoreBar("restoring profiles", counts.look, nobody) as bar:
        assert not bar._thread.is_alive()  # noqa: SLF001
    assert said.getvalue() == ""
