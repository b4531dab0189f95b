"""The fold: the compiled loop against the reference, and both against sums done by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from streams_fakes import unit_rows

from store.columns import Rows, new_columns
from store.errors import PolicyError
from store.fold import Rule, fold_action
from store.influence import Influence
from store.policies import Policy, PolicyName
from store.reference import ReferenceProfile, fold_one

DIM = 8
USERS = 4
VECTORS = unit_rows(12, DIM)
BASE = 1_700_000_000_000
#: Below this norm the cosine of ``adaptive`` says nothing that two roundings could agree on.
SMALLEST_NORM = 0.05


@dataclass(frozen=True)
class Step:
    user: int
    vector: int
    strength: float
    weight: float
    ts: int


STEPS = st.lists(
    st.builds(
        Step,
        user=st.integers(0, USERS - 1),
        vector=st.integers(0, len(VECTORS) - 1),
        strength=st.sampled_from([1.0, 0.8, 0.3, 0.0, -0.3, -1.0]),
        weight=st.floats(0.01, 10),
        ts=st.integers(BASE, BASE + 10**9),
    ),
    min_size=1,
    max_size=60,
)
POLICIES = st.one_of(
    st.builds(Policy, st.just("constant"), k=st.floats(0, 0.999)),
    st.builds(Policy, st.just("decay"), half_life_seconds=st.floats(1, 1e8)),
    st.builds(
        lambda half_life: Policy(
            "influence", influence=Influence(half_life_seconds=half_life, actions={})
        ),
        st.floats(1, 1e8),
    ),
    st.builds(
        lambda alpha, ks: Policy("adaptive", alpha=alpha, k_min=min(ks), k_max=max(ks)),
        st.floats(0, 1),
        st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
    ),
)


def new_rows() -> Rows:
    return new_columns(DIM, 1, 1, 1).rows


def rule_of(policy: Policy) -> Rule:
    return Rule(policy.code, *policy.parameters())


def fold(rows: Rows, steps: list[Step], policy: Policy) -> list[float]:
    """Fold by the compiled function; the k's."""
    rule = rule_of(policy)
    return [
        fold_action(rows, one.user, VECTORS[one.vector], one.strength, one.weight, one.ts, rule)
        for one in steps
    ]


@given(STEPS, POLICIES)
def test_the_compiled_fold_equals_the_reference(steps: list[Step], policy: Policy) -> None:
    profiles = [ReferenceProfile.empty(DIM) for _ in range(USERS)]
    expected = []
    for step in steps:
        profile = profiles[step.user]
        norm = float(np.linalg.norm(profile.vector))
        if policy.name == "adaptive" and 0 < norm < SMALLEST_NORM:
            reject()
        expected.append(
            fold_one(
                profile,
                VECTORS[step.vector],
                strength=step.strength,
                weight=step.weight,
                ts=step.ts,
                policy=policy,
            )
        )
    rows = new_rows()
    used = fold(rows, steps, policy)
    np.testing.assert_allclose(used, expected, atol=1e-5)
    for row, profile in enumerate(profiles):
        np.testing.assert_allclose(rows.vector[row], profile.vector, atol=1e-5)
        assert rows.counts[row] == profile.count
        assert rows.last_ts[row] == profile.last_ts
        assert rows.mass[row] == pytest.approx(profile.mass, rel=1e-9)
        assert rows.sum_k[row] == pytest.approx(profile.sum_k, abs=1e-3)
        assert rows.sum_k2[row] == pytest.approx(profile.sum_k2, abs=1e-3)


@given(STEPS, POLICIES)
def test_a_first_action_becomes_the_profile(steps: list[Step], policy: Policy) -> None:
    first = steps[0]
    rows = new_rows()
    assert fold(rows, [first], policy) == [0.0]
    expected = np.float32(first.strength) * VECTORS[first.vector]
    np.testing.assert_array_equal(rows.vector[first.user], expected)


@given(STEPS, POLICIES)
def test_k_stays_in_its_range(steps: list[Step], policy: Policy) -> None:
    seen: set[int] = set()
    for step, k in zip(steps, fold(new_rows(), steps, policy), strict=True):
        if step.user not in seen:
            assert k == 0.0
        elif policy.name == "adaptive":
            assert policy.k_min <= k <= policy.k_max
        elif policy.name == "constant":
            assert 0.0 <= k <= policy.k
        else:
            assert 0.0 <= k < 1.0
        seen.add(step.user)


@given(st.lists(st.integers(0, len(VECTORS) - 1), min_size=1, max_size=9))
def test_constant_is_a_running_mean_until_k(drawn: list[int]) -> None:
    steps = [Step(0, row, 1.0, 1.0, BASE) for row in drawn]
    rows = new_rows()
    fold(rows, steps, Policy("constant", k=0.9))
    np.testing.assert_allclose(rows.vector[0], VECTORS[drawn].mean(axis=0), atol=1e-6)


def steps_at(*at: tuple[float, float]) -> list[Step]:
    """Actions of one user: seconds after the base, and weight."""
    return [Step(0, row, 1.0, weight, BASE + int(s * 1000)) for row, (s, weight) in enumerate(at)]


def both(steps: list[Step], policy: Policy) -> list[list[float]]:
    """The k's of the compiled loop and of the reference."""
    profile = ReferenceProfile.empty(DIM)
    reference = [
        fold_one(
            profile, VECTORS[s.vector], strength=s.strength, weight=s.weight, ts=s.ts, policy=policy
        )
        for s in steps
    ]
    return [fold(new_rows(), steps, policy), reference]


def test_constant_by_hand() -> None:
    for used in both(steps_at(*[(0, 1)] * 5), Policy("constant", k=0.7)):
        assert used == pytest.approx([0, 1 / 2, 2 / 3, 0.7, 0.7])


def test_decay_by_hand() -> None:
    # masses: 1 | 1/2 + 1 | half the half-life again: 1.5·√½ + 2
    policy = Policy("decay", half_life_seconds=10)
    mass = 1.5 * math.sqrt(0.5)
    for used in both(steps_at((0, 1), (10, 1), (15, 2)), policy):
        assert used == pytest.approx([0, 0.5 / 1.5, mass / (mass + 2)])


def test_a_late_action_neither_decays_nor_turns_the_clock_back() -> None:
    policy = Policy("decay", half_life_seconds=10)
    # late by 6 s: as if at 10 s; then 20 s is one half-life after 10 s, not after 4 s
    for used in both(steps_at((0, 1), (10, 1), (4, 1), (20, 1)), policy):
        assert used == pytest.approx([0, 0.5 / 1.5, 1.5 / 2.5, 1.25 / 2.25])


def test_decay_is_the_time_weighted_mean() -> None:
    steps = steps_at((0, 1), (30, 2), (45, 0.5), (45, 3), (100, 1))
    rows = new_rows()
    fold(rows, steps, Policy("decay", half_life_seconds=20))
    weights = np.array([step.weight * 2 ** (-(BASE + 100_000 - step.ts) / 20e3) for step in steps])
    expected = weights @ VECTORS[: len(steps)] / weights.sum()
    np.testing.assert_allclose(rows.vector[0], expected, atol=1e-6)
    assert rows.mass[0] == pytest.approx(weights.sum())


def test_adaptive_by_hand() -> None:
    vectors = np.zeros((3, DIM), np.float32)
    vectors[0, 0] = 1
    vectors[1, :2] = 0.5, math.sqrt(0.75)  # at 60° of the first
    # 2nd: r = 1/2 and no k > 0 was used, so spread = 1. k = 0.5·0.5 + 0.5·1 = 0.75
    # 3rd: orthogonal to both, r = 0; spread = 0.75/0.75² = 4/3. k = 2/3
    vectors[2, 2] = 1
    policy = Policy("adaptive", alpha=0.5, k_min=0.1, k_max=0.9)
    rows = new_rows()
    used = [fold_action(rows, 0, vector, 1.0, 1.0, 0, rule_of(policy)) for vector in vectors]
    assert used == pytest.approx([0, 0.75, 2 / 3])
    profile = ReferenceProfile.empty(DIM)
    for vector, k in zip(vectors, used, strict=True):
        kept = fold_one(profile, vector, strength=1, weight=1, ts=0, policy=policy)
        assert kept == pytest.approx(k)


@pytest.mark.parametrize(("strength", "k"), [(1.0, 0.6), (-1.0, 0.3)])
def test_adaptive_is_clamped(strength: float, k: float) -> None:
    # the second action is the first again: r = +1 or -1
    steps = [Step(0, 0, strength, 1.0, BASE), Step(0, 0, 1.0, 1.0, BASE)]
    for used in both(steps, Policy("adaptive", alpha=1.0, k_min=0.3, k_max=0.6)):
        assert used == [0.0, k]


def test_no_action_changes_nothing() -> None:
    rows = new_rows()
    assert fold(rows, [], Policy()) == []
    assert not rows.counts.any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "mean"}, "policy 'mean' is unknown; known: constant, decay, adaptive"),
        ({"k": 1.0}, r"k is 1\.0; expected 0 ≤ k < 1"),
        ({"k": -0.1}, r"k is -0\.1"),
        ({"k": math.nan}, "k is nan"),
        ({"half_life_seconds": 0.0}, r"half_life_seconds is 0\.0; expected above 0"),
        ({"half_life_seconds": math.nan}, "half_life_seconds is nan"),
        ({"alpha": 1.1}, r"alpha is 1\.1; expected 0 to 1"),
        ({"alpha": -0.1}, r"alpha is -0\.1"),
        ({"k_min": 0.9, "k_max": 0.8}, r"k_min is 0\.9 and k_max 0\.8; expected 0 ≤ k_min"),
        ({"k_max": 1.0}, r"k_max 1\.0"),
        ({"k_min": -0.5}, r"k_min is -0\.5"),
    ],
)
def test_a_policy_says_what_is_wrong(values: dict[str, float], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        Policy(**values)  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("constant", "constant(k=0.8)"),
        ("decay", "decay(half_life_seconds=60)"),
        ("adaptive", "adaptive(alpha=0.25, k_min=0.5, k_max=0.9)"),
    ],
)
def test_the_identity_names_the_parameters_in_use(name: PolicyName, identity: str) -> None:
    assert Policy(name, 0.8, 60.0, 0.25, 0.5, 0.9).identity == identity


def test_policies_that_differ_a_little_have_different_identities() -> None:
    month = 30 * 86_400.0
    first, second = (Policy("decay", half_life_seconds=month + more) for more in (0, 1))
    assert first.identity == "decay(half_life_seconds=2592000)"
    assert first.identity != second.identity
