"""Weights learned from a log: the file, what the worker makes of it, and that learning learns."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file
from streams_fakes import unit_rows

from encoders.training.influence import Examples, InfluenceFit, bootstrap, fit, losses
from store.errors import PolicyError
from store.influence import Influence, load_influence, save_influence
from store.policies import Policy
from streams.rules import ActionRule, ActionRules, RatingScale
from streams.schema import Action, Item
from tidemark.errors import CheckpointError
from tidemark.evaluation.log import ActionLog
from tidemark.settings import DEFAULT_ACTIONS, load_settings
from tidemark.training.features import features_of
from tidemark.training.histories import earlier_actions, repeated
from tidemark.training.influence import Outcome, Plan, train_influence
from tidemark.training.influence_fits import InfluenceFits

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MODEL = Influence(
    half_life_seconds=60,
    actions={"view": 0.5, "rate": 2.0},
    ratings=(*[0.5] * 9, 4.0),
    feelings=(3.0, 1.0, 2.0),
    repeated=0.25,
)
RULES = ActionRules(
    {name: ActionRule(**rule.model_dump()) for name, rule in DEFAULT_ACTIONS.items()},
    RatingScale(),
)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    save_influence(MODEL, tmp_path / "i.json")
    assert load_influence(tmp_path / "i.json") == MODEL
    settings = load_settings(policy={"name": "influence", "influence": tmp_path / "i.json"})
    assert settings.policy.policy().identity == f"influence({MODEL.version})"


def test_the_version_is_of_the_weights_alone() -> None:
    same = msgspec.structs.replace(MODEL, trained_on="another", encoder="e")
    other = msgspec.structs.replace(MODEL, repeated=0.26)
    assert same.version == MODEL.version != other.version
    first, second = (Policy("influence", influence=one).identity for one in (MODEL, other))
    assert first != second


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repeated": 2.0}, "was changed after it was made"),
        ({"repeated": -1.0}, "expected above 0"),
        ({"ratings": [1.0]}, "has 1 ratings; expected 10"),
        ({"format": 9}, "no influence of format 1"),
        ({"more": 1}, "unknown field"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    save_influence(MODEL, tmp_path / "i.json")
    said = json.loads((tmp_path / "i.json").read_text())
    (tmp_path / "i.json").write_text(json.dumps({**said, **change}))
    with pytest.raises(PolicyError, match=message):
        load_influence(tmp_path / "i.json")


def test_a_policy_without_its_model_is_refused() -> None:
    with pytest.raises(PolicyError, match="tidemark train influence"):
        Policy("influence")


def test_rules_weigh_by_kind_and_rating() -> None:
    rules = replace(RULES, influence=MODEL)

    def weight(action: str, rating: float | None = None) -> float:
        return rules.weigh(Action(user_id="a", action=action, ts=1, rating=rating))[0]

    assert weight("view") == 0.5
    assert weight("purchase") == DEFAULT_ACTIONS["purchase"].weight  # not in the model
    assert (weight("rate", 5.0), weight("rate", 1.0)) == (8.0, 1.0)
    np.testing.assert_array_equal(rules.factors(np.array([5.0, 1.0, np.nan])), [4.0, 0.5, 1.0])
    felt = np.array([-1, 0, 1], np.float32)
    np.testing.assert_array_equal(MODEL.of_feelings(felt), [3.0, 1.0, 2.0])


# The log


def make_log(choices: int = 600) -> ActionLog:
    """Purchases foretell the next purchase, and views, twice as many, are of anything."""
    draw = np.random.default_rng(3)
    users, items, actions = [], [], []
    taste = draw.integers(0, 4, 40)
    for _ in range(choices):
        user = int(draw.integers(0, 40))
        users += [user] * 3
        items += [*draw.integers(0, 120, 2).tolist(), int(taste[user] * 30 + draw.integers(0, 30))]
        actions += [0, 0, 1]
    n = len(users)
    return ActionLog(
        name="made", users=np.array(users, np.int32), items=np.array(items, np.int32),
        ts=np.arange(n, dtype=np.int64) * 1000, actions=np.array(actions, np.int16),
        ratings=np.full(n, np.nan, np.float32), user_ids=tuple(map(str, range(40))),
        catalogue=tuple(Item(item_id=str(one), title=str(one)) for one in range(120)),
        action_names=("view", "purchase"),
    )  # fmt: skip


def vectors() -> NDArray[np.float32]:
    """Items of one taste are near each other."""
    found = np.repeat(np.eye(4, 16), 30, axis=0) + 0.3 * unit_rows(120, 16)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found.astype(np.float32)


def test_histories_are_each_users_own_and_end_before_the_place() -> None:
    users = np.array([0, 1, 0, 0, 1], np.int32)
    found = earlier_actions(users, np.array([0, 3, 4]), 2)
    assert found.tolist() == [[-1, -1], [0, 2], [-1, 1]]


def test_a_repetition_is_of_the_same_user_and_item() -> None:
    log = make_log(4)
    items = np.array([5, 5, -1, 5, -1, 6, 5, 6, 7, 7, 5, 5], np.int32)
    users = np.array([0, 1, 0, 0, 0, 1, 1, 1, 2, 3, 3, 3], np.int32)
    found = repeated(replace(log, items=items, users=users))
    assert np.flatnonzero(found).tolist() == [3, 6, 7, 11]


def test_features_are_those_met_and_the_served_are_fewer() -> None:
    log = make_log()
    where = np.arange(len(log), dtype=np.int32) % 2
    table = features_of(replace(log, context={"device": (where, ("phone", "desk"))}), {})
    named = {(one.group, one.value) for one in table.features}
    assert {("action", "view"), ("item", "seen before"), ("context.device", "desk")} <= named
    served = table.served()
    assert {one.group for one in served.features} == {"action", "item"}
    first = [served.features[code] for code in served.codes[0]]
    assert [(one.group, one.value) for one in first] == [
        ("action", "view"), ("item", "new to the user"),
    ]  # fmt: skip


def test_what_foretells_gets_the_weight_and_retrieves_more() -> None:
    rules = replace(RULES, rules={name: ActionRule(1.0, 1.0) for name in ("view", "purchase")})
    log = make_log()
    policy = Policy("decay", half_life_seconds=86_400)
    plan = Plan(choices=400, negatives=16, half_lives=(86_400.0,), rounds=8)
    outcome = train_influence(
        log, vectors(), encoder_id="e", rules=rules, policy=policy, feelings={}, plan=plan,
    )  # fmt: skip
    by_name = {(one.group, one.value): one for one in outcome.weights}
    view, purchase = by_name["action", "view"], by_name["action", "purchase"]
    assert view.high < purchase.low
    assert outcome.model.actions["purchase"] > 2 * outcome.model.actions["view"]
    assert [one.name for one in outcome.judged][:2] == ["influence", "all weights equal"]
    again = train_influence(
        log, vectors(), encoder_id="e", rules=rules, policy=policy, feelings={}, plan=plan,
    )  # fmt: skip
    assert again.model.version == outcome.model.version
    gain = outcome.judged[1].gain
    assert gain is not None
    assert gain.mean > 0


def test_interrupted_and_resumed_it_is_as_if_it_had_not_been(tmp_path: Path) -> None:
    plan = Plan(choices=200, negatives=4, half_lives=(60.0, 3_600.0), rounds=2)
    fitted: list[tuple[str, float]] = []

    def train(resume: bool, until: int, plan: Plan = plan) -> Outcome:
        def told(name: str, half_life: float, _: float) -> None:
            fitted.append((name, half_life))
            if len(fitted) == until:
                raise KeyboardInterrupt

        return train_influence(
            make_log(), vectors(), encoder_id="e", rules=RULES, policy=Policy(), feelings={},
            plan=plan, checkpoint=tmp_path / "c", resume=resume, on_fit=told,
        )  # fmt: skip

    whole = train(resume=False, until=0)
    of_all = [*fitted]
    fitted.clear()
    with pytest.raises(KeyboardInterrupt):
        train(resume=False, until=3)
    assert len({name.rpartition("/")[0] for name in load_file(tmp_path / "c")}) == 3
    fitted.clear()
    assert train(resume=True, until=0) == whole
    assert fitted == of_all
    assert train(resume=True, until=0, plan=replace(plan, rounds=3)).model == whole.model
    with pytest.raises(CheckpointError, match="of another training: negatives was 4 and is 5"):
        train(resume=True, until=0, plan=replace(plan, negatives=5))


def test_what_is_in_a_checkpoint_is_not_fitted_again(tmp_path: Path) -> None:
    def make() -> InfluenceFit:
        return InfluenceFit(np.array([1.5, 0.5]), 60.0, 9.0, (0.1, 0.2), (3.0, 2.0), (2.5, 2.6))

    def fail() -> NoReturn:
        raise AssertionError("it was there")

    file, identity = tmp_path / "c", {"seed": 1}
    made = InfluenceFits(file, identity).get("influence", 60.0, make)
    again = InfluenceFits(file, identity, resume=True)
    found = again.get("influence", 60.0, fail)
    assert found.factors.tolist() == made.factors.tolist()
    assert replace(found, factors=made.factors) == made
    with pytest.raises(AssertionError, match="it was there"):
        again.get("influence", 61.0, fail)
    with pytest.raises(CheckpointError, match="train anew without --resume"):
        InfluenceFits(tmp_path / "none", identity, resume=True)


def test_profiles_are_searched_for_as_the_settings_say() -> None:
    found = [
        train_influence(
            make_log(), vectors(), encoder_id="e", rules=RULES, policy=Policy(k=0.9), feelings={},
            plan=Plan(choices=400, negatives=4, half_lives=(60.0,), rounds=1, mean_removal=on),
        )
        for on in (True, False)
    ]  # fmt: skip
    assert found[0].model.actions == found[1].model.actions  # it is learned alike
    assert found[0].judged[0].ndcg != found[1].judged[0].ndcg


def test_without_features_weights_stay_and_the_bootstrap_is_of_users() -> None:
    draw = np.random.default_rng(0)
    m, h, c = 50, 4, 6
    given = Examples(
        cosines=draw.normal(size=(m, h, c)).astype(np.float32),
        ages=np.zeros((m, h), np.float32), strengths=np.ones((m, h), np.float32),
        weights=np.ones((m, h), np.float32), features=np.full((m, h, 1), 1, np.int64),
        corrections=np.zeros((m, c), np.float32), popularity=np.zeros((m, c, 2), np.float32),
        users=np.repeat(np.arange(10), 5).astype(np.int32),
    )  # fmt: skip
    fitted = fit(given, given, 1, half_life_seconds=60)
    # No action has the one property: nothing but the prior speaks of it.
    assert fitted.factors == pytest.approx([1.0], abs=1e-3)
    assert losses(given, fitted).shape == (m,)
    assert bootstrap(given, fitted, rounds=3, seed=1).shape == (3, 1)


def test_intervals_hold_what_they_are_of_where_the_fit_stopped_early() -> None:
    """A property whose actions foretell, in training alone: so validation stops the fit at once."""
    draw = np.random.default_rng(3)
    m, h, c = 400, 4, 8

    def examples(*, foretold: bool) -> Examples:
        cosines = draw.normal(size=(m, h, c), scale=0.1).astype(np.float32)
        features = draw.integers(0, 2, (m, h, 1))
        if foretold:
            cosines[:, :, 0] += 0.5 * features[:, :, 0]
        return Examples(
            cosines=cosines,
            ages=np.zeros((m, h), np.float32), strengths=np.ones((m, h), np.float32),
            weights=np.ones((m, h), np.float32), features=features,
            corrections=np.zeros((m, c), np.float32), popularity=np.zeros((m, c, 2), np.float32),
            users=np.repeat(np.arange(m // 4), 4).astype(np.int32),
        )  # fmt: skip

    training = examples(foretold=True)
    fitted = fit(training, examples(foretold=False), 1, half_life_seconds=60)
    assert np.argmin(fitted.validation) < len(fitted.validation) - 1  # it went on for nothing
    low, high = np.quantile(bootstrap(training, fitted, rounds=40, seed=1), (0.025, 0.975))
    assert low < fitted.factors[0] < high
