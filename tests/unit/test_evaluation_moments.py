"""What is scored: positive actions on new items of users with a history, and their segments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_logs import RULES, log_of, random_log
from hypothesis import given
from hypothesis import strategies as st

from tidemark.errors import EvaluationError
from tidemark.evaluation.log import ActionLog
from tidemark.evaluation.moments import EARLY, HEAD_SHARE, Choice, choose

ALL = Choice(begin=0.0, sample=None)


def test_only_positive_actions_on_new_items_after_a_history_are_scored() -> None:
    log = log_of(
        [
            ("ann", 0, "purchase"),  # no history
            ("ann", 1, "view"),
            ("ann", -1, "search"),  # has no item, and is no history
            ("ann", 2, "dislike"),
            ("bob", 4, "purchase"),  # another's history does not count
            ("ann", 3, "purchase"),  # the first with three
            ("ann", 1, "purchase"),  # seen, though only viewed
            ("ann", 2, "purchase"),  # seen, though disliked
            ("ann", 4, "view"),  # not positive
            ("ann", -1, "search"),
            ("ann", 5, "purchase"),
        ]
    )
    found = choose(log, RULES, ALL)
    assert found.places.tolist() == [5, 10]
    assert found.items.tolist() == [3, 5]
    assert found.eligible == 2
    # ann has 3, then 7 earlier actions with an item
    assert found.early.tolist() == [True, False]


def test_the_part_of_the_log_is_by_count() -> None:
    log = log_of([("ann", item, "purchase") for item in range(6)])
    choice = Choice(begin=0.5, until=0.9, history=0, sample=None)
    assert choose(log, RULES, choice).places.tolist() == [3, 4, 5]
    assert choose(log, RULES, replace(choice, until=0.5, begin=0.2)).places.tolist() == [2]


def test_a_rating_on_the_threshold_is_positive() -> None:
    log = random_log(3)
    rated = replace(
        log, actions=np.full(len(log), 4, np.int16), ratings=np.full(len(log), 3.5, np.float32)
    )
    # (3.5 - 2) / (5 - 2) is a half
    assert choose(rated, RULES, replace(ALL, positive=0.5)).eligible > 0


def test_a_sample_is_drawn_by_its_seed_without_repeats() -> None:
    log = random_log(1)
    choice = replace(ALL, sample=20)
    one, again = choose(log, RULES, choice), choose(log, RULES, choice)
    other = choose(log, RULES, replace(choice, seed=1))
    assert one.places.tolist() == again.places.tolist()
    assert one.places.tolist() != other.places.tolist()
    assert len(one) == len(set(one.places.tolist())) == 20
    assert (np.diff(one.places) > 0).all()
    assert one.eligible == other.eligible == len(choose(log, RULES, ALL))


def slow_tail(log: ActionLog, place: int) -> bool:
    before = log.items[:place]
    counts = np.bincount(before[before >= 0], minlength=len(log.catalogue))
    more = counts[counts > counts[log.items[place]]].sum()
    return bool(more >= HEAD_SHARE * counts.sum())


@given(st.integers(0, 1_000))
def test_segments_are_those_of_a_slow_count(seed: int) -> None:
    log = random_log(seed, actions=150)
    found = choose(log, RULES, ALL)
    segments = found.segments()
    for at, place in enumerate(found.places.tolist()):
        earlier = ((log.users[:place] == log.users[place]) & (log.items[:place] >= 0)).sum()
        assert found.early[at] == (earlier <= EARLY)
        assert found.tail[at] == slow_tail(log, place)
        pair = (log.users[:place] == log.users[place]) & (log.items[:place] == log.items[place])
        assert not pair.any()
    assert (segments["rest"] == ~(found.early | found.tail)).all()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"begin": 0.6, "until": 0.5}, "from 0.6 to 0.5"),
        ({"until": 1.2}, "between 0 and 1"),
        ({"positive": 2.0}, "positive is 2"),
        ({"history": -1}, "history is -1"),
        ({"sample": 0}, "sample 0"),
    ],
)
def test_an_impossible_choice_says_what_is_possible(given: dict[str, float], says: str) -> None:
    with pytest.raises(EvaluationError, match=says):
        Choice(**given)  # type: ignore[arg-type]


def test_a_log_with_nothing_to_score_says_what_was_sought() -> None:
    log = log_of([("ann", 0, "purchase"), ("ann", 1, "purchase")])
    with pytest.raises(EvaluationError, match=r"nothing to score .* 3 earlier actions.*--history"):
        choose(log, RULES, ALL)


def test_a_log_of_weak_actions_says_how_strong_they_are() -> None:
    log = log_of([("ann", item, "view") for item in range(6)])
    with pytest.raises(
        EvaluationError, match=r"strongest action has strength 0\.2; .*--positive 0\.2, .*strength"
    ):
        choose(log, RULES, ALL)
    assert len(choose(log, RULES, replace(ALL, positive=0.2)))
    with pytest.raises(
        EvaluationError,
        match=r"no column action, .* taken to be 'view', of strength 0\.2 by the settings' rules; "
        r"expected 0\.5 or more; .*--positive 0\.2, .* column action",
    ):
        choose(replace(log, assumed="view"), RULES, ALL)
