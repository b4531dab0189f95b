"""A worker that was stopped past its session wakes, and its old states arrive after newer ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from soak_helpers import endure, movielens, require_kafka_home

from tidemark.soak.plan import Fault, FaultKind
from tidemark.soak.system import SoakSystem
from tidemark.soak.verdict import Verdict

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def run(folder: Path, kind: FaultKind) -> tuple[Verdict, str, SoakSystem]:
    async def main() -> tuple[Verdict, str, SoakSystem]:
        fault = Fault(1, kind, after=2.0, seconds=2.0, worker=0, node=0, size=0.5)
        async with SoakSystem(require_kafka_home(), folder, movielens()) as system:
            return *(await endure(system, [fault], rate=200)), system

    return asyncio.run(main())


def test_a_frozen_worker_harms_nothing_when_it_wakes(tmp_path: Path) -> None:
    verdict, said, system = run(tmp_path, FaultKind.worker_frozen)
    assert verdict.failures() == dict.fromkeys(verdict.failures(), 0), verdict.details
    assert verdict.applied > 1_000
    assert "past its session" in said
    # The other one took over, and handed back.
    assert system.slots[1].assignments() >= 3


def test_a_late_write_does_not_survive_compaction(tmp_path: Path) -> None:
    verdict, said, system = run(tmp_path, FaultKind.late_write)
    if system.watch.late == 0:
        pytest.fail(f"no state came late, so nothing was tested: {said}")
    assert "compacted" in said
    assert "0 overwritten" in said
    assert verdict.failures() == dict.fromkeys(verdict.failures(), 0), verdict.details
