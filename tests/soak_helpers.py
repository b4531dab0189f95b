"""A soak's parts for tests that inject chosen faults."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tidemark.compose.parts import action_rules
from tidemark.settings import Settings
from tidemark.soak.faults import inject
from tidemark.soak.load import Load
from tidemark.soak.log import SoakLog, load_log
from tidemark.soak.plan import Fault
from tidemark.soak.run import conclude
from tidemark.soak.system import SoakSystem
from tidemark.soak.verdict import Verdict


def kafka_home() -> Path | None:
    """KAFKA_HOME, or the jars that lie beside a checkout."""
    named = os.environ.get("KAFKA_HOME")
    if named:
        return Path(named)
    beside = Path(__file__).parents[2] / "shared" / "kafka"
    return beside if (beside / "libs").is_dir() else None


def require_kafka_home() -> Path:
    home = kafka_home()
    if home is None:
        pytest.skip("no Apache Kafka: set KAFKA_HOME to an unpacked Kafka 4")
    return home


def movielens() -> SoakLog:
    return load_log(None, None, action_rules(Settings()))


async def endure(system: SoakSystem, faults: Sequence[Fault], rate: float) -> tuple[Verdict, str]:
    """Inject faults under load; returns the verdict, and what happened."""
    said = []
    with Load(system.bootstrap, system.topic, system.log.actions(), rate) as load:
        for fault in faults:
            await asyncio.sleep(fault.after)  # of load
            said.append(await inject(system, load, fault))
            load.check()
        await asyncio.to_thread(load.finish)
    verdict, compacted = await conclude(system, load.sent)
    assert compacted
    assert system.exits == []
    return verdict, "\n".join(said)
