"""Points in time as they are given on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime

__all__ = ["parse_since"]

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def parse_since(text: str, now_ms: int) -> int:
    """A time in ms since the epoch: ``30m`` ago (s, m, h, d), or ISO 8601, UTC without an offset.

    Raises:
        ValueError: it is neither; says what was expected.

    >>> parse_since("2m", 1_000_000)
    880000
    >>> parse_since("1970-01-01T00:01:00", 0)
    60000
    """
    if match := re.fullmatch(r"(\d{1,9})([smhd])", text.strip()):
        return now_ms - int(match[1]) * _UNITS_S[match[2]] * 1000
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no time; expected 30m, 12h, 7d or 2026-01-31T08:00"
        ) from error
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return round(found.timestamp() * 1000)
