"""Profiles turned so that texts differ alike in every direction."""

from __future__ import annotations

import numpy as np
import pytest

from store.mean_vector import LEAST_ITEMS, MeanVector
from store.whitening import LEAST_VARIANCE, Whitening, mean_vector

DIM = 8


def units(count: int, seed: int = 0) -> np.ndarray:
    """Rows that differ much in one direction and little in the others."""
    rows = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    rows[:, 0] *= 6.0
    rows[:, 1] += 2.0
    found: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def whitening_of(rows: np.ndarray, power: float = 0.5) -> Whitening:
    found = Whitening(DIM, power)
    found.add(rows)
    found.refresh()
    return found


def expected(items: np.ndarray, profiles: np.ndarray, power: float) -> np.ndarray:
    """By the definition, of the items as they are."""
    covariance = np.cov(items.astype(np.float64), rowvar=False, bias=True)
    variances, axes = np.linalg.eigh(covariance + LEAST_VARIANCE * np.eye(DIM))
    turned = (profiles - items.mean(axis=0)) @ (axes * variances**-power) @ axes.T
    found: np.ndarray = turned / np.linalg.norm(turned, axis=1, keepdims=True)
    return found


@pytest.mark.parametrize("power", [0.25, 0.5, 1.0])
def test_it_is_the_inverse_power_of_the_covariance(power: float) -> None:
    items, profiles = units(300), units(5, seed=1)
    found = whitening_of(items, power).removed_from(profiles)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected(items, profiles, power), abs=1e-4)


def test_parts_and_what_went_leave_what_is_held() -> None:
    items, profiles = units(400), units(3, seed=1)
    found = Whitening(DIM, 0.25)
    for begin in range(0, 400, 7):
        found.add(items[begin : begin + 7])
    found.remove(items[:100])
    found.refresh()
    assert found.removed_from(profiles) == pytest.approx(
        whitening_of(items[100:], 0.25).removed_from(profiles), abs=1e-5
    )


def test_a_few_changes_wait_and_many_do_not() -> None:
    items, profiles = units(400), units(3, seed=1)
    found = whitening_of(items[:200])
    turn = found.removed_from(profiles)
    found.add(items[:2])
    found.remove(items[:2])
    found.refresh()
    assert found.removed_from(profiles).tolist() == turn.tolist()
    found.add(items[200:])
    found.refresh()
    assert found.removed_from(profiles) == pytest.approx(expected(items, profiles, 0.5), abs=1e-4)


def test_until_it_is_worked_out_and_with_few_items_only_the_mean_is_off() -> None:
    items, profiles = units(LEAST_ITEMS), units(3, seed=1)
    mean = MeanVector(DIM)
    mean.add(items)
    waiting = Whitening(DIM, 0.5)
    waiting.add(items)
    assert waiting.removed_from(profiles).tolist() == mean.removed_from(profiles).tolist()
    found = whitening_of(items)
    found.remove(items[:1])
    found.refresh()
    assert found.removed_from(profiles).tolist() == profiles.tolist()


@pytest.mark.parametrize("rows", [np.zeros((200, DIM)), np.eye(DIM)[[0] * 200]])
def test_items_that_are_all_the_same_turn_nothing_into_nonsense(rows: np.ndarray) -> None:
    items, profiles = rows.astype(np.float32), units(3, seed=1)
    found = whitening_of(items, 1.0).removed_from(profiles)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_one_profile_is_as_among_others() -> None:
    whitening, profiles = whitening_of(units(300)), units(3, seed=1)
    assert whitening.removed_from(profiles[1]) == pytest.approx(
        whitening.removed_from(profiles)[1], abs=1e-6
    )


def test_the_power_0_is_the_mean_alone() -> None:
    assert type(mean_vector(DIM, 0.0)) is MeanVector
    assert isinstance(mean_vector(DIM, 0.25), Whitening)
