"""The untrained recommenders, against their formulas in plain NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation_logs import RULES, log_of, random_log
from hypothesis import given
from hypothesis import strategies as st

from store import mean_vector
from tidemark.errors import EvaluationError
from tidemark.evaluation.cooccurrence import (
    ITEM_KNN,
    TRANSITIONS,
    WIDE_TRANSITIONS,
    Cooccurrence,
    Form,
)
from tidemark.evaluation.log import ActionLog
from tidemark.evaluation.nearness import LastItem, MeanOfHistory, centred
from tidemark.evaluation.pairs import PairWeights
from tidemark.evaluation.popularity import DecayedPopularity, Popularity
from tidemark.evaluation.profiles import NearestToProfile, whitened

DAY = 86_400_000


def test_popularity_counts_actions_with_an_item() -> None:
    log = log_of([("a", 1, "view"), ("b", 1, "dislike"), ("a", -1, "search"), ("a", 3, "view")])
    popularity = Popularity(log)
    popularity.learn(0, 4)
    assert popularity.scores(3).tolist() == [0, 2, 0, 1, 0, 0]


def test_decayed_popularity_halves_in_a_half_life() -> None:
    log = log_of(
        [("a", 0, "view"), ("a", 0, "view"), ("a", 1, "view"), ("a", 2, "view")],
        ts=[0, 4 * DAY, 8 * DAY, 8 * DAY],
    )
    popularity = DecayedPopularity(log, 4.0, "decayed")
    popularity.learn(0, 4)
    scores = popularity.scores(3)
    # 1/4 + 1/2 against 1; what nobody acted on comes last
    assert 2.0 ** (scores[0] - scores[1]) == pytest.approx(0.75, rel=1e-5)
    assert scores[1] == scores[2]
    assert (scores[3:] < scores[0]).all()
    assert np.isfinite(scores).all()


def test_decayed_popularity_bears_times_far_longer_than_its_half_life() -> None:
    log = log_of(
        [("a", 0, "view"), ("a", 1, "view"), ("a", 2, "view"), ("a", 2, "view")],
        ts=[0, 400 * DAY, 401 * DAY, 5_000 * DAY],
    )
    popularity = DecayedPopularity(log, 0.5, "decayed")
    popularity.learn(0, 3)
    order = np.argsort(-popularity.scores(3)[:3], kind="stable")
    assert order.tolist() == [2, 1, 0]
    popularity.learn(3, 4)
    assert np.argmax(popularity.scores(3)) == 2
    assert np.isfinite(popularity.scores(3)).all()


def test_centred_vectors_are_unit_and_have_no_mean_in_common() -> None:
    draws = np.random.default_rng(0)
    vectors = (draws.normal(size=(50, 8)) + 3).astype(np.float32)
    found = centred(vectors)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    assert np.abs(found.mean(axis=0)).max() < 0.2
    assert (centred(np.ones((3, 4), np.float32)) == 0).all()


VECTORS = np.eye(6, dtype=np.float32)


def test_the_last_item_is_what_is_compared_with() -> None:
    log = log_of([("a", 1, "view"), ("b", 4, "view"), ("a", 2, "view"), ("a", -1, "search")])
    last = LastItem(log, VECTORS)
    last.learn(0, 2)
    assert last.scores(2).tolist() == [0, 1, 0, 0, 0, 0]
    last.learn(2, 4)
    assert last.scores(3).tolist() == [0, 0, 1, 0, 0, 0]


def test_the_mean_is_of_what_was_liked() -> None:
    log = log_of(
        [("a", 1, "purchase"), ("a", 2, "purchase"), ("a", 3, "dislike"), ("a", -1, "search"),
         ("a", 4, "view")]
    )  # fmt: skip
    mean = MeanOfHistory(log, VECTORS, log.strengths(RULES), 0.5)
    assert mean.scores(0).tolist() == [0] * 6
    mean.learn(0, 5)
    half = math.sqrt(0.5)
    assert mean.scores(4).tolist() == pytest.approx([0, half, half, 0, 0, 0])


def test_the_profile_is_what_the_worker_folds() -> None:
    log = log_of([("a", 1, "purchase"), ("a", 2, "purchase"), ("b", 5, "view"), ("a", 3, "view")])
    strengths = log.strengths(RULES)
    nearest = NearestToProfile(log, VECTORS, strengths, name="nearest")
    assert nearest.scores(0).tolist() == [0] * 6
    nearest.learn(0, 3)
    # k is min(0.9, n/(n + 1)): at the second action a half
    half = math.sqrt(0.5)
    assert nearest.scores(3).tolist() == pytest.approx([0, half, half, 0, 0, 0])


def test_the_profile_is_held_against_items_as_it_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mean_vector, "LEAST_ITEMS", len(VECTORS))
    log = log_of([("a", 1, "purchase"), ("a", 2, "purchase"), ("b", 5, "view"), ("a", 3, "view")])
    nearest = NearestToProfile(
        log, VECTORS, log.strengths(RULES), name="nearest", mean_removal=True
    )
    assert nearest.scores(0).tolist() == [0] * 6
    nearest.learn(0, 3)
    moved = np.array([0, 1, 1, 0, 0, 0]) * math.sqrt(0.5) @ VECTORS - VECTORS.mean(axis=0)
    expected = VECTORS @ (moved / np.linalg.norm(moved))
    assert nearest.scores(3).tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_interests_that_are_unlike_are_kept_apart() -> None:
    log = log_of([("a", 1, "purchase"), ("a", 2, "purchase"), ("a", 2, "purchase")])
    strengths = log.strengths(RULES)
    apart = NearestToProfile(log, VECTORS, strengths, name="apart", interests=2)
    apart.learn(0, 3)
    assert apart.scores(2).tolist() == pytest.approx([0, 1, 1, 0, 0, 0])


def test_popularity_is_added_for_each_user_once() -> None:
    log = log_of(
        [("a", 1, "purchase"), ("b", 1, "view"), ("b", 1, "view"), ("b", -1, "search"),
         ("b", 5, "view")]
    )  # fmt: skip
    found = NearestToProfile(log, VECTORS, log.strengths(RULES), name="both", popularity=0.5)
    found.learn(0, 4)
    assert found.scores(0).tolist() == pytest.approx([0, 1.5, 0, 0, 0, 0])
    found.learn(4, 5)
    assert found.scores(0)[5] == pytest.approx(0.5 * math.log(2) / math.log(3), rel=1e-5)


def test_whitened_vectors_vary_alike_in_all_directions() -> None:
    draws = np.random.default_rng(0)
    vectors = (draws.normal(size=(4_000, 4)) * [8, 4, 2, 1] + 3).astype(np.float32)
    spread = np.linalg.svd(whitened(vectors, power=1.0), compute_uv=False)
    assert spread.max() / spread.min() < 1.1
    np.testing.assert_allclose(np.linalg.norm(whitened(vectors), axis=1), 1, rtol=1e-5)
    halfway = np.linalg.svd(whitened(vectors), compute_uv=False)
    assert 1.1 < halfway.max() / halfway.min() < 8
    assert np.isfinite(whitened(np.ones((3, 4), np.float32))).all()


def slow_scores(log: ActionLog, form: Form, place: int) -> np.ndarray:
    """By the formula of `Form`, with a dense matrix."""
    items = len(log.catalogue)
    weights = np.zeros((items, items))
    counts = np.zeros(items)
    recent: dict[int, list[int]] = {}
    keep = max(len(form.learned), len(form.scored))
    for user, item in zip(log.users[:place].tolist(), log.items[:place].tolist(), strict=True):
        if item < 0:
            continue
        before = recent.setdefault(user, [])
        if not (form.both_ways and item in before):
            for amount, other in zip(form.learned, before, strict=False):
                weights[other, item] += amount
                if form.both_ways:
                    weights[item, other] += amount
        if form.distinct and item in before:
            before.remove(item)
        before.insert(0, item)
        del before[keep:]
        counts[item] += 1
    found = np.zeros(items)
    for share, other in zip(form.scored, recent.get(int(log.users[place]), []), strict=False):
        found += share * weights[other] / (counts[other] + form.damping) ** form.row_power
    return found / (counts + form.damping) ** form.column_power


@pytest.mark.parametrize("form", [ITEM_KNN, TRANSITIONS, WIDE_TRANSITIONS])
@pytest.mark.parametrize("seed", range(3))
def test_cooccurrence_is_its_formula(form: Form, seed: int) -> None:
    log = random_log(seed, actions=900, items=40)
    fast = Cooccurrence(log, form, "fast")
    for begin, end in ((0, 1), (1, 500), (500, 899)):
        fast.learn(begin, end)
    np.testing.assert_allclose(fast.scores(899), slow_scores(log, form, 899), rtol=1e-4, atol=1e-6)


def test_a_transition_has_a_direction_and_a_neighbour_has_none() -> None:
    log = log_of(
        [("a", 0, "view"), ("a", 1, "view"), ("b", 1, "view"), ("b", 5, "view"), ("c", 1, "view"),
         ("c", 2, "view")]
    )  # fmt: skip
    found = {}
    for name, form in (("knn", ITEM_KNN), ("transitions", TRANSITIONS)):
        one = Cooccurrence(log, form, name)
        one.learn(0, 5)
        found[name] = one.scores(5)
    # c has 1: a went from 0 to it, b from it to 5
    assert (found["knn"] > 0).tolist() == [True, False, False, False, False, True]
    assert (found["transitions"] > 0).tolist() == [False] * 5 + [True]


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 19), st.integers(0, 19), st.integers(-3, 9)), max_size=60
        ),
        max_size=4,
    )
)
def test_pairs_are_those_of_a_dense_matrix(batches: list[list[tuple[int, int, int]]]) -> None:
    pairs, dense = PairWeights(20), np.zeros((20, 20))
    for batch in batches:
        rows, columns, amounts = (np.array(one) for one in zip(*batch, strict=True)) if batch else (
            np.array([]), np.array([]), np.array([]),
        )  # fmt: skip
        pairs.add(rows.astype(np.int32), columns.astype(np.int32), amounts.astype(np.float32))
        np.add.at(dense, (rows.astype(int), columns.astype(int)), amounts)
    for row in range(20):
        out = np.zeros(20)
        pairs.sum_rows(np.array([row, row], np.int32), np.array([1.0, 0.5]), out)
        np.testing.assert_allclose(out, 1.5 * dense[row])
    assert len(pairs) == len({(row, column) for batch in batches for row, column, _ in batch})


def test_pairs_grow_past_what_they_begin_with() -> None:
    draws = np.random.default_rng(0)
    pairs, dense = PairWeights(300), np.zeros((300, 300))
    for _ in range(20):
        rows = (300 * draws.random(2_000) ** 3).astype(np.int32)
        columns = draws.integers(0, 300, 2_000).astype(np.int32)
        pairs.add(rows, columns, np.ones(2_000, np.float32))
        np.add.at(dense, (rows, columns), 1)
    assert len(pairs) == (dense > 0).sum() > 8_192
    factors = draws.random(300)
    out = np.zeros(300)
    pairs.sum_rows(np.arange(300, dtype=np.int32), factors, out)
    np.testing.assert_allclose(out, factors @ dense)


def test_more_pairs_than_memory_is_for_are_refused_in_words() -> None:
    pairs = PairWeights(5_000, most=2_000)
    rows = np.zeros(5_000, np.int32)
    with pytest.raises(EvaluationError, match=r"more than 2,000 pairs .* --only"):
        pairs.add(rows, np.arange(5_000, dtype=np.int32), np.ones(5_000, np.float32))
