"""Training a projection: what it learns, that it is repeatable, and what it leaves behind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from model_folders import make_folder
from planted_logs import write_items, write_log
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from encoders import TrainingError, load_encoder
from encoders.training.encoder.actions import Actions
from encoders.training.encoder.checkpoint import Checkpoint
from encoders.training.encoder.course import Course, Outcome, prepare, train_projection
from encoders.training.encoder.judging import recall
from encoders.training.encoder.moments import find_moments, fold_weights
from encoders.training.encoder.plan import Plan
from encoders.training.encoder.popularity import popularity_over_time
from encoders.training.encoder.sources import FixedVectors
from store.policies import Policy
from store.reference import ReferenceProfile, fold_one
from tidemark.cli.main import app
from tidemark.evaluation.readers import read_log
from tidemark.settings import load_settings
from tidemark.training.action_texts import actions_of

PLAN = Plan(epochs=4, batch=256, negatives=128, rate=3e-3, longest=16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("models") / "tiny", modules=["Normalize"])


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Actions, np.ndarray]:
    folder = tmp_path_factory.mktemp("log")
    items = write_items(folder / "items.csv")
    log = read_log(write_log(folder / "log.csv"), items=items)
    actions, texts = actions_of(log, load_settings())
    return actions, load_encoder(str(model), precision="float32").encode(texts)


def train(made: tuple[Actions, np.ndarray], plan: Plan = PLAN) -> tuple[Course, Outcome]:
    course = prepare(made[0], plan)
    return course, train_projection(course, FixedVectors(made[1], dropout=plan.dropout), plan)


def test_it_finds_the_structure(made: tuple[Actions, np.ndarray]) -> None:
    _, outcome = train(made)
    verdict = outcome.verdict
    assert verdict.promoted
    assert recall(verdict.trained.popular) > 1.5 * recall(verdict.untrained.popular)
    assert recall(verdict.trained.alone[1]) > 1.5 * recall(verdict.centred.alone[1])
    losses = [epoch.validation["next"] for epoch in outcome.fitted.epochs]
    assert losses[outcome.fitted.best] == min(losses) < losses[0]


def test_without_structure_nothing_is_promoted(model: Path, tmp_path: Path) -> None:
    items = write_items(tmp_path / "items.csv")
    log = read_log(write_log(tmp_path / "log.csv", planted=False), items=items)
    actions, texts = actions_of(log, load_settings())
    vectors = load_encoder(str(model), precision="float32").encode(texts)
    _, outcome = train((actions, vectors), replace(PLAN, epochs=1))
    assert not outcome.verdict.promoted


def test_the_same_seed_gives_the_same_weights(made: tuple[Actions, np.ndarray]) -> None:
    plan = replace(PLAN, epochs=2, dropout=0.1, adversarial=0.05)
    (_, first), (_, second) = train(made, plan), train(made, plan)
    _, other = train(made, replace(plan, seed=1))
    changes = [one.fitted.projection.change for one in (first, second, other)]
    assert torch.equal(changes[0], changes[1])
    assert not torch.equal(changes[0], changes[2])


def test_resumed_it_is_the_same(made: tuple[Actions, np.ndarray], tmp_path: Path) -> None:
    plan = replace(PLAN, epochs=3, patience=3)
    course = prepare(made[0], plan)
    whole = train_projection(course, FixedVectors(made[1], dropout=plan.dropout), plan)

    class StoppedError(Exception):
        pass

    def interrupt(epoch: int, done: int, _: int) -> None:
        if (epoch, done) == (3, 2):
            raise StoppedError

    file = tmp_path / "checkpoint.pt"
    with pytest.raises(StoppedError):
        train_projection(
            course, FixedVectors(made[1]), plan, checkpoint=Checkpoint(file, "x", resume=False),
            on_batch=interrupt,
        )  # fmt: skip
    seen: list[int] = []
    resumed = train_projection(
        course, FixedVectors(made[1]), plan, checkpoint=Checkpoint(file, "x", resume=True),
        on_epoch=lambda epoch: seen.append(epoch.number),
    )  # fmt: skip
    assert seen == [3]
    assert resumed.fitted.epochs == whole.fitted.epochs
    for name, value in whole.fitted.projection.state_dict().items():
        assert torch.equal(value, resumed.fitted.projection.state_dict()[name])
    with pytest.raises(TrainingError, match="another log"):
        train_projection(
            course, FixedVectors(made[1]), plan, checkpoint=Checkpoint(file, "y", resume=True)
        )  # fmt: skip


def test_nothing_held_out_is_learned_from(made: tuple[Actions, np.ndarray]) -> None:
    """What happens in the held-out part changes no weight."""
    actions, vectors = made
    _, end = actions.places_of(0, 1 - PLAN.held_out)
    items = actions.items.copy()
    items[end:] = np.random.default_rng(1).permutation(items[end:])
    plan = replace(PLAN, epochs=1)
    _, first = train((actions, vectors), plan)
    _, second = train((replace(actions, items=items, texts=items), vectors), plan)
    assert torch.equal(first.fitted.projection.change, second.fitted.projection.change)
    assert not np.array_equal(first.verdict.trained.popular, second.verdict.trained.popular)


def test_profiles_are_those_of_the_worker(made: tuple[Actions, np.ndarray]) -> None:
    actions, vectors = made
    moments = find_moments(actions, longest=24)
    row = len(moments) - 1
    weights = fold_weights(moments, 0.9)[row]
    found = weights @ vectors[moments.texts[row]]
    place = moments.places[row]
    mine = np.flatnonzero(actions.users[:place] == actions.users[place])
    profile = ReferenceProfile.empty(vectors.shape[1])
    for at in mine.tolist():
        fold_one(
            profile, vectors[actions.texts[at]], strength=float(actions.strengths[at]), weight=1.0,
            ts=int(actions.ts[at]), policy=Policy(),
        )  # fmt: skip
    np.testing.assert_allclose(found, profile.vector, atol=1e-5)


def test_popularity_is_of_what_came_before(made: tuple[Actions, np.ndarray]) -> None:
    actions, _ = made
    popularity = popularity_over_time(actions)
    assert np.allclose(popularity.logs[0], np.log(0.3))
    at = popularity.places[50]
    taken = np.bincount(actions.items[:at], minlength=actions.catalogue)
    # days pass by: of a half-life of a year nearly all is left
    np.testing.assert_allclose(popularity.logs[50, 3], np.log(taken + 0.3), atol=0.1)


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["train", "encoder", *arguments])
    return done.exit_code, done.stdout


def test_the_command_leaves_a_folder_that_is_a_model(model: Path, tmp_path: Path) -> None:
    items, log = write_items(tmp_path / "items.csv"), write_log(tmp_path / "log.csv")
    config, out = tmp_path / "tidemark.toml", tmp_path / "better"
    config.write_text(f'[encoder]\nmodel = "{model}"\nprecision = "float32"\n')
    code, said = run(
        str(log), "--out", str(out), "--items", str(items), "-c", str(config), "--json"
    )  # fmt: skip
    report = json.loads((out / "report.json").read_text())
    assert report["promoted"]
    assert code == 0
    assert json.loads(said) == report
    ours = load_encoder(str(out), precision="float32")
    assert ours.encoder_id == report["encoder_id"] != report["base_encoder_id"]
    texts = ["a b c", "i a j"]
    theirs = SentenceTransformer(str(out), device="cpu", local_files_only=True).encode(texts)
    np.testing.assert_allclose(ours.encode(texts), theirs, atol=1e-5)
    assert "held out" in (out / "report.txt").read_text()
