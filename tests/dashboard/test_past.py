"""A profile taken back to what it was, and vectors laid into a plane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from store.dashboard.past import steps_of
from store.dashboard.projection import choose, principal_plane
from store.profile import Contribution

DIM = 16


def unit(rng: np.random.Generator) -> NDArray[np.float32]:
    vector = rng.normal(size=DIM)
    found: NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
    return found


@given(
    seed=st.integers(0, 10_000),
    ks=st.lists(st.floats(0.5, 0.95), min_size=1, max_size=10),
    older=st.booleans(),
)
def test_the_rule_taken_back_is_the_rule(seed: int, ks: list[float], older: bool) -> None:
    rng = np.random.default_rng(seed)
    items = {f"i{at}": unit(rng) for at in range(len(ks))}
    profile = unit(rng).astype(np.float64) if older else np.zeros(DIM)
    contributions, truth = [], []
    for at, k in enumerate(ks):
        strength = float(rng.choice([1.0, 0.5, -0.25]))
        before = profile
        profile = k * profile + (1 - k) * strength * items[f"i{at}"]
        contributions.append(Contribution("view", f"i{at}", k, strength))
        truth.append((before, profile))
    steps = steps_of(profile.astype(np.float32), contributions, items.get)
    assert steps[-1].likeness == pytest.approx(1)
    assert sum(step.weight * items[step.item_id or ""] for step in steps) + (
        np.prod(ks) * truth[0][0]
    ) == pytest.approx(profile, abs=1e-5)
    for step, (before, after) in zip(steps, truth, strict=True):
        if step.norm is None:
            continue
        assert step.norm == pytest.approx(float(np.linalg.norm(after)), abs=2e-3)
        if np.linalg.norm(before) > 0.1:
            cosine = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
            assert step.drift == pytest.approx(1 - cosine, abs=5e-3)


def test_what_lies_before_an_action_with_words_of_its_own_cannot_be_told() -> None:
    rng = np.random.default_rng(1)
    held = {"x": unit(rng)}
    contributions = [
        Contribution("view", "x", 0.5, 1.0),
        Contribution("search", None, 0.5, 1.0),
        Contribution("view", "x", 0.5, 1.0),
        Contribution("view", "gone", 0.5, 1.0),
        Contribution("view", "x", 0.5, 1.0),
    ]
    steps = steps_of(unit(rng), contributions, held.get)
    assert [step.norm is not None for step in steps] == [False, False, False, True, True]
    assert steps[4].drift is not None
    assert steps[3].drift is None
    assert all(step.weight > 0 for step in steps)


def test_an_action_that_left_nothing_ends_what_can_be_told() -> None:
    rng = np.random.default_rng(2)
    held = {"x": unit(rng)}
    contributions = [Contribution("view", "x", 0.5, 1.0), Contribution("view", "x", 0.0, 1.0)]
    steps = steps_of(held["x"], contributions, held.get)
    assert [step.norm is not None for step in steps] == [False, True]
    assert steps_of(np.zeros(DIM, np.float32), [], held.get) == []


@given(st.integers(0, 1000), st.integers(1, 40))
def test_the_plane_is_that_of_the_singular_vectors(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(count, 8)) * np.arange(1, 9)).astype(np.float32)
    points, explained = principal_plane(vectors)
    again, _ = principal_plane(vectors.copy())
    np.testing.assert_array_equal(points, again)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    singular = np.linalg.svd(centred, compute_uv=False) ** 2
    if singular.sum() > 1e-6:
        share = singular / singular.sum()
        expected = [*share[:2].tolist(), 0.0][:2]
        assert explained == pytest.approx(expected, abs=1e-4)
        spread = (points.astype(np.float64) ** 2).sum(axis=0)
        assert spread == pytest.approx([*singular[:2].tolist(), 0.0][:2], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (1, 4), (3, 1)])
def test_few_vectors_and_few_dimensions_have_a_place_too(shape: tuple[int, int]) -> None:
    points, (first, second) = principal_plane(np.ones(shape, np.float32))
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()
    assert (first, second) == (0, 0)


def test_a_sample_stays_while_others_come_and_go() -> None:
    ids = [f"user {one}" for one in range(1000)]
    chosen = choose(ids, 100)
    assert len(chosen) == 100
    assert choose(list(reversed(ids)), 100) == chosen
    fewer = choose(ids[:900], 100)
    assert set(chosen) & set(ids[:900]) <= set(fewer)
    assert choose(ids[:5], 100) == sorted(ids[:5])
