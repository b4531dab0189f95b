"""The replay looks at nothing that is still to come, and no recommender does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_logs import RULES, log_of, random_log
from numpy.typing import NDArray

from encoders import HashingEncoder
from tidemark.errors import EvaluationError
from tidemark.evaluation.log import ActionLog
from tidemark.evaluation.moments import Choice, choose
from tidemark.evaluation.protocol import Recommender
from tidemark.evaluation.registry import Entry, Kind, Part, entries, recommenders
from tidemark.evaluation.replay import TOP, replay


def vectors_of(log: ActionLog) -> NDArray[np.float32]:
    return HashingEncoder(32).encode([item.title for item in log.catalogue])


def known(log: ActionLog) -> list[Entry]:
    return entries(log, RULES, lambda: vectors_of(log))


#: Those that are trained have tests of their own.
NAMES = [one.name for one in known(random_log(0)) if one.part is not Part.trained]


def built(name: str, log: ActionLog) -> Recommender:
    return recommenders(known(log), [name])[0]


class Spy:
    """Writes down what it is asked."""

    def __init__(self, items: int) -> None:
        self.name = "spy"
        self.calls: list[tuple[object, ...]] = []
        self._items = items

    def learn(self, begin: int, end: int) -> None:
        self.calls.append(("learn", begin, end))

    def scores(self, place: int) -> NDArray[np.float32]:
        self.calls.append(("scores", place))
        return np.arange(self._items, dtype=np.float32)


def test_each_action_is_learned_once_in_order_and_before_it_is_too_late() -> None:
    log = random_log(4)
    spy = Spy(len(log.catalogue))
    moments = choose(log, RULES, Choice(begin=0.2, sample=40))
    done: list[int] = []
    replay(log, [spy], moments, done.append)
    learned = 0
    scored = []
    for call in spy.calls:
        if call[0] == "learn":
            assert call[1] == learned
            assert isinstance(call[2], int)
            assert call[2] > learned
            learned = call[2]
        else:
            # exactly what is before it, not the action itself
            assert call[1] == learned
            scored.append(call[1])
    assert scored == moments.places.tolist()
    assert done == [call[2] for call in spy.calls if call[0] == "learn"]
    assert done[-1] == scored[-1]


def test_much_is_learned_in_parts_so_that_progress_is_seen() -> None:
    log = log_of(
        [(f"u{at % 5}", at % 6, "view") for at in range(12_000)] + [("new", 0, "purchase")]
    )
    spy, done = Spy(6), list[int]()
    moments = choose(log, RULES, Choice(history=0, sample=None))
    replay(log, [spy], moments, done.append)
    assert done == [5_000, 10_000, 12_000]
    assert [call[1:] for call in spy.calls] == [
        (0, 5_000),
        (5_000, 10_000),
        (10_000, 12_000),
        (12_000,),
    ]


def test_ranks_are_among_what_the_user_has_not_seen_at_that_time() -> None:
    log = log_of(
        [("ann", 5, "purchase"), ("ann", 4, "view"), ("bob", 3, "purchase"), ("ann", 0, "purchase"),
         ("ann", 2, "purchase")]
    )  # fmt: skip
    moments = choose(log, RULES, Choice(begin=0.0, history=2, sample=None))
    found = replay(log, [Spy(6)], moments)[0]
    # the spy shows the highest number first: 3, 2, 1, 0 for ann, who has seen 5 and 4
    assert found.ranks.tolist() == [4.0, 2.0]
    assert found.top[0].tolist() == [3, 2, 1, 0] + [-1] * (TOP - 4)
    assert found.top[1].tolist() == [3, 2, 1] + [-1] * (TOP - 3)
    # (c + 1) / (n + I): of three actions so far one was on 3; none on 2, 1 and 0
    expected = np.mean(-np.log2(np.array([2, 1, 1, 1]) / (3 + 6)))
    assert found.novelty[0] == pytest.approx(expected)


def other_future(log: ActionLog, place: int, seed: int) -> ActionLog:
    """The same up to a place, of which whose it is and when are the same, and nothing behind it."""
    draws = np.random.default_rng(seed)
    items, users, ts = log.items.copy(), log.users.copy(), log.ts.copy()
    actions, ratings = log.actions.copy(), log.ratings.copy()
    rest = len(log) - place
    items[place:] = draws.integers(-1, len(log.catalogue), rest)
    actions[place:] = log.action_names.index("purchase")
    ratings[place:] = np.nan
    users[place + 1 :] = draws.integers(0, len(log.user_ids), rest - 1)
    ts[place + 1 :] = ts[place] + np.cumsum(draws.integers(0, 9 * 86_400_000, rest - 1))
    return replace(log, items=items, users=users, ts=ts, actions=actions, ratings=ratings)


@pytest.mark.parametrize("name", NAMES)
def test_the_future_does_not_change_a_score(name: str) -> None:
    log = random_log(7)
    for place in (60, 200, 330):
        scores = []
        for one in (log, other_future(log, place, 0), other_future(log, place, 1)):
            recommender = built(name, one)
            recommender.learn(0, place)
            scores.append(recommender.scores(place).tobytes())
        assert scores[0] == scores[1] == scores[2]


@pytest.mark.parametrize("name", NAMES)
def test_the_past_does_change_scores(name: str) -> None:
    """Or else the test above would show nothing."""
    log = random_log(7)
    items = log.items.copy()
    items[:330] = np.where(items[:330] < 0, -1, (items[:330] + 11) % len(log.catalogue))
    other = replace(log, items=items)
    one, two = built(name, log), built(name, other)
    one.learn(0, 330)
    two.learn(0, 330)
    assert one.scores(330).tobytes() != two.scores(330).tobytes()


def test_words_change_scores() -> None:
    log = random_log(7)
    found = []
    for name in ("tidemark", "without-words"):
        one = built(name, log)
        one.learn(0, 330)
        found.append(one.scores(330))
    assert np.abs(found[0] - found[1]).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_matter_in_which_parts_is_learned(name: str) -> None:
    log = random_log(8)
    at_once, one_by_one = built(name, log), built(name, log)
    at_once.learn(0, 300)
    for place in range(300):
        one_by_one.learn(place, place + 1)
        if place % 50 == 0:
            one_by_one.scores(place)  # nor that it was asked before
    np.testing.assert_allclose(at_once.scores(300), one_by_one.scores(300), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_a_float32_for_each_item_also_of_a_new_user(name: str) -> None:
    log = log_of([("ann", 1, "purchase"), ("bob", -1, "search"), ("bob", 2, "purchase")])
    recommender = built(name, log)
    recommender.learn(0, 1)
    for place in (1, 2):
        scores = recommender.scores(place)
        assert scores.shape == (6,)
        assert scores.dtype == np.float32
        assert not np.isnan(scores).any()


def test_a_recommender_that_scores_nonsense_is_named() -> None:
    log = random_log(5)
    moments = choose(log, RULES, Choice(sample=5))
    with pytest.raises(EvaluationError, match=r"spy scored .*\(3,\).*expected \(30,\)"):
        replay(log, [Spy(3)], moments)

    class Broken(Spy):
        def scores(self, place: int) -> NDArray[np.float32]:
            return super().scores(place) * np.float32(np.nan)

    with pytest.raises(EvaluationError, match="30 of them no number"):
        replay(log, [Broken(30)], moments)


def test_names_are_those_of_the_list_and_an_unknown_one_says_which_there_are() -> None:
    log = random_log(0)
    always = [one.name for one in recommenders(known(log))]
    assert always == [one.name for one in known(log) if one.part is Part.always]
    some = [one.name for one in recommenders(known(log), parts={Part.ablations})]
    untrained = [one.name for one in known(log) if one.kind is Kind.untrained]
    assert some == [name for name in NAMES if name not in ("tidemark", "nearest", *untrained)]
    both = recommenders(known(log), ["tidemark"], {Part.always, Part.ablations})
    assert [one.name for one in both] == ["tidemark", *some]
    assert [one.name for one in recommenders(known(log), ["transitions", "popularity"])] == [
        "popularity", "transitions",
    ]  # fmt: skip
    with pytest.raises(EvaluationError, match=r"no best; known: tidemark, "):
        recommenders(known(log), ["best"])
