"""What the training commands share: the log they are given, and where they leave what they made."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from evaluation_logs import random_log, write_log
from typer.testing import CliRunner, Result

from tidemark.cli import outputs
from tidemark.cli.main import app
from tidemark.cli.outputs import resumable
from tidemark.errors import EvaluationError, SettingsError
from tidemark.movielens import find_movielens
from tidemark.training.encoder import EncoderTraining

#: What each is asked to write, under a folder.
OUT = {
    "encoder": "model",
    "influence": "influence.json",
    "policy": "policy.toml",
    "ranker": "ranker.safetensors",
    "sequence": "model",
}
FOLDERS = ("encoder", "sequence")
every = pytest.mark.parametrize("command", sorted(OUT))


class ReadError(Exception):
    """In place of a log: training would go on from here."""


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The logs that were opened; nothing is read of them."""
    places: list[Path] = []

    def note(place: Path, **_: Any) -> NoReturn:
        places.append(place)
        raise ReadError

    monkeypatch.setattr("tidemark.evaluation.readers.read_log", note)
    return places


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log.csv").touch()
    return tmp_path / "log.csv"


def train(command: str, log: Path | str, out: Path, *words: str) -> Result:
    asked = ["train", command, str(log), "--out", str(out), *words]
    return CliRunner().invoke(app, asked, env={"TIDEMARK_ENCODER__MODEL": "hashing"})


def test_a_ranker_is_not_trained_for_a_service_that_would_refuse_it(
    read: list[Path], log: Path, tmp_path: Path
) -> None:
    config = tmp_path / "tidemark.toml"
    config.write_text("[retrieval]\nwhitening = 0.25\n")
    done = train("ranker", log, tmp_path / "ranker.safetensors", "--config", str(config))
    assert isinstance(done.exception, SettingsError)
    assert "retrieval.whitening is 0.25" in str(done.exception)
    assert not read


@every
def test_the_folder_is_made_before_the_log_is_read(
    command: str, read: list[Path], log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "er" / OUT[command]
    done = train(command, log, out)
    assert isinstance(done.exception, ReadError)
    assert read == [log]
    made = out if command in FOLDERS else out.parent
    assert made.is_dir()
    assert not list(made.iterdir())


@every
def test_a_folder_that_cannot_be_made_is_refused_before_the_log_is_read(
    command: str, read: list[Path], log: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").touch()
    done = train(command, log, tmp_path / "taken" / OUT[command])
    assert isinstance(done.exception, EvaluationError)
    assert f"--out: the folder {tmp_path / 'taken'}" in str(done.exception)
    assert "cannot be made" in str(done.exception)
    assert not read


@every
def test_a_folder_that_can_only_be_read_is_refused_before_the_log_is_read(
    command: str, read: list[Path], log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> NoReturn:
        raise OSError(30, "Read-only file system")

    # there alone: numba tries the folders of its caches by such files, too
    monkeypatch.setattr(outputs, "tempfile", SimpleNamespace(TemporaryFile=refuse))
    done = train(command, log, tmp_path / OUT[command])
    assert isinstance(done.exception, EvaluationError)
    assert "cannot be written to: [Errno 30] Read-only file system" in str(done.exception)
    assert not read


@pytest.mark.parametrize("command", sorted(set(OUT) - set(FOLDERS)))
@pytest.mark.parametrize("ending", ["", ".report.json"])
def test_a_folder_in_place_of_a_file_is_refused_before_the_log_is_read(
    command: str, ending: str, read: list[Path], log: Path, tmp_path: Path
) -> None:
    (tmp_path / f"made{ending}").mkdir()
    done = train(command, log, tmp_path / "made")
    assert isinstance(done.exception, EvaluationError)
    assert f"made{ending} is a folder; expected the name of a file" in str(done.exception)
    assert not read


@pytest.mark.parametrize("command", sorted(set(OUT) - set(FOLDERS)))
def test_where_one_stands_is_a_folder_too(command: str, read: list[Path], log: Path) -> None:
    done = train(command, log, Path())
    assert isinstance(done.exception, EvaluationError)
    assert "--out: . is a folder; expected the name of a file" in str(done.exception)
    assert not read


@every
def test_movielens_is_known_by_its_name(
    command: str, read: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / OUT[command]
    train(command, "movielens", out)
    assert read == [find_movielens()]
    # but what is there by that name is meant
    monkeypatch.chdir(tmp_path)
    (tmp_path / "movielens").mkdir()
    train(command, "movielens", out)
    assert read[1:] == [Path("movielens")]


@every
def test_a_log_that_is_not_there_is_said(command: str, tmp_path: Path) -> None:
    done = train(command, tmp_path / "nowhere", tmp_path / OUT[command])
    assert isinstance(done.exception, EvaluationError)
    assert "nowhere; expected a folder or file with a log, or movielens" in str(done.exception)


@pytest.mark.parametrize("command", ["influence", "policy", "ranker"])
def test_what_is_not_promoted_leaves_its_report_alone(command: str, tmp_path: Path) -> None:
    write_log(tmp_path / "own.csv", random_log(2, actions=600, users=20, items=40))
    out = tmp_path / "new" / OUT[command]
    out.parent.mkdir()
    out.write_text("what an earlier run was promoted for")
    few = {"influence": ["--rounds", "2"], "policy": [], "ranker": ["--epochs", "1"]}
    done = train(command, tmp_path / "own.csv", out, "--choices", "100", *few[command])
    # of what is random nothing is learned
    assert done.exit_code == 3, done.exception
    # nothing of another run lies beside this report, nor a checkpoint of one that is done
    assert [one.name for one in out.parent.iterdir()] == [f"{out.name}.report.json"]


@pytest.mark.parametrize("command", ["influence", "ranker", "sequence"])
def test_nothing_is_read_where_there_is_no_checkpoint_to_resume(
    command: str, tmp_path: Path
) -> None:
    out = tmp_path / "new" / OUT[command]
    done = train(command, tmp_path / "nowhere.csv", out, "--resume")
    assert "--resume: there is no " in str(done.exception)
    assert not out.parent.exists()


def interrupted(checkpoint: Path, *, epochs: int) -> None:
    """A training that is stopped after so many."""
    with resumable(checkpoint):
        for _ in range(epochs):
            checkpoint.touch()
        raise KeyboardInterrupt


def test_an_interrupted_training_says_how_to_go_on_where_it_got_so_far(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        interrupted(checkpoint, epochs=0)
    checkpoint.touch()
    os.utime(checkpoint, (1, 1))  # of an earlier training
    with pytest.raises(KeyboardInterrupt):
        interrupted(checkpoint, epochs=0)
    assert capsys.readouterr().err == ""
    with pytest.raises(KeyboardInterrupt):
        interrupted(checkpoint, epochs=2)
    assert "go on with --resume" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["encoder", "ranker", "sequence"])
def test_each_training_that_can_be_resumed_says_so_when_it_is_interrupted(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(checkpoint: Path) -> NoReturn:
        checkpoint.parent.mkdir(exist_ok=True)
        checkpoint.touch()
        raise KeyboardInterrupt

    def train_it(*_: Any, checkpoint: Path, **__: Any) -> NoReturn:
        stop(checkpoint)

    def run_it(training: EncoderTraining, **_: Any) -> NoReturn:
        stop(training.checkpoint)

    monkeypatch.setattr("tidemark.training.encoder.EncoderTraining.run", run_it)
    monkeypatch.setattr("tidemark.training.ranker.train_ranker", train_it)
    monkeypatch.setattr("tidemark.training.sequence.train_sequence", train_it)
    write_log(tmp_path / "own.csv", random_log(2))
    done = train(command, tmp_path / "own.csv", tmp_path / OUT[command])
    assert done.exit_code == 130
    assert "go on with --resume" in done.stderr
