"""Ranks, metrics and intervals against values by hand and slow counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tidemark.evaluation.bootstrap import Estimate, Resampling, difference
from tidemark.evaluation.metrics import coverage, mrr, ndcg, of_moments, recall
from tidemark.evaluation.ranking import rank_and_top
from tidemark.evaluation.replay import Replayed

NOTHING = np.array([], np.int32)


def ranked(
    scores: list[float], target: int, seen: list[int] | None = None, k: int = 3
) -> tuple[float, list[int]]:
    top = np.empty(k, np.int32)
    rank = rank_and_top(np.array(scores, np.float32), np.array(seen or [], np.int32), target, top)
    return rank, top.tolist()


def test_the_highest_score_has_rank_one() -> None:
    assert ranked([0.1, 0.9, 0.5, 0.7], 1) == (1.0, [1, 3, 2])
    assert ranked([0.1, 0.9, 0.5, 0.7], 0) == (4.0, [1, 3, 2])


def test_what_a_user_has_seen_is_left_out() -> None:
    assert ranked([0.1, 0.9, 0.5, 0.7], 0, [1, 3, 1]) == (2.0, [2, 0, -1])


def test_equal_scores_share_their_mean_rank_and_the_lower_number_is_shown() -> None:
    assert ranked([0.5, 0.5, 0.5, 0.9], 2) == (3.0, [3, 0, 1])
    assert ranked([0.0] * 4, 3) == (2.5, [0, 1, 2])


def test_what_is_not_shown_has_no_rank() -> None:
    assert ranked([-math.inf, 1.0, -math.inf], 0) == (math.inf, [1, -1, -1])


@given(
    arrays.arrays(
        np.float32, st.integers(2, 40), elements=st.sampled_from([-np.inf, -1, 0, 0.5, 2])
    ),
    st.data(),
)
def test_ranks_and_tops_are_those_of_a_sort(scores: np.ndarray, data: st.DataObject) -> None:
    target = data.draw(st.integers(0, len(scores) - 1))
    others = [at for at in range(len(scores)) if at != target]
    seen = data.draw(st.lists(st.sampled_from(others)))
    rank, top = ranked(scores.tolist(), target, seen, 10)
    shown = [
        (-float(score), at)
        for at, score in enumerate(scores)
        if at not in seen and score != -np.inf
    ]
    expected = [at for _, at in sorted(shown)][:10]
    assert top == expected + [-1] * (10 - len(expected))
    same = [place for place, (score, _) in enumerate(sorted(shown), 1) if -score == scores[target]]
    assert rank == (np.mean(same) if scores[target] != -np.inf else math.inf)


def test_metrics_are_those_by_hand() -> None:
    ranks = np.array([1.0, 3.0, 10.0, 10.5, 20.0, math.inf])
    assert recall(ranks, 10).tolist() == [1, 1, 1, 0, 0, 0]
    assert recall(ranks, 20).tolist() == [1, 1, 1, 1, 1, 0]
    assert ndcg(ranks, 10).tolist() == pytest.approx([1, 0.5, 1 / math.log2(11), 0, 0, 0])
    assert mrr(ranks).tolist() == pytest.approx([1, 1 / 3, 0.1, 1 / 10.5, 0.05, 0])


def test_coverage_is_the_share_of_items_in_any_list() -> None:
    top = np.array([[0, 1, 2], [2, 1, 3], [4, -1, -1]], np.int32)
    assert coverage(top, 10) == 0.5
    assert coverage(np.full((2, 3), -1, np.int32), 10) == 0


def test_the_metrics_of_moments_are_by_their_names() -> None:
    replayed = Replayed(
        name="one", ranks=np.array([2.0, 15.0]), top=np.zeros((2, 10), np.int32),
        novelty=np.array([3.0, np.nan]), learning=0.0, scoring=0.0,
    )  # fmt: skip
    found = {name: values.tolist() for name, values in of_moments(replayed).items()}
    assert found.pop("novelty@10")[0] == 3.0
    assert found == {
        "recall@10": [1, 0], "recall@20": [1, 1], "ndcg@10": [1 / math.log2(3), 0],
        "mrr": [1 / 2, 1 / 15],
    }  # fmt: skip


def estimate(values: np.ndarray, users: np.ndarray) -> Estimate:
    return Resampling(users).means(values[:, None])[0][0]


def test_an_interval_holds_the_mean_at_its_nominal_rate() -> None:
    """Of samples whose mean is known, 95 in 100 should; the bounds are three deviations wide."""
    draws = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        one = estimate(draws.normal(size=150), np.arange(150, dtype=np.int32))
        assert one.low is not None
        assert one.high is not None
        held += one.low <= 0 <= one.high
    assert 176 <= held <= 200


def test_users_whose_moments_are_alike_widen_the_interval() -> None:
    draws = np.random.default_rng(1)
    of_users = draws.normal(size=50)
    users = np.repeat(np.arange(50, dtype=np.int32), 20)
    by_user = estimate(of_users[users], users)
    by_moment = estimate(of_users[users], np.arange(1_000, dtype=np.int32))
    assert by_user.value == pytest.approx(by_moment.value)
    assert by_user.low is not None
    assert by_user.high is not None
    assert by_moment.low is not None
    assert by_moment.high is not None
    # as wide as 50 independent values make it: √20 times
    ratio = (by_user.high - by_user.low) / (by_moment.high - by_moment.low)
    assert ratio == pytest.approx(math.sqrt(20), rel=0.15)


def test_a_paired_difference_is_sharper_than_its_parts() -> None:
    draws = np.random.default_rng(2)
    base = draws.normal(size=300)
    both = np.stack([base + 0.1, base], axis=1)
    estimates, drawn = Resampling(np.arange(300, dtype=np.int32)).means(both)
    found = difference((estimates[0], drawn[:, 0]), (estimates[1], drawn[:, 1]))
    assert found.value == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1)
    assert found.high == pytest.approx(0.1)
    assert found.above_zero
    assert not found.below_zero
    # unpaired, nothing could be said of so small a difference
    assert estimates[0].low is not None
    assert estimates[1].high is not None
    assert estimates[0].low < estimates[1].high


def test_what_is_missing_is_left_out_of_its_mean() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    found, _ = Resampling(np.array([0, 1, 2], np.int32)).means(values)
    assert found[0].value == 2.0
    assert found[1] == Estimate(None)


def test_of_one_user_there_is_no_interval() -> None:
    found = estimate(np.array([1.0, 2.0]), np.zeros(2, np.int32))
    assert found == Estimate(1.5)
    assert not found.above_zero
    assert not found.below_zero


def test_the_same_seed_gives_the_same_intervals() -> None:
    values = np.random.default_rng(3).normal(size=(40, 1))
    users = np.arange(40, dtype=np.int32) // 2
    assert Resampling(users, 5).means(values)[0] == Resampling(users, 5).means(values)[0]
    assert Resampling(users, 5).means(values)[0] != Resampling(users, 6).means(values)[0]
