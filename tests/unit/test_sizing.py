"""What a load is said to need follows from what was measured, and the page says the same."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tidemark.cli.main import app
from tidemark.errors import SettingsError
from tidemark.retrieval_settings import RetrievalSettings
from tidemark.sizing import GIBIBYTE, Load, plan, records_per_action
from tidemark.sizing_constants import CONSTANTS, value
from tidemark.sizing_tables import EXAMPLES, PAGE, amount, page_with_tables

RESULTS = Path(__file__).parents[2] / "benchmarks/results"
SMALL = EXAMPLES["small"]


def result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def median(name: str, label: str) -> float:
    return float(statistics.median(result(name)["values"][label]))


def near(measured: float) -> Any:
    """The same figure, measured again at another time of day."""
    return pytest.approx(measured, rel=0.15)


# The constants ----------------------------------------------------------------------------------


def test_rates_are_the_measured_ones() -> None:
    known = median("streams/whole_path", "Tidemark, whole path")
    assert value("action") == near(1e6 / known)
    growth = result("streams/growth")["details"]["Tidemark, 1,000,000 users"]
    assert growth["records/action"] == "1.00"
    rare = median("streams/growth", "Tidemark, 1,000,000 users")
    assert value("action") + value("profile") == near(1e6 / rare)
    assert value("texts.core") == near(median("encoders/models", "tidemark") / 2)
    broker = float(growth["broker CPU µs/action"])
    assert value("broker.action") + value("broker.profile") == near(broker)
    restore = result("streams/restore")
    records = statistics.median(
        run["records"] for run in restore["runs"] if run["label"] == "the topic alone"
    )
    seconds = statistics.median(restore["values"]["the topic alone"])
    assert value("restore.topic") == near(records / seconds)
    view = [run for run in result("store/restore")["runs"] if "load_s" in run]
    tail = statistics.median(run["tail_s"] for run in view if "memory" in run["label"])
    assert value("follow.faiss") == near(100_000 / tail)
    load = statistics.median(run["load_s"] for run in view if "disk" in run["label"])
    assert value("restore.view") == near(1_000_000 / load)


def test_bytes_are_the_measured_ones() -> None:
    footprint = result("footprint")
    found, vector = footprint["values"], 4 * footprint["dim"]
    for history in ("some", "much"):
        assert value(f"worker.profile.{history}") == near(
            found[f"worker, a profile, with {history}"] - vector
        )
        assert value(f"worker.snapshot.{history}") == pytest.approx(
            found[f"worker's snapshot, a profile, with {history}"] - vector
        )
        assert value(f"record.{history}") == found[f"record beside its vector, with {history}"]
        assert value(f"retrieval.profile.{history}") == pytest.approx(
            found[f"retrieval, a profile in bfloat16, with {history}"] - vector / 2
        )
    assert value("worker.item") == pytest.approx(found["worker, an item"])
    assert value("retrieval.item") == near(found["retrieval, an item in bfloat16"] - vector / 2)
    assert value("ranking.item") == near(found["ranking, an item"] - vector)
    memory = result("store/memory")["values"]
    sketches = memory["Tidemark bfloat16, with sketches"][0]
    without = statistics.median(memory["Tidemark bfloat16"])
    assert value("sketch") == near(sketches - without)


def test_settings_are_the_settings() -> None:
    assert value("accelerate") == RetrievalSettings().accelerate_above


def test_every_constant_says_where_it_comes_from() -> None:
    for name, one in CONSTANTS.items():
        assert one.value > 0, name
        assert one.source, name
        if one.kind == "measured":
            assert "`" in one.source or "FAISS" in one.source or "docs/" in one.source, name


# The formulas -----------------------------------------------------------------------------------


def test_users_who_come_often_share_records() -> None:
    assert records_per_action(1_000, 10_000_000) == pytest.approx(1, abs=1e-4)
    # Ten actions of each user in a micro-batch: nearly a tenth, for some have none.
    assert records_per_action(200_000, 1_000) == pytest.approx((1 - math.exp(-10)) / 10)


def test_a_worker_is_as_fast_as_measured() -> None:
    """At six tenths of its rate one worker is enough, and no more than that."""
    rate = 0.6 * 80_645
    load = replace(SMALL, users=50_000_000, new_texts=0.0, worker_memory=1024 * GIBIBYTE)
    load = replace(load, takeover_seconds=1e9)
    assert plan(replace(load, actions_per_second=2 * rate * 0.99)).workers == 2
    cells = plan(replace(load, actions_per_second=3 * rate)).cells
    assert plan(replace(load, actions_per_second=3 * rate)).workers * cells >= 3


@pytest.mark.parametrize(
    ("change", "grows"),
    [
        ({"users": 4_000_000}, "replica_bytes"),
        ({"dim": 768}, "replica_bytes"),
        ({"precision": "float32"}, "replica_bytes"),
        ({"history": "much"}, "worker_disk_bytes"),
        ({"items": 1_000_000}, "worker_bytes"),
        ({"actions_per_second": 20_000.0}, "kafka_in"),
        ({"queries_per_second": 1_000.0}, "replicas"),
        ({"new_texts": 1.0, "actions_per_second": 5_000.0}, "workers"),
        ({"worker_memory": 2 * GIBIBYTE}, "workers"),
        ({"takeover_seconds": 5.0}, "partitions"),
        ({"retention_days": 30.0}, "kafka_disk_bytes"),
        ({"actions_per_second": 100_000.0}, "cells"),
    ],
)
def test_more_needs_more(change: dict[str, Any], grows: str) -> None:
    assert getattr(plan(replace(SMALL, **change)), grows) > getattr(plan(SMALL), grows)


def test_a_gpu_takes_the_texts_off_the_cores() -> None:
    many = replace(SMALL, actions_per_second=20_000, new_texts=0.5)
    on_cpu, on_gpu = plan(many), plan(replace(many, device="cuda"))
    assert on_gpu.workers < on_cpu.workers
    assert on_gpu.gpus == on_gpu.workers
    assert on_cpu.gpus == 0


def test_partitions_allow_twice_the_workers() -> None:
    for load in EXAMPLES.values():
        found = plan(load)
        assert found.partitions >= 2 * found.workers
        assert found.partitions & (found.partitions - 1) == 0


def test_no_plan_asks_for_more_than_was_said() -> None:
    for load in EXAMPLES.values():
        found = plan(load)
        assert found.worker_bytes <= load.worker_memory
        assert found.takeover_seconds <= load.takeover_seconds
        in_a_cell = found.profiles_per_second / found.cells
        assert in_a_cell <= value(f"follow.{load.index}") * value("busy")


def test_with_milvus_the_vectors_are_elsewhere() -> None:
    here, there = plan(SMALL), plan(replace(SMALL, index="milvus"))
    assert there.replica_bytes < here.replica_bytes
    assert there.milvus_bytes > 4 * SMALL.dim * SMALL.users
    assert there.replica_disk_bytes == here.milvus_bytes == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"users": 0}, "users is 0"),
        ({"new_texts": 2.0}, "expected a share"),
        ({"worker_memory": GIBIBYTE // 2}, "cannot hold the catalogue"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        plan(replace(SMALL, **change))


# The page and the command -----------------------------------------------------------------------


def test_the_pages_tables_are_the_modules() -> None:
    """Mend it with: python -m tidemark.sizing_tables."""
    assert PAGE.read_text() == page_with_tables(PAGE.read_text())


def test_the_command_prints_the_plan() -> None:
    given = ["sizing", "--actions-per-second", "1000", "--users", "1000000", "--items", "100000"]
    printed = CliRunner().invoke(app, [*given, "--json"])
    assert printed.exit_code == 0
    found = json.loads(printed.output)
    assert found["plan"]["workers"] == plan(SMALL).workers
    assert found["plan"]["replica_bytes"] == plan(SMALL).replica_bytes
    assert found["load"]["precision"] == "bfloat16"
    table = CliRunner().invoke(app, given)
    assert "memory of a replica" in table.output
    assert amount(plan(SMALL).replica_bytes) in table.output


def test_the_command_refuses_an_unknown_precision() -> None:
    wrong = CliRunner().invoke(
        app,
        ["sizing", "--actions-per-second", "1", "--users", "1", "--items", "1", "--precision", "x"],
    )
    assert wrong.exit_code == 2


def test_a_load_is_what_the_page_says() -> None:
    assert Load(actions_per_second=1_000, users=1_000_000, items=100_000) == SMALL


@pytest.mark.parametrize(
    "wrong",
    [
        {"actions_per_second": float("nan")},
        {"actions_per_second": float("inf")},
        {"queries_per_second": -9.0},
        {"retention_days": -3.0},
    ],
)
def test_a_load_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Load(**{"actions_per_second": 1_000.0, **wrong}, users=1_000_000, items=100_000)
