"""Choosing how long a past counts, on logs of which it is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_logs import RULES, log_of, write_log
from numpy.typing import NDArray
from typer.testing import CliRunner

from store import mean_vector
from store.influence import Influence
from store.policies import Policy
from streams.schema import Item
from tidemark.cli.main import app
from tidemark.errors import EvaluationError
from tidemark.evaluation.log import ActionLog
from tidemark.settings import load_settings
from tidemark.training.policy import Found, Plan, tune_policy

_TOPICS, _OF_TOPIC = 8, 60
_DAY = 86_400.0


def vectors() -> NDArray[np.float32]:
    """A direction for each topic, and a little of its own for each item."""
    rows = np.repeat(np.eye(_TOPICS, _TOPICS + 4), _OF_TOPIC, axis=0)
    rows[:, _TOPICS:] = 0.3 * np.random.default_rng(0).standard_normal((len(rows), 4))
    units: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(
        np.float32
    )
    return units


def errands(users: int = 40, actions: int = 40) -> ActionLog:
    """Users buy five things of a topic, then five of another: only the latest tell the next."""
    return _log(users, actions, lambda at, user, _: (user + at // 5) % _TOPICS)


def tastes(users: int = 40, actions: int = 40) -> ActionLog:
    """Half of what a user buys is of one topic for good, the rest at random: all of it tells."""
    return _log(
        users, actions, lambda _, user, draw: user % _TOPICS if draw < 0.5 else int(draw * 97)
    )


def _log(users: int, actions: int, topic_of: Callable[[int, int, float], int]) -> ActionLog:
    draw = np.random.default_rng(1)
    turns = [count() for _ in range(users)]
    rows = []
    for at in range(actions):
        for user in range(users):
            topic = topic_of(at, user, draw.random()) % _TOPICS
            item = topic * _OF_TOPIC + (7 * next(turns[user]) + user) % _OF_TOPIC
            rows.append((f"u{user}", item, "purchase"))
    hours = [3_600_000 * at for at in range(len(rows))]
    return log_of(rows, _TOPICS * _OF_TOPIC, ts=hours)


def test_profiles_are_searched_for_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mean_vector, "LEAST_ITEMS", 1)
    found = [tuned(tastes(), Policy(), mean_removal=on).ndcg for on in (True, False)]
    found.append(tuned(tastes(), Policy(), whitening=1.0).ndcg)
    assert len({*found}) == len(found)


def tuned(log: ActionLog, now: Policy, **plan: Any) -> Found:
    return tune_policy(log, vectors(), rules=RULES, now=now, plan=Plan(**plan))


def test_where_errands_change_a_short_past_is_chosen() -> None:
    found = tuned(errands(), Policy("constant", k=0.98))
    assert found.promoted
    assert found.best.name != "constant" or found.best.k <= 0.7
    assert found.recall[0] > found.recall[1]
    assert found.ndcg_gain.low > 0


def test_where_tastes_last_a_long_past_is_chosen() -> None:
    found = tuned(tastes(), Policy("constant", k=0.3))
    assert found.promoted
    assert found.best not in {Policy("constant", k=k) for k in (0.3, 0.5, 0.7)}
    assert found.best.name != "decay" or found.best.half_life_seconds >= 7 * _DAY


def test_what_is_best_already_stays() -> None:
    best = tuned(errands(), Policy("constant", k=0.98)).best
    found = tuned(errands(), best)
    assert found.best == found.now == best
    assert not found.promoted
    assert found.ndcg_gain == found.recall_gain == (0.0, 0.0, 0.0)


def test_all_are_tried_once_and_the_best_stands_first() -> None:
    found = tuned(errands(), Policy())
    assert len({one.policy.identity for one in found.tried}) == len(found.tried)
    assert [one.ndcg for one in found.tried] == sorted(one.ndcg for one in found.tried)[::-1]
    assert found.tried[0].policy == found.best


def test_choices_are_no_more_than_asked_and_the_same_for_a_seed() -> None:
    found = tuned(errands(), Policy(), choices=50)
    assert (found.chosen_by, found.held_out) == (50, 50)
    assert found == tuned(errands(), Policy(), choices=50)
    assert found != tuned(errands(), Policy(), choices=50, seed=1)


def test_influence_has_a_half_life_of_its_own() -> None:
    model = Influence(half_life_seconds=60, actions={"purchase": 1.0})
    with pytest.raises(EvaluationError, match="train influence"):
        tuned(errands(), Policy("influence", influence=model))


def test_a_log_without_choices_is_refused() -> None:
    with pytest.raises(EvaluationError, match="give a longer log"):
        tuned(errands(users=3, actions=2), Policy())


# --- the command ---


def train(log: Path, out: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        app, ["train", "policy", str(log), "--out", str(out), *words],
        env={"TIDEMARK_ENCODER__MODEL": "hashing", "TIDEMARK_POLICY__K": "0.98"},
    )  # fmt: skip
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("log") / "own.csv"
    # titles by topic, so that texts tell as much as the vectors above
    named = errands()
    titled = tuple(
        Item(item_id=one.item_id, title=f"thing {at}", categories=(f"kind{at // _OF_TOPIC}",))
        for at, one in enumerate(named.catalogue)
    )
    write_log(file, replace(named, catalogue=titled))
    return file


def test_what_is_promoted_is_written_as_settings(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy.toml"
    code, said = train(log, out)
    assert code == 0, said
    assert f"tidemark replay --generation 2 --changes {out}" in said
    report = json.loads(out.with_name("policy.toml.report.json").read_text())
    policy = load_settings(out).policy
    assert report["promoted"]
    assert report["policy"] == {
        name: getattr(policy, name) for name in report["policy"]
    } != report["now"]  # fmt: skip
    assert report["now"] == {"name": "constant", "k": 0.98}
    assert report["held_out"]["ndcg_gain"]["low"] > 0


def test_what_is_not_promoted_is_not_written(log: Path, tmp_path: Path) -> None:
    first = tmp_path / "first.toml"
    train(log, first)
    best = json.loads(first.with_name("first.toml.report.json").read_text())["policy"]
    mine = tmp_path / "mine.toml"
    mine.write_text(first.read_text())
    done = CliRunner().invoke(
        app, ["train", "policy", str(log), "--out", str(tmp_path / "p.toml"), "-c", str(mine)],
        env={"TIDEMARK_ENCODER__MODEL": "hashing"},
    )  # fmt: skip
    assert done.exit_code == 3, done.output
    assert "none of" in done.output
    assert "did better than the settings' own" in done.output
    assert not (tmp_path / "p.toml").exists()
    report = json.loads((tmp_path / "p.toml.report.json").read_text())
    assert report["policy"] == report["now"] == best


def test_a_share_that_leaves_nothing_is_refused(log: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["train", "policy", str(log), "--out", str(tmp_path / "p.toml"), "--until", "0.05"]
    )
    assert "--until is 0.05; expected above 0.1 and below 1" in str(done.exception)
