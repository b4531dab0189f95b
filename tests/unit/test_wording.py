from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from encoders.redaction import Redactor
from streams.schema import Action
from streams.wording import Wording, time_of_day

NOON = 1_795_521_600_000  # Tuesday 2026-11-24, 12:00 UTC


def action(**fields: Any) -> Action:
    return Action(**{"user_id": "ann", "action": "review", "ts": NOON, **fields})


def test_all_there_is_to_say() -> None:
    context = {"device": "tv", "ip": "10.1.2.3"}
    said = Wording(Redactor().redact).fields(
        action(text="mail ann@example.org", rating=4.5, context=context),
        {"text", "context.device", "context.ip"},
    )
    assert said == {
        "action": "review",
        "text": "mail [email]",
        "rating": "4.5",
        "rating_words": "loved it",
        "time_of_day": "afternoon",
        "weekday": "Tuesday",
        "context.device": "tv",
        "context.ip": "[ip]",
    }


def test_what_no_template_names_is_neither_redacted_nor_said() -> None:
    redacted: list[str] = []

    def redact(text: str) -> str:
        redacted.append(text)
        return text

    written = action(text="words", context={"device": "tv", "page": "long " * 50})
    said = Wording(redact).fields(written, {"context.device"})
    assert redacted == ["tv"]
    assert said["text"] is None
    assert "context.page" not in said


def test_what_is_missing_is_none() -> None:
    said = Wording().fields(action(), {"text"})
    assert [name for name, value in said.items() if value is None] == [
        "text", "rating", "rating_words",
    ]  # fmt: skip


@pytest.mark.parametrize("ts", [0, NOON, NOON + 1, 951_827_696_789, -1, -86_400_001])
def test_days_and_hours_are_those_of_utc(ts: int) -> None:
    when = datetime.fromtimestamp(ts / 1000, UTC)
    assert Wording().fields(action(ts=ts), ())["weekday"] == when.strftime("%A")
    assert time_of_day(action(ts=ts)) == time_of_day(action(context={"hour": when.hour}))


@pytest.mark.parametrize(
    ("hour", "expected"),
    [
        (0, "night"), (4.9, "night"), (5, "morning"), (11, "morning"), (12, "afternoon"),
        (17, "evening"), (21, "evening"), (22, "night"), (23, "night"),
        (24, "afternoon"), (-1, "afternoon"), (True, "afternoon"), ("7", "afternoon"),
    ],
)  # fmt: skip
def test_parts_of_the_day(hour: Any, expected: str) -> None:
    assert time_of_day(action(context={"hour": hour})) == expected


@pytest.mark.parametrize(
    ("rating", "expected"),
    [
        (0, "bad"),
        (1, "bad"),
        (5.4, "bad"),
        (5.5, "good"),
        (10, "good"),
        (99, "good"),
        (1.7e308, "good"),
        (-1.7e308, "bad"),
    ],
)
def test_ratings_in_words(rating: float, expected: str) -> None:
    assert Wording(rating_words=["bad", "good"], highest=10).in_words(rating) == expected
