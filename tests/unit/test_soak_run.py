"""How a soak goes through its plan: what it does about a fault that does not come about."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tidemark.errors import FaultMissedError
from tidemark.soak import run
from tidemark.soak.plan import Fault, FaultKind
from tidemark.soak.run import Happened


def harm(outcomes: list[str | None], monkeypatch: pytest.MonkeyPatch) -> list[Happened]:
    """What is told of one fault whose tries end like this; None where it does not come about."""
    left = list(outcomes)

    async def inject(*_: Any) -> str:
        what = left.pop(0)
        if what is None:
            raise FaultMissedError("nobody took over")
        return what

    async def main() -> list[Happened]:
        fault = Fault(7, FaultKind.worker_frozen, after=0.0, seconds=0.0, worker=0, node=0, size=0)
        quiet: Any = SimpleNamespace(check=lambda: None, revive=lambda: None)
        return [one async for one in run._harm(quiet, quiet, [fault], 0.0)]  # noqa: SLF001

    monkeypatch.setattr(run, "inject", inject)
    told = asyncio.run(main())
    assert not left
    return told


def test_a_fault_that_comes_about_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (told,) = harm(["stood still"], monkeypatch)
    assert (told.number, told.kind, told.what, told.missed) == (
        7, "worker_frozen", "stood still", False,
    )  # fmt: skip


def test_a_fault_that_does_not_come_about_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    (told,) = harm([None, "stood still"], monkeypatch)
    assert (told.what, told.missed) == ("stood still", False)


def test_a_fault_that_never_comes_about_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    (told,) = harm([None, None, None], monkeypatch)
    assert told.missed
    assert told.what == "nobody took over (tried 3 times)"
