"""What an action weighs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import RejectedError, RejectReason
from streams.rules import ActionRule, ActionRules, RatingScale
from streams.schema import Action

RULES = ActionRules(
    {
        "view": ActionRule(weight=1.0, strength=0.3),
        "dislike": ActionRule(weight=2.0, strength=-1.0),
        "rate": ActionRule(weight=4.0, strength=0.9, rated=True),
    },
    RatingScale(low=1, neutral=3, high=5, worst=-0.5),
)


def action(name: str, rating: float | None = None) -> Action:
    return Action(user_id="ann", action=name, ts=1, rating=rating)


@pytest.mark.parametrize(
    ("name", "rating", "expected"),
    [
        ("view", None, (1.0, 0.3)),
        ("view", 1.0, (1.0, 0.3)),  # a rating that no rule asks for changes nothing
        ("view", 99.0, (1.0, 0.3)),
        ("dislike", None, (2.0, -1.0)),
        ("rate", 5.0, (4.0, 1.0)),
        ("rate", 4.0, (4.0, 0.5)),
        ("rate", 3.0, (4.0, 0.0)),
        ("rate", 2.0, (4.0, -0.25)),
        ("rate", 1.0, (4.0, -0.5)),
    ],
)
def test_weight_and_strength(
    name: str, rating: float | None, expected: tuple[float, float]
) -> None:
    assert RULES.weigh(action(name, rating)) == pytest.approx(expected)


def rejection(one: Action) -> tuple[RejectReason, str]:
    with pytest.raises(RejectedError) as caught:
        RULES.weigh(one)
    return caught.value.reason, caught.value.detail


def test_an_action_without_a_rule_is_named_with_those_that_have_one() -> None:
    assert rejection(action("stare")) == (
        RejectReason.UNKNOWN_ACTION,
        "action 'stare' has no weight in the settings; known: dislike, rate, view",
    )


@pytest.mark.parametrize("name", ["", "View", "view ", "v" * 250])
def test_names_are_taken_as_they_are(name: str) -> None:
    reason, detail = rejection(action(name))
    assert reason is RejectReason.UNKNOWN_ACTION
    assert f"action {name[:60]!r} has" in detail


def test_a_rating_that_is_missing_is_asked_for() -> None:
    assert rejection(action("rate")) == (
        RejectReason.BAD_VALUE,
        "a 'rate' needs a rating and has none",
    )


@pytest.mark.parametrize("rating", [0.99, 5.01, -3.0, math.nan, math.inf])
def test_a_rating_off_the_scale_is_refused(rating: float) -> None:
    assert rejection(action("rate", rating)) == (
        RejectReason.BAD_VALUE,
        f"rating is {rating:g}; expected 1 to 5",
    )


@given(
    st.lists(st.integers(-100, 100), min_size=3, max_size=3, unique=True).map(sorted),
    st.floats(-1, 0),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_better_rating_is_never_weaker(
    bounds: list[int], worst: float, first: float, second: float
) -> None:
    low, neutral, high = bounds
    scale = RatingScale(low, neutral, high, worst)
    worse, better = (min(high, low + share * (high - low)) for share in sorted((first, second)))
    strengths = [scale.strength(rating) for rating in (low, worse, better, high)]
    assert strengths == pytest.approx(sorted(strengths))
    ends = [scale.strength(rating) for rating in (low, neutral, high)]
    assert ends == pytest.approx([worst, 0, 1])


def test_the_default_scale_is_five_stars() -> None:
    scale = RatingScale()
    strengths = [scale.strength(stars) for stars in (1, 1.5, 2, 3.5, 5)]
    assert strengths == pytest.approx([-0.25, -0.125, 0, 0.5, 1])
