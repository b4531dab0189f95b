"""The items' mean, and profiles without it."""

from __future__ import annotations

import numpy as np
import pytest
from store_fakes import ENCODER, X, Y, item_record

from store.indexes.exact import ExactIndex
from store.mean_vector import LEAST_ITEMS, MeanVector
from store.view import RetrievalView
from tidemark.training.profiles import searched_for

DIM = 8


def units(count: int, seed: int = 0) -> np.ndarray:
    """Rows that have a direction in common."""
    rows = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    rows[:, 0] += 3.0
    found: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def mean_of(rows: np.ndarray) -> MeanVector:
    mean = MeanVector(DIM)
    mean.add(rows)
    return mean


def test_profiles_are_of_unit_length_without_the_mean() -> None:
    items, profiles = units(LEAST_ITEMS), units(5, seed=1)
    moved = profiles - items.mean(axis=0)
    expected = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    found = mean_of(items).removed_from(profiles)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-6)


def test_one_profile_is_as_among_others() -> None:
    mean, profiles = mean_of(units(LEAST_ITEMS)), units(3, seed=1)
    assert mean.removed_from(profiles[1]) == pytest.approx(mean.removed_from(profiles)[1])


def test_items_in_parts_have_the_mean_of_all() -> None:
    items, profile = units(300), units(1, seed=1)
    parts = MeanVector(DIM)
    for begin in range(0, 300, 7):
        parts.add(items[begin : begin + 7])
    assert parts.removed_from(profile) == pytest.approx(mean_of(items).removed_from(profile))


def test_items_that_went_have_no_part_in_it() -> None:
    items, profile = units(LEAST_ITEMS + 50), units(1, seed=1)
    mean = mean_of(items)
    mean.remove(items[:50])
    assert mean.removed_from(profile) == pytest.approx(
        mean_of(items[50:]).removed_from(profile), abs=1e-6
    )
    mean.remove(items[50:51])
    assert mean.removed_from(profile).tolist() == profile.tolist()  # too few are left


def test_a_long_vector_counts_no_more_than_others() -> None:
    items, profile = units(LEAST_ITEMS), units(1, seed=1)
    long = items.copy()
    long[3] *= np.float32(1e6)
    assert mean_of(long).removed_from(profile) == pytest.approx(
        mean_of(items).removed_from(profile), abs=1e-6
    )
    assert np.isfinite(
        mean_of(np.zeros((LEAST_ITEMS, DIM), np.float32)).removed_from(profile)
    ).all()


@pytest.mark.parametrize("count", [0, 1, LEAST_ITEMS - 1])
def test_few_items_have_no_mean_yet(count: int) -> None:
    profile = units(1, seed=1)
    assert mean_of(units(count)).removed_from(profile).tolist() == profile.tolist()


def test_of_the_mean_itself_something_is_left_to_search_for() -> None:
    items = np.repeat(units(1), LEAST_ITEMS, axis=0)
    assert mean_of(items).removed_from(items[:1]) == pytest.approx(items[:1])


def test_the_profiles_given_stay_as_they_are() -> None:
    profiles = units(3, seed=1)
    before = profiles.copy()
    mean_of(units(LEAST_ITEMS)).removed_from(profiles)
    assert profiles.tolist() == before.tolist()


def test_what_all_texts_share_no_longer_decides() -> None:
    """A profile of one kind: an item near to all texts does not stand before one of that kind."""
    near_to_all = np.zeros(DIM, np.float32)
    near_to_all[0] = 1.0
    of_the_kind = np.zeros(DIM, np.float32)
    of_the_kind[[0, 1]] = 0.6, 0.8
    profile = np.zeros(DIM, np.float32)
    profile[[0, 1]] = 0.9, np.sqrt(1 - 0.81)
    assert near_to_all @ profile > of_the_kind @ profile
    query = mean_of(units(LEAST_ITEMS)).removed_from(profile)
    assert of_the_kind @ query > near_to_all @ query


def test_trainings_search_as_the_service_does_whatever_the_length_of_a_profile() -> None:
    items, profiles = units(LEAST_ITEMS), units(3, seed=1)
    profiles[1] *= 7.0
    profiles[2] = 0.0
    found = searched_for(profiles, items, mean_removal=True)
    assert found[:2] == pytest.approx(mean_of(items).removed_from(units(3, seed=1)[:2]), abs=1e-6)
    assert found[2].tolist() == [0.0] * DIM
    kept = searched_for(profiles, items, mean_removal=False)
    assert kept[:2] == pytest.approx(units(3, seed=1)[:2], abs=1e-6)


def test_a_view_tells_what_profiles_are_searched_by() -> None:
    def told(view: RetrievalView) -> tuple[bool, float]:
        return view.mean_removal, view.whitening

    records = [item_record(f"i{at}", X + at * Y) for at in range(LEAST_ITEMS)]
    view = RetrievalView(len(X), ENCODER, lambda dim, _: ExactIndex(dim), whitening=0.25)
    view.apply_items(records[:-1])
    assert told(view) == (False, 0.0)  # one is missing
    view.apply_items(records[-1:])
    assert told(view) == (True, 0.25)
    without = RetrievalView(len(X), ENCODER, lambda dim, _: ExactIndex(dim), mean_removal=False)
    without.apply_items(records)
    assert told(without) == (False, 0.0)
