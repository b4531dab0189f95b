"""The whole command: on a small log, on MovieLens 100K, and asked for what cannot be."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from evaluation_logs import random_log, write_log
from typer.testing import CliRunner, Result

from store.influence import Influence, save_influence
from store.policies import Policy
from tidemark.cli.evaluation_tables import signed
from tidemark.cli.main import app, main
from tidemark.errors import EvaluationError, SettingsError, TidemarkError, WrongRequestError
from tidemark.evaluation.charts import require_matplotlib, spread

#: Small vectors that need no model, and no cache left behind.
ENV = {
    "TIDEMARK_ENCODER__MODEL": "hashing",
    "TIDEMARK_ENCODER__DIM": "32",
    "TIDEMARK_ENCODER__DISK_CACHE_MEBIBYTES": "0",
}
UNTRAINED = [
    "popularity", "popularity-0.5d", "popularity-4d", "popularity-30d", "popularity-365d",
    "last-item", "mean-of-history", "item-knn", "transitions", "transitions-wide",
]  # fmt: skip
SEGMENTS = ["all", "first actions", "long tail", "rest"]


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", *words], env=ENV)


def report_of(*words: str) -> dict[str, Any]:
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def log(tmp_path: Path) -> str:
    write_log(tmp_path / "own.csv", random_log(2, actions=1_500, users=60, items=60))
    return str(tmp_path / "own.csv")


def test_a_log_of_ones_own(log: str, tmp_path: Path) -> None:
    out = tmp_path / "report" / "of own"
    found = report_of(log, "--out", str(out), "--sample", "60")
    assert found == json.loads((out / "report.json").read_text())
    assert (found["log"], found["actions"], found["users"]) == ("own", 1_500, 60)
    assert found["moments"]["all"] == 60 <= found["eligible"]
    assert list(found["moments"]) == SEGMENTS
    assert found["choice"]["begin"] == 0.5
    assert sum(one["moments"] for one in found["periods"]) == 60
    by_name = {row["name"]: row for row in found["rows"]}
    assert set(UNTRAINED) <= set(by_name)
    best = max(UNTRAINED, key=lambda name: by_name[name]["means"]["all"]["recall@10"]["value"])
    assert (
        by_name[found["reference"]]["means"]["all"]["recall@10"]["value"]
        >= by_name[best]["means"]["all"]["recall@10"]["value"]
        or by_name[found["reference"]]["kind"] == "system"
    )
    for row in by_name.values():
        assert list(row["means"]) == list(row["coverage"]) == SEGMENTS
        for metric, one in row["means"]["all"].items():
            assert one["low"] <= one["value"] <= one["high"], metric
        assert 0 < row["coverage"]["all"] <= 1
        assert len(row["over_time"]["mrr"]) == len(found["periods"])
        assert (row["differences"] is None) == (row["name"] == found["reference"])
    pictures = sorted(path.name for path in out.glob("*.png"))
    assert pictures == [
        f"{metric}-at-10-{kind}.png"
        for metric in ("ndcg", "recall")
        for kind in ("by-segment", "over-time")
    ]
    for name in pictures:
        head = (out / name).read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(head[16:20], "big") == 1_500


def test_differences_are_paired_with_the_reference_that_was_asked_for(log: str) -> None:
    words = ("--only", "popularity", "--only", "item-knn", "--reference", "popularity")
    found = report_of(log, *words, "--from", "0.1")
    assert min(found["moments"].values()) > 10
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == ["popularity", "item-knn"]
    assert rows["popularity"]["differences"] is None
    for segment in SEGMENTS:
        for metric, one in rows["item-knn"]["differences"][segment].items():
            apart = [rows[name]["means"][segment][metric]["value"] for name in rows]
            assert one["value"] == pytest.approx(apart[1] - apart[0])


def test_the_same_seed_gives_the_same_report(log: str) -> None:
    def figures(seed: str) -> list[Any]:
        found = report_of(log, "--only", "item-knn", "--sample", "50", "--seed", seed)
        return [found["moments"], found["rows"][0]["means"], found["rows"][0]["coverage"]]

    assert figures("1") == figures("1") != figures("2")


def test_a_spoilt_log_is_scored_where_it_is_as_it_was(log: str) -> None:
    words = ["--only", "popularity", "--sample", "0"]
    clean = report_of(log, *words)
    spoilt = report_of(log, *words, "--corrupt", "random-users:0.2")
    assert (clean["log"], spoilt["log"]) == ("own", "own (random-users:0.2)")
    assert spoilt["eligible"] == clean["eligible"]
    assert 0.6 < spoilt["moments"]["all"] / clean["moments"]["all"] < 0.9
    # beside a bot the same moments are scored, and what it did is learned
    flooded = report_of(log, *words, "--corrupt", "bot:0.3")
    assert flooded["moments"] == clean["moments"]
    assert flooded["rows"][0]["means"] != clean["rows"][0]["means"]


def test_half_lives_and_the_part_of_the_log_are_as_asked(log: str) -> None:
    found = report_of(
        log, "--half-life", "2", "--only", "popularity-2d", "--from", "0.2", "--until", "0.4",
        "--sample", "0", "--history", "1", "--positive", "0.9",
    )  # fmt: skip
    assert [row["name"] for row in found["rows"]] == ["popularity-2d"]
    assert found["moments"]["all"] == found["eligible"]
    wanted = {"begin": 0.2, "until": 0.4, "sample": None, "history": 1, "positive": 0.9}
    assert wanted.items() <= found["choice"].items()


def test_movielens_100k_is_read_by_its_name() -> None:
    asked = [one for name in UNTRAINED for one in ("--only", name)]
    found = report_of("movielens", "--sample", "200", *asked)
    rows = {row["name"]: row["means"]["all"]["recall@10"]["value"] for row in found["rows"]}
    assert found["moments"]["all"] == 200
    # what a user's own history says beats what everybody likes
    assert rows["item-knn"] > rows["popularity"]
    assert rows["transitions-wide"] > rows["popularity"]
    # one in a hundred and fifty would be found by chance
    assert all(rows[name] > 0.015 for name in UNTRAINED if name.startswith("popularity"))


def test_the_tables_name_every_recommender(log: str) -> None:
    done = run(log, "--sample", "40", "--only", "popularity", "--only", "transitions")
    assert done.exit_code == 0, done.output
    assert "own: 1,500 actions" in done.output
    for word in ("recall@10", "ndcg@10", "mrr", "coverage", "novelty", "long tail", "less "):
        assert word in done.output
    assert done.output.count("transitions") >= 2
    assert max(map(len, done.output.splitlines())) <= 80


def test_the_tables_name_segments_as_the_report_does(log: str) -> None:
    output = run(log, "--sample", "40", "--only", "popularity").output
    assert " ".join(SEGMENTS) in [" ".join(line.split()) for line in output.splitlines()]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (-0.0004, ".000"), (0.0004, ".000"), (0.0, ".000"), (-0.0006, "−.001"), (0.012, "+.012"),
        (-1.0, "−1.000"),
    ],
)  # fmt: skip
def test_a_difference_that_rounds_to_zero_has_no_sign(value: float, says: str) -> None:
    assert signed(value) == says


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--only", "best"], "there is no best; known: tidemark, "),
        (["--reference", "item-knn", "--only", "popularity"], "reference item-knn is not among"),
        (["--from", "0.9", "--until", "0.1"], "from 0.9 to 0.1"),
        (["--history", "100000"], "nothing to score"),
        (["--items", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["--column", "rating=stars"], "expected one with rating: stars"),
        (["--corrupt", "noise"], "'noise' is no corruption; expected one of random:0.1, "),
        (["--corrupt", "random-users:1"], "no moment is left to score"),
        (["--column", "rating"], "--column is 'rating'; expected NAME=COLUMN"),
    ],
)
def test_what_cannot_be_is_said(log: str, words: list[str], says: str) -> None:
    done = run(log, *words)
    assert isinstance(done.exception, TidemarkError)
    assert says in str(done.exception)


def test_a_half_life_that_nothing_is_asked_by_is_refused(log: str) -> None:
    done = run(log, "--half-life", "7", "--only", "popularity")
    assert isinstance(done.exception, WrongRequestError)
    assert "--half-life is of popularity-7d, which --only leaves out" in str(done.exception)
    again = report_of(log, *("--half-life", "7") * 2, "--only", "popularity-7d")
    assert [row["name"] for row in again["rows"]] == ["popularity-7d"]


@pytest.mark.parametrize(
    "words",
    [("--only", "magic"), ("--from", "0.9", "--until", "0.5"), ("--corrupt", "rain:0.1"),
     ("--corrupt", "random:2"), ("--positive", "3"), ("--column", "colour=user_id"),
     ("--only", "popularity", "--reference", "popularty"),
     ("--half-life", "0"), ("--half-life", "nan"), ("--half-life", "7", "--only", "popularity")],
    ids=" ".join,
)  # fmt: skip
def test_what_no_log_can_have_is_wrong_usage(
    log: str,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["tidemark", "evaluate", log, *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "expected" in said or "known: " in said


def test_a_folder_that_cannot_be_made_is_said(log: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = run(log, "--only", "popularity", "--out", str(tmp_path / "taken" / "inside"))
    assert isinstance(done.exception, EvaluationError)
    assert "cannot be made" in str(done.exception)
    assert "name another place" in str(done.exception)


def test_without_matplotlib_charts_are_refused_before_anything_is_done(
    log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EvaluationError, match=r"pip install 'tidemark\[learn\]'"):
        require_matplotlib()
    done = run(log, "--out", str(tmp_path / "out"))
    assert isinstance(done.exception, EvaluationError)
    assert not (tmp_path / "out").exists()


def test_labels_are_moved_apart_and_no_more_than_they_need() -> None:
    assert spread([0.0, 0.5, 1.0], 0.1, 0, 1) == [0.0, 0.5, 1.0]
    assert spread([0.5, 0.5], 0.2, 0, 1) == pytest.approx([0.4, 0.6])
    assert spread([0.0, 0.0, 0.9], 0.2, 0, 1) == pytest.approx([0.0, 0.2, 0.9])
    assert spread([1.0, 1.0], 0.2, 0, 1) == pytest.approx([0.8, 1.0])
    assert spread([], 0.2, 0, 1) == []


def test_profiles_are_folded_as_the_settings_say(log: str, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text("[policy]\nname = 'decay'\nhalf_life_seconds = 60\n")
    asked = (log, "--only", "nearest", "--sample", "200")
    default, own = report_of(*asked), report_of(*asked, "--config", str(config))
    assert default["policy"] == Policy().identity
    assert own["policy"] == Policy("decay", half_life_seconds=60).identity
    found, expected = (one["rows"][0]["means"]["all"]["mrr"]["value"] for one in (own, default))
    assert found != expected
    assert "profiles by decay(" in run(*asked, "--config", str(config)).output


def test_a_policy_that_a_log_cannot_be_folded_by_is_refused(log: str, tmp_path: Path) -> None:
    model, config = tmp_path / "influence.json", tmp_path / "own.toml"
    save_influence(Influence(half_life_seconds=60, actions={"view": 1.0}), model)
    config.write_text(f"[policy]\nname = 'influence'\ninfluence = '{model}'\n")
    done = run(log, "--config", str(config))
    assert isinstance(done.exception, SettingsError)
    assert "is judged by tidemark train influence" in str(done.exception)
