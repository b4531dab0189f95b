"""`tidemark soak` as an operator runs it: a short plan, with every count at zero."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from soak_helpers import require_kafka_home

from tidemark.soak.run import SoakReport

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

#: Of this seed's first faults; late_write has a test of its own.
PLAN = ["--kills", "8", "--seed", "20", "--skip", "late_write"]


def soak(*words: str, home: Path | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "KAFKA_HOME"}
    if home is not None:
        environment["KAFKA_HOME"] = str(home)
    return subprocess.run(
        [sys.executable, "-m", "tidemark", "soak", *words],
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
        env={**environment, "COLUMNS": "200", "NO_COLOR": "1"},
    )


def test_a_short_soak_is_clean(tmp_path: Path) -> None:
    home, written = require_kafka_home(), tmp_path / "report.json"
    words = ["--rate", "300", "--report", str(written), "--state", str(tmp_path / "state")]
    done = soak(*PLAN, *words, home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    report = msgspec.json.decode(written.read_bytes(), type=SoakReport)
    assert report.clean
    assert report.verdict.applied == report.verdict.expected > 3_000
    assert report.compacted
    assert len(report.happened) == sum(report.faults().values()) == 8
    assert "clean" in done.stdout
    for one in report.happened:
        assert f"{one.kind}: {one.what}" in done.stdout


def test_a_soak_without_kafka_says_what_it_needs() -> None:
    done = soak(home=None)
    assert done.returncode == 2
    assert "--kafka-home or KAFKA_HOME" in done.stderr


def test_a_soak_on_a_folder_without_kafka_says_so(tmp_path: Path) -> None:
    done = soak("--kafka-home", str(tmp_path), home=None)
    assert done.returncode == 1
    assert "no Kafka in" in done.stderr
    assert "Traceback" not in done.stderr
