"""The sequence profile: as trained and as served, from a log to a file to query vectors."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sequence_logs import circle, one_hot
from store_fakes import DIM, ENCODER, X, Y, Z, item_record, make_state, make_view, profile_record

from encoders.training.sequence.histories import histories_before
from encoders.training.sequence.profile_net import ProfileNet
from encoders.training.sequence.profile_training import ProfileTraining, ProfileTrainingSettings
from store.errors import NoSequenceError, UnknownUserError
from store.policies import Policy
from store.profile import Contribution, contribution_weights
from store.question import answered
from store.sequence import SequenceProfile, UserSequence, sequence_of
from streams.rules import ActionRule, ActionRules, RatingScale
from tidemark.compose.sequence import build_sequence
from tidemark.errors import CheckpointError, EvaluationError, SequenceError, SettingsError
from tidemark.evaluation.log import ActionLog
from tidemark.sequence_file import load_sequence, make_sequence, save_sequence
from tidemark.settings import Settings, load_settings
from tidemark.training.folding import fold_log
from tidemark.training.held_out import choices_between, paired, ranks_of
from tidemark.training.sequence import Outcome, Plan, train_sequence

RULES = ActionRules({"purchase": ActionRule(1.0, 1.0)}, RatingScale())
POLICY = Policy(k=0.5)
SMALL = ProfileTrainingSettings(length=4, hidden=24, batch=32, rate=1e-2, dropout=0.0)
PLAN = Plan(epochs=8, patience=8)


def made(
    *, dim: int = DIM, hidden: int = 5, encoder_id: str = ENCODER, **more: int
) -> SequenceProfile:
    rng = np.random.default_rng(1)
    shapes = {
        "input_weights": (3 * hidden, dim + 2), "state_weights": (3 * hidden, hidden),
        "input_bias": (3 * hidden,), "state_bias": (3 * hidden,),
        "out_weights": (dim, hidden), "out_bias": (dim,),
    }  # fmt: skip
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return make_sequence(
        weights, encoder_id=encoder_id, policy=POLICY.identity, length=more.get("length", 4)
    )


def trained(
    folder: Path,
    log: ActionLog,
    *,
    vectors: NDArray[np.float32] | None = None,
    resume: bool = False,
    **plan: Any,
) -> Outcome:
    return train_sequence(
        log,
        one_hot(len(log.catalogue)) if vectors is None else vectors,
        encoder_id=ENCODER,
        rules=RULES,
        policy=POLICY,
        settings=SMALL,
        plan=dataclasses.replace(PLAN, **plan),
        checkpoint=folder / "checkpoint.safetensors",
        resume=resume,
    )


def weights_of(outcome: Outcome) -> list[bytes]:
    sequence = outcome.sequence
    return [
        value.tobytes()
        for one in dataclasses.fields(sequence)
        if isinstance(value := getattr(sequence, one.name), np.ndarray)
    ]


# --- as trained and as served ---


def test_numpy_gives_what_torch_gives() -> None:
    torch.manual_seed(0)
    net = ProfileNet(12, 7, dropout=0.5).eval()
    with torch.no_grad():
        net.out.weight.normal_()
        net.out.bias.normal_()
    names = {
        "input_weights": "gru.weight_ih_l0", "state_weights": "gru.weight_hh_l0",
        "input_bias": "gru.bias_ih_l0", "state_bias": "gru.bias_hh_l0",
        "out_weights": "out.weight", "out_bias": "out.bias",
    }  # fmt: skip
    state = net.state_dict()
    served = make_sequence(
        {name: state[of].numpy() for name, of in names.items()},
        encoder_id=ENCODER, policy=POLICY.identity, length=10,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    users = []
    vectors, features = torch.zeros(50, 10, 12), torch.zeros(50, 10, 2)
    weights, lengths = torch.zeros(50, 10), torch.zeros(50, dtype=torch.int64)
    for row in range(50):
        count = int(rng.integers(1, 11))
        one = UserSequence(
            vectors=rng.normal(size=(count, 12)).astype(np.float32),
            strengths=rng.normal(size=count).astype(np.float32),
            keeps=rng.normal(size=count).astype(np.float32),
            weights=rng.normal(size=count).astype(np.float32),
        )
        users.append(one)
        vectors[row, :count] = torch.from_numpy(one.vectors)
        features[row, :count, 0] = torch.from_numpy(one.strengths)
        features[row, :count, 1] = torch.from_numpy(one.keeps)
        weights[row, :count] = torch.from_numpy(one.weights)
        lengths[row] = count
    with torch.inference_mode():
        expected = net(vectors, features, weights, lengths).numpy()
    found = served.queries(users)
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-5
    # and one alone gets what it gets among others
    assert np.abs(served.queries(users[3:4])[0] - found[3]).max() < 1e-6


def test_an_untrained_net_is_the_fold_of_the_last_actions() -> None:
    log = circle(users=8, items=10, length=6)
    vectors = np.random.default_rng(0).normal(size=(10, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = choices_between(log, np.ones(len(log), np.bool_), 0, len(log))
    keeps, folded = fold_log(log, RULES, POLICY, vectors, places)
    before = histories_before(
        places, users=log.users, items=log.items, strengths=np.ones(len(log), np.float32),
        keeps=keeps, length=10,
    )  # fmt: skip
    found = ProfileTraining(vectors, SMALL).queries(before)
    expected = folded / np.linalg.norm(folded, axis=1, keepdims=True)
    assert np.abs(found - expected).max() < 1e-5


def test_a_history_is_what_the_profile_s_record_says() -> None:
    """Actions without an item have a place among the latest, and a part in the weights."""
    rng = np.random.default_rng(3)
    users = rng.integers(0, 3, 60).astype(np.int32)
    items = rng.integers(-1, 4, 60).astype(np.int32)
    strengths, keeps = (rng.random(60).astype(np.float32) for _ in range(2))
    places = np.arange(5, 60)
    found = histories_before(
        places, users=users, items=items, strengths=strengths, keeps=keeps, length=4
    )
    held = {str(item): one_hot(4)[item] for item in range(4)}
    for row, place in enumerate(places.tolist()):
        before = [at for at in range(place) if users[at] == users[place]]
        contributions = [
            Contribution(
                "view", None if items[at] < 0 else str(items[at]), float(keeps[at]),
                float(strengths[at]),
            )
            for at in before
        ]  # fmt: skip
        expected = sequence_of(contributions[-4:], held)
        count = found.lengths[row]
        if expected is None:
            assert count == 0
            continue
        assert np.array_equal(one_hot(4)[found.items[row, :count]], expected.vectors)
        assert np.allclose(found.strengths[row, :count], expected.strengths)
        assert np.allclose(found.keeps[row, :count], expected.keeps)
        assert np.allclose(found.weights[row, :count], expected.weights)
        assert (found.items[row, count:] == -1).all()


# --- training ---


def test_it_learns_an_order_that_fold_and_popularity_do_not_have(tmp_path: Path) -> None:
    log = circle(users=120, items=60)
    outcome = trained(tmp_path, log)
    assert outcome.history[0].loss is None
    assert outcome.recall[0] > 0.9
    assert outcome.recall[1] < 0.5
    assert outcome.ndcg_gain.low > 0
    assert outcome.promoted
    places = choices_between(log, np.ones(len(log), np.bool_), round(len(log) * 0.8), len(log), 3)
    popularity = np.bincount(log.items[: places[0]], minlength=len(log.catalogue))
    popular = ranks_of(
        log, places, np.ones((len(places), 1), np.float32), popularity[:, None].astype(np.float32)
    )
    assert (popular <= 10).mean() < 0.5


def test_it_is_not_promoted_where_there_is_nothing_to_learn(tmp_path: Path) -> None:
    log = circle(users=40, items=200, noise=1.0)
    outcome = trained(tmp_path, log, epochs=2)
    assert not outcome.promoted
    assert outcome.recall_gain.low <= 0


def test_the_fold_beside_it_is_searched_for_as_the_settings_say(tmp_path: Path) -> None:
    log = circle(users=40, items=120)
    rows = np.random.default_rng(0).normal(size=(120, 16)) + 1.0  # much in common
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    with_it, without = (
        trained(tmp_path, log, vectors=vectors, epochs=1, mean_removal=on) for on in (False, True)
    )
    assert with_it.ndcg[0] == without.ndcg[0]  # its own queries are as trained
    assert with_it.ndcg[1] != without.ndcg[1]


def test_a_seed_decides_all(tmp_path: Path) -> None:
    log = circle(users=20)
    one, other = (trained(tmp_path, log, epochs=2) for _ in range(2))
    assert weights_of(one) == weights_of(other)
    assert one.sequence.model_id == other.sequence.model_id
    assert one.history == other.history


def test_interrupted_and_resumed_it_is_as_if_it_had_not_been(tmp_path: Path) -> None:
    log = circle(users=20)
    whole = trained(tmp_path, log, epochs=4)
    trained(tmp_path, log, epochs=2)
    resumed = trained(tmp_path, log, epochs=4, resume=True)
    assert weights_of(resumed) == weights_of(whole)
    assert resumed.history == whole.history


def test_what_is_resumed_is_the_same_training(tmp_path: Path) -> None:
    trained(tmp_path, circle(users=20), epochs=1)
    with pytest.raises(CheckpointError, match="of another training: log was"):
        trained(tmp_path, circle(users=20, seed=1), resume=True)
    with pytest.raises(CheckpointError, match="of another training: seed was 0 and is 5"):
        trained(tmp_path, circle(users=20), resume=True, seed=5)
    with pytest.raises(CheckpointError, match="of another training: whitening was"):
        trained(tmp_path, circle(users=20), resume=True, whitening=0.5)
    with pytest.raises(CheckpointError, match="of another training: vectors was"):
        trained(tmp_path, circle(users=20), resume=True, vectors=one_hot(24)[::-1])
    (tmp_path / "checkpoint.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="cannot be taken up"):
        trained(tmp_path, circle(users=20), resume=True)


def test_it_stops_early(tmp_path: Path) -> None:
    outcome = trained(tmp_path, circle(users=40, items=200, noise=1.0), epochs=30, patience=2)
    assert len(outcome.history) - 1 == outcome.best + 2


def test_the_end_of_the_log_does_not_reach_what_is_learned(tmp_path: Path) -> None:
    log = circle(users=20)
    judged = np.arange(len(log)) >= round(len(log) * 0.8)
    changed = np.where(judged, (log.items + 3) % len(log.catalogue), log.items).astype(np.int32)
    one = trained(tmp_path, log, epochs=2)
    other = trained(tmp_path, dataclasses.replace(log, items=changed), epochs=2)
    assert weights_of(one) == weights_of(other)


def test_a_log_with_too_little_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="has nothing to"):
        trained(tmp_path, circle(users=2, items=4, length=2))
    with pytest.raises(EvaluationError, match="leave something to train on"):
        Plan(held_out=0.95)


def test_k_is_that_of_the_policy() -> None:
    log = circle(users=5, items=9, length=5)
    vectors = one_hot(9)
    keeps, _ = fold_log(log, RULES, POLICY, vectors, np.array([len(log) - 1]))
    for user in range(5):
        assert keeps[log.users == user].tolist() == [0.0, 0.5, 0.5, 0.5, 0.5]
    gaps, _ = fold_log(
        log, RULES, Policy(name="decay", half_life_seconds=3600), vectors, np.array([0])
    )
    assert len(set(gaps[gaps > 0].tolist())) > 5  # how long ago it was


# --- judging ---


def test_ranks_are_among_what_is_new_and_equals_share_the_middle() -> None:
    log = circle(users=1, items=6, length=4)
    place = np.array([3])
    scores = np.zeros((6, 1), np.float32)
    seen, target = log.items[:3], log.items[3]
    scores[seen] = 9.0  # better than all, and not asked
    assert ranks_of(log, place, np.ones((1, 1), np.float32), scores).tolist() == [2.0]
    scores[target] = 1.0
    assert ranks_of(log, place, np.ones((1, 1), np.float32), scores).tolist() == [1.0]


def test_an_interval_is_wider_where_moments_are_of_few_users() -> None:
    rng = np.random.default_rng(0)
    of_user = np.repeat(rng.random(20) < 0.6, 50).astype(float)
    zero = np.zeros(1000)
    apart = paired(of_user, zero, np.arange(1000, dtype=np.int32), 0)
    together = paired(of_user, zero, np.repeat(np.arange(20), 50).astype(np.int32), 0)
    assert apart.mean == together.mean
    assert together.low < apart.low < apart.mean < apart.high < together.high


# --- the file, and what it is refused for ---


def test_a_file_brings_back_what_was_saved(tmp_path: Path) -> None:
    sequence = made()
    save_sequence(sequence, tmp_path / "s.safetensors", {"trained_on": "circle"})
    found = load_sequence(tmp_path / "s.safetensors")
    assert found.model_id == sequence.model_id
    assert (found.encoder_id, found.policy, found.length) == (ENCODER, POLICY.identity, 4)
    assert made(encoder_id="another").model_id != sequence.model_id


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.safetensors"
    with pytest.raises(SequenceError, match="is no sequence model"):
        load_sequence(file)
    save_sequence(made(), file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-8])
    with pytest.raises(SequenceError, match="is no sequence model"):
        load_sequence(file)
    file.write_bytes(whole[:-4] + b"\0\0\x80\x3f")
    with pytest.raises(SequenceError, match="it is damaged"):
        load_sequence(file)


def _settings(file: Path, k: float = 0.5, kept: int = 10) -> Settings:
    return load_settings(
        None, retrieval={"sequence": str(file)}, policy={"k": k},
        memory={"contributions": kept},
    )  # fmt: skip


def test_another_encoder_s_or_policy_s_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.safetensors"
    save_sequence(made(encoder_id="m:0123456789ab-256:float32"), file)
    of_rounding = build_sequence(_settings(file), "m:0123456789ab-256:bfloat16")
    assert of_rounding is not None
    assert build_sequence(load_settings(None), ENCODER) is None
    with pytest.raises(SettingsError, match="trained for the encoder m:0123456789ab"):
        build_sequence(_settings(file), ENCODER)
    with pytest.raises(SettingsError, match=r"trained for the policy constant\(k=0.5\)"):
        build_sequence(_settings(file, k=0.9), "m:0123456789ab-256:float32")
    with pytest.raises(SettingsError, match="looks at the last 4 actions"):
        build_sequence(_settings(file, kept=3), "m:0123456789ab-256:float32")


# --- in the view ---


def test_a_view_searches_by_what_the_function_makes_of_the_contributions() -> None:
    sequence = made()
    view = make_view()
    view.sequence = sequence
    view.apply_items([item_record("x", X), item_record("y", Y), item_record("z", Z)])
    contributions = [
        Contribution("click", "x", 0.0, 1.0),
        Contribution("search", None, 0.5, 1.0),
        Contribution("click", "gone", 0.5, 1.0),
        Contribution("click", "y", 0.5, -0.5),
    ]
    view.apply_profiles(
        [
            profile_record("ann", make_state(X, contributions=contributions)),
            profile_record("bob", make_state(X, contributions=contributions[:1])),
            profile_record("words", make_state(X, contributions=contributions[1:3])),
        ],
        lambda: 0,
    )
    weights = contribution_weights(contributions)
    one = UserSequence(
        vectors=np.stack([X, Y]),
        strengths=np.array([1.0, -0.5], np.float32),
        keeps=np.array([0.0, 0.5], np.float32),
        weights=np.array([weights[0], weights[3]], np.float32),
    )
    query = sequence.queries([one])[0]
    found = answered(view.answers.ask_candidates("ann", 3, by="sequence"))
    assert [one.item_id for one in found] == [
        one.item_id for one in answered(view.answers.ask_items(query, 3))
    ]
    assert [one.score for one in found] == pytest.approx(np.sort(query[:3])[::-1], abs=1e-6)
    assert [one.score for one in found] != [
        one.score for one in answered(view.answers.ask_candidates("ann", 3))
    ]
    with pytest.raises(UnknownUserError, match="no latest action on an item that is held"):
        answered(view.answers.ask_candidates("words", 3, by="sequence"))
    with pytest.raises(UnknownUserError, match="has no profile"):
        answered(view.answers.ask_candidates("nobody", 3, by="sequence"))
    many = view.answers.candidates_of(["nobody", "ann", "words", "bob"], 3, by="sequence")
    for got, alone in (
        (many[1], found),
        (many[3], answered(view.answers.ask_candidates("bob", 3, by="sequence"))),
    ):
        assert not isinstance(got, UnknownUserError)
        assert [one.item_id for one in got] == [one.item_id for one in alone]
        # how products of several rows round differs by processor
        assert [one.score for one in got] == pytest.approx([one.score for one in alone], abs=1e-6)
    assert [isinstance(one, UnknownUserError) for one in many] == [True, False, True, False]


def test_a_view_without_one_says_so() -> None:
    view = make_view()
    view.apply_items([item_record("x", X)])
    view.apply_profiles(
        [profile_record("ann", make_state(X, contributions=[Contribution("view", "x", 0.0, 1.0)]))],
        lambda: 0,
    )
    with pytest.raises(NoSequenceError, match="tidemark train sequence"):
        answered(view.answers.ask_candidates("ann", 3, by="sequence"))


def test_a_checkpoint_is_of_tensors_and_json_alone(tmp_path: Path) -> None:
    trained(tmp_path, circle(users=20), epochs=1)
    whole = (tmp_path / "checkpoint.safetensors").read_bytes()
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    said = json.loads(header["__metadata__"]["said"])
    assert [one[0] for one in said["history"]] == [0, 1]
