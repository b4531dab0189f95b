"""What the commands on dead letters share: filters, places, and a letter in JSON."""

from __future__ import annotations

import base64
import re
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemark.cli.common import WRONG_USAGE, fail
from tidemark.cli.times import parse_since

if TYPE_CHECKING:
    from streams.letters import DeadLetter, LetterFilter

__all__ = ["ReasonOption", "SinceOption", "SourceOption", "as_text", "letter_filter", "parse_place",
           "place_of", "plain"]  # fmt: skip


class ReasonChoice(StrEnum):
    """As `streams.errors.RejectReason`; a test holds the two together."""

    malformed = "malformed"
    over_limit = "over_limit"
    bad_key = "bad_key"
    bad_time = "bad_time"
    bad_value = "bad_value"
    unknown_action = "unknown_action"
    unknown_item = "unknown_item"
    no_text = "no_text"
    encoder = "encoder"


ReasonOption = Annotated[
    list[ReasonChoice] | None,
    typer.Option("--reason", help="Of this reason; may be repeated.", show_default=False),
]
SourceOption = Annotated[
    list[str] | None,
    typer.Option("--source", help="From this topic; may be repeated.", show_default=False),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        help="Written since: 30m, 12h, 7d ago, or 2026-01-31T08:00 (UTC).", show_default=False
    ),
]


def letter_filter(
    reasons: list[ReasonChoice] | None,
    sources: list[str] | None,
    since: str | None,
    places: list[tuple[int, int]] | None = None,
) -> LetterFilter:
    """Of what was given.

    Raises:
        typer.Exit: the time is none.
    """
    from streams.letters import LetterFilter  # noqa: PLC0415 # see tidemark.cli.common

    try:
        since_ms = 0 if since is None else parse_since(since, time.time_ns() // 1_000_000)
    except ValueError as error:
        raise fail(f"--since: {error}", WRONG_USAGE) from error
    return LetterFilter(
        frozenset(one.value for one in reasons or ()),
        frozenset(sources or ()),
        since_ms,
        frozenset(places or ()),
    )


def parse_place(text: str) -> tuple[int, int]:
    """``PARTITION:OFFSET``.

    Raises:
        typer.Exit: it is none.
    """
    match = re.fullmatch(r"(\d{1,9}):(\d{1,18})", text)
    if match is None:
        raise fail(
            f"{text!r} is no place of a letter; expected PARTITION:OFFSET, as "
            "`tidemark dead-letters list` shows it",
            WRONG_USAGE,
        )
    return int(match[1]), int(match[2])


def place_of(letter: DeadLetter) -> str:
    """``PARTITION:OFFSET``."""
    return f"{letter.partition}:{letter.offset}"


def as_text(value: bytes | None) -> str | None:
    """Bytes as text, where they are UTF-8; None else."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def plain(letter: DeadLetter, *, with_value: bool, replayed: bool | None = None) -> dict[str, Any]:
    """A letter as JSON; bytes are base64. ``replayed``: whether it was; None where not asked."""
    source = letter.source
    found: dict[str, Any] = {
        "place": place_of(letter),
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "detail": letter.detail,
        "source_topic": source and source[0],
        "source_partition": source and source[1],
        "source_offset": source and source[2],
        "time": letter.time_ms,
        "key": as_text(letter.key),
        "key_base64": _base64(letter.key),
        "value_bytes": None if letter.value is None else len(letter.value),
        "shortened_from_bytes": letter.shortened_from,
    }
    if replayed is not None:
        found["replayed"] = replayed
    if with_value:
        found["headers"] = [
            {"name": name, "value": as_text(value), "value_base64": _base64(value)}
            for name, value in letter.headers
        ]
        found["value_base64"] = _base64(letter.value)
    return found


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()
