from __future__ import annotations

import doctest

import pytest

from tidemark.cli import times
from tidemark.cli.times import parse_since


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", 10**12 - 90_000),
        ("7d", 10**12 - 7 * 86_400_000),
        ("2001-09-09T01:46:40Z", 10**12),
        ("2001-09-09T03:46:40+02:00", 10**12),
        ("2001-09-09", 999_993_600_000),
    ],
)
def test_times(text: str, ms: int) -> None:
    assert parse_since(text, 10**12) == ms


@pytest.mark.parametrize("text", ["", "soon", "5", "5w", "-5m", "99999999999d"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time; expected 30m, 12h, 7d or 2026-01-31T08:00"):
        parse_since(text, 10**12)


def test_examples() -> None:
    assert doctest.testmod(times).failed == 0
