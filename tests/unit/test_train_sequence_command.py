"""``tidemark train sequence`` from a file to a model that a service takes, and its exit codes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from sequence_logs import added, circle
from service_rig import listening
from store_fakes import Y
from typer.testing import CliRunner

from tidemark.cli.main import app
from tidemark.compose.sequence import build_sequence
from tidemark.errors import EvaluationError, SettingsError
from tidemark.evaluation.log import ActionLog
from tidemark.settings import load_settings


@pytest.fixture(autouse=True)
def hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_ENCODER__MODEL", "hashing")
    monkeypatch.setenv("TIDEMARK_ENCODER__DIM", "64")


def written(folder: Path, log: ActionLog) -> list[str]:
    """As files; the words that name them."""
    with (folder / "log.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["visitor", "item_id", "ts", "action"])
        for user, item, ts in zip(log.users, log.items, log.ts, strict=True):
            rows.writerow([log.user_ids[user], log.catalogue[item].item_id, ts, "purchase"])
    with (folder / "items.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "title"])
        rows.writerows([one.item_id, f"thing{one.item_id}"] for one in log.catalogue)
    files = str(folder / "log.csv"), "--items", str(folder / "items.csv")
    return [*files, "--column", "user_id=visitor"]


def train(*words: str) -> tuple[int, Any]:
    done = CliRunner().invoke(app, ["train", "sequence", *words, "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, json.loads(done.stdout)


def test_a_model_is_made_that_the_settings_take(tmp_path: Path) -> None:
    words = [*written(tmp_path, circle(users=150, items=50)), "--hidden", "64"]
    out = tmp_path / "out"
    code, report = train(*words, "--out", str(out), "--epochs", "15")
    assert code == 0
    assert json.loads((out / "report.json").read_text()) == report
    assert report["promoted"]
    held_out = report["held_out"]
    assert held_out["recall"]["sequence"] > held_out["recall"]["fold"]
    assert held_out["recall_gain"]["low"] > 0
    settings = load_settings(None, retrieval={"sequence": str(out / "sequence.safetensors")})
    found = build_sequence(settings, report["encoder_id"])
    assert found is not None
    assert found.model_id == report["model_id"]
    # What goes on from the end of a training is that training.
    code, again = train(*words, "--out", str(out), "--epochs", "15", "--resume")
    assert (code, again["model_id"]) == (0, report["model_id"])


def test_what_finds_no_more_is_not_promoted_and_nothing_of_before_is_left(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "sequence.safetensors").write_text("of another day")
    words = written(tmp_path, circle(users=40, items=200, noise=1.0))
    code, report = train(*words, "--out", str(out), "--epochs", "1")
    assert code == 3
    assert not report["promoted"]
    assert sorted(file.name for file in out.iterdir()) == ["checkpoint.safetensors", "report.json"]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    words = written(tmp_path, circle(users=2, items=4, length=2))
    out = str(tmp_path / "out")
    with pytest.raises(EvaluationError, match="has nothing to"):
        train(*words, "--out", out)
    with pytest.raises(SettingsError, match="expected NAME=COLUMN, as user_id=visitor"):
        train(words[0], "--column", "visitor", "--out", out)
    with pytest.raises(EvaluationError, match="cannot be made"):
        train(*words, "--out", words[0])


def test_candidates_by_the_sequence_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(sequence=added(9 * Y)) as port:
        monkeypatch.setenv("TIDEMARK_CLIENT__URL", f"http://127.0.0.1:{port}")
        asked = ["candidates", "ann", "--seen", "--json"]
        fold, sequence = (
            json.loads(CliRunner().invoke(app, [*asked, *more]).stdout)
            for more in ([], ["--profile", "sequence"])
        )
    assert (fold["source"], sequence["source"]) == ("profile", "sequence")
    assert fold["candidates"][0]["item_id"] == "x"
    assert sequence["candidates"][0]["item_id"] == "y"
