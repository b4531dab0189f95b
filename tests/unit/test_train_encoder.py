"""Training a projection: what it learns, that it is repeatable, and what it leaves behind."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_folders import make_folder
from planted_logs import write_items, write_log
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from encoders import TrainingError, load_encoder
from encoders.training.encoder.actions import Actions
from encoders.training.encoder.checkpoint import Checkpoint
from encoders.training.encoder.comparison import compare_tasks
from encoders.training.encoder.course import Course, Outcome, prepare, train_projection
from encoders.training.encoder.forms import without_some_words
from encoders.training.encoder.judging import recall
from encoders.training.encoder.lora import LoraVectors
from encoders.training.encoder.model_folder import add_projection, copy_model
from encoders.training.encoder.moments import find_moments, fold_weights
from encoders.training.encoder.plan import Plan
from encoders.training.encoder.popularity import popularity_over_time
from encoders.training.encoder.projection import Projection
from encoders.training.encoder.sources import FixedVectors
from store.policies import Policy
from store.reference import ReferenceProfile, fold_one
from tidemark.cli.main import app
from tidemark.errors import SettingsError
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

    file, identity = tmp_path / "checkpoint.pt", plan.identity()
    with pytest.raises(StoppedError):
        train_projection(
            course, FixedVectors(made[1]), plan, on_batch=interrupt,
            checkpoint=Checkpoint(file, identity, resume=False),
        )  # fmt: skip
    seen: list[int] = []
    resumed = train_projection(
        course, FixedVectors(made[1]), plan, checkpoint=Checkpoint(file, identity, resume=True),
        on_epoch=lambda epoch: seen.append(epoch.number),
    )  # fmt: skip
    assert seen == [3]
    assert resumed.fitted.epochs == whole.fitted.epochs
    for name, value in whole.fitted.projection.state_dict().items():
        assert torch.equal(value, resumed.fitted.projection.state_dict()[name])
    # for more epochs it may go on, but not by another plan
    more = replace(plan, epochs=4, patience=3)
    longer = train_projection(
        course, FixedVectors(made[1]), more,
        checkpoint=Checkpoint(file, more.identity(), resume=True),
    )  # fmt: skip
    assert longer.fitted.epochs[:4] == whole.fitted.epochs
    assert len(longer.fitted.epochs) == 5
    with pytest.raises(TrainingError, match="another training: seed was 0 and is 1"):
        Checkpoint(file, replace(plan, seed=1).identity(), resume=True)


def test_without_a_checkpoint_that_can_be_read_nothing_is_gone_on_from(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    with pytest.raises(TrainingError, match=r"there is no .*checkpoint.pt to go on from"):
        Checkpoint(file, {}, resume=True)
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(TrainingError, match="cannot be read"):
        Checkpoint(file, {}, resume=True)
    torch.save({"fingerprint": "0123456789ab"}, file)
    with pytest.raises(TrainingError, match="another version wrote it"):
        Checkpoint(file, {}, resume=True)


def test_a_checkpoint_is_of_all_that_is_trained_on(made: tuple[Actions, np.ndarray]) -> None:
    actions, texts = made[0], ["a", "b"]
    said = actions.fingerprint(texts)
    assert actions.fingerprint([*texts]) == said
    others = {
        actions.fingerprint(["a", "c"]),
        actions.fingerprint(["ab", ""]),
        *(
            replace(actions, **{name: getattr(actions, name) + 1}).fingerprint(texts)
            for name in ("users", "items", "texts", "ts", "strengths")
        ),
    }
    assert len(others) == 7
    assert said not in others


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
            ts=int(actions.ts[at]), policy=Policy(k=0.9),
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
        str(log), "--out", str(out), "--items", str(items), "-c", str(config), "--json",
        "--augment", "--adversarial", "0.02",
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


@pytest.mark.parametrize("modules", [None, (), ("Dense", "LayerNorm"), ("Normalize",)])
def test_a_projection_goes_behind_any_model(
    tmp_path: Path, modules: tuple[str, ...] | None
) -> None:
    """Also behind a bare transformer, which has no modules.json; and twice into one folder."""
    folder = make_folder(tmp_path / "model", modules=modules or ())
    if modules is None:
        (folder / "modules.json").unlink()
        shutil.rmtree(folder / "1_Pooling")
    texts = ["a b c", "d", "e f g h"]
    base = torch.from_numpy(load_encoder(str(folder), precision="float32").encode(texts))
    projection = Projection(torch.rand(base.shape[1]))
    with torch.no_grad():
        projection.change.copy_(torch.randn(projection.change.shape) / 4)
        expected = projection(base).numpy()
    for _ in range(2):
        copy_model(folder, tmp_path / "out")
        add_projection(tmp_path / "out", projection)
    found = load_encoder(str(tmp_path / "out"), precision="float32").encode(texts)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(TrainingError, match="name another folder"):
        copy_model(folder, folder)


def test_lora_changes_the_transformer(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    items, log = write_items(tmp_path / "items.csv"), write_log(tmp_path / "log.csv")
    config, out = tmp_path / "tidemark.toml", tmp_path / "better"
    config.write_text(f'[encoder]\nmodel = "{model}"\nprecision = "float32"\n')
    _, said = run(
        str(log), "--out", str(out), "--items", str(items), "-c", str(config), "--json",
        "--epochs", "3", "--lora", "4",
    )  # fmt: skip
    report = json.loads(said)
    assert report["best_epoch"] >= 1
    before, after = (load_file(folder / "model.safetensors") for folder in (model, out))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert "encoder.layer.0.attention.self.query.weight" in changed
    assert "embeddings.word_embeddings.weight" not in changed
    # that the folder gives what was trained is looked at by the command
    assert load_encoder(str(out), precision="float32").encoder_id == report["encoder_id"]


def test_vectors_while_lora_trains_are_the_encoders(model: Path) -> None:
    pytest.importorskip("peft")
    texts = ["a b c", "d", "e f g h i j k l", "b a"]
    source = LoraVectors(model, texts, rank=2)
    expected = load_encoder(str(model), precision="float32").encode(texts)
    np.testing.assert_allclose(source.table(), expected, atol=1e-5)
    rows = torch.tensor([3, 0, 2])
    fresh = source.drawn(rows, torch.tensor([1]), np.random.default_rng(0))
    np.testing.assert_allclose(fresh.detach(), expected[rows], atol=1e-5)
    fresh.sum().backward()  # type: ignore[no-untyped-call]
    assert any(one.grad is not None and one.grad.abs().sum() > 0 for one in source.parameters())


def test_tasks_are_compared(model: Path, tmp_path: Path) -> None:
    items = write_items(tmp_path / "items.csv")
    log = read_log(write_log(tmp_path / "log.csv", strays=0.4), items=items)
    actions, texts = actions_of(log, load_settings())
    vectors = load_encoder(str(model), precision="float32").encode(texts)
    plan = replace(PLAN, tasks=("next", "rating", "click"), epochs=4)
    course, outcome = train((actions, vectors), plan)
    assert set(outcome.fitted.epochs[-1].validation) == {"next", "rating", "click"}
    table = compare_tasks(course, vectors, plan, outcome.fitted)
    assert [*table] == ["untrained", "next", "rating", "click", "all together"]
    for name, figures in table.items():
        assert set(figures) == {"recall_at_10", "rating_rmse", "click_auc"}
        assert figures["click_auc"] is not None, name
        assert 0.5 < figures["click_auc"] < 1
    recalls = {name: figures["recall_at_10"] or 0.0 for name, figures in table.items()}
    assert min(recalls["next"], recalls["all together"]) > recalls["untrained"] > 0
    ratings = course.batches.moments.ratings
    for figures in table.values():
        assert figures["rating_rmse"] < ratings.std()  # of who guesses the mean


def test_other_forms_of_texts() -> None:
    texts = ["one", "a b c d e f g h i j k l m n o p"]
    fewer = without_some_words(texts, 0.5, 0)
    assert fewer == without_some_words(texts, 0.5, 0) != without_some_words(texts, 0.5, 1)
    assert fewer[0] == "one"
    assert 0 < len(fewer[1].split()) < 16


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"tasks": ("next", "sleep")}, "expected some of next, rating, click"),
        ({"tasks": ("next", "next")}, "each once"),
        ({"keeps": (1.0,)}, "0 ≤ k < 1"),
        ({"held_out": 0.6}, "held_out is 0.6"),
        ({"batch": 0}, "batch is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_plans_that_cannot_be(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        Plan(**wrong)


def test_short_logs_are_refused(made: tuple[Actions, np.ndarray]) -> None:
    with pytest.raises(TrainingError, match="at least 100 are needed"):
        prepare(made[0].first(600), PLAN)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--compare-tasks"], "tasks are compared by projections alone"),
        (["--column", "user_id"], "expected NAME=COLUMN"),
        (["--tasks", "sleep"], "expected some of next, rating, click"),
    ],
)
def test_wrong_usage(tmp_path: Path, model: Path, arguments: list[str], says: str) -> None:
    log, items = write_log(tmp_path / "log.csv", users=5), write_items(tmp_path / "items.csv")
    (tmp_path / "t.toml").write_text(f'[encoder]\nmodel = "{model}"\n')
    with pytest.raises((TrainingError, SettingsError), match=says):
        CliRunner().invoke(
            app,
            ["train", "encoder", str(log), "--items", str(items), "--out", str(tmp_path / "out"),
             "-c", str(tmp_path / "t.toml"), *arguments],
            catch_exceptions=False,
        )  # fmt: skip
