"""What of an action stands in its text: the user's words, the rating in words, the time of day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from streams.schema import Action

__all__ = ["RATING_WORDS", "Wording", "time_of_day"]

#: From the lowest rating to the highest; each has an equal part of the scale.
RATING_WORDS = ("hated it", "did not like it", "it was okay", "liked it", "loved it")

#: From the first of January 1970 on, in UTC.
_WEEKDAYS = ("Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday")
_PARTS = ((5, "night"), (12, "morning"), (17, "afternoon"), (22, "evening"), (24, "night"))


@dataclass(frozen=True, slots=True)
class Wording:
    """Makes the fields of an action that templates may name.

    Attributes:
        redact: takes out of users' words what must not be encoded, cached or logged.
        rating_words: from the lowest rating to the highest.
        lowest, highest: rating.
    """

    redact: Callable[[str], str] = str
    rating_words: Sequence[str] = RATING_WORDS
    lowest: float = 1.0
    highest: float = 5.0

    def fields(self, action: Action, wanted: Collection[str]) -> dict[str, str | None]:
        """By name: ``action``, ``text``, ``rating``, ``rating_words``, ``time_of_day``, ``weekday``
        and ``context.NAME``; None where there is nothing to say.

        Of text and context, which are to be redacted, only those that are wanted: that takes time.
        """  # noqa: D205 # a list of names
        rated, text = action.rating, action.text
        fields = {
            "action": action.action,
            "text": None if text is None or "text" not in wanted else self.redact(text),
            "rating": None if rated is None else f"{rated:g}",
            "rating_words": None if rated is None else self.in_words(rated),
            "time_of_day": time_of_day(action),
            "weekday": _WEEKDAYS[action.ts // 86_400_000 % 7],
        }
        for key, value in (action.context or {}).items():
            if (name := f"context.{key}") in wanted:
                fields[name] = self.redact(str(value))
        return fields

    def in_words(self, rating: float) -> str:
        """The words of a rating; one off the scale has those of the nearer end.

        >>> Wording().in_words(4.5)
        'loved it'
        """
        share = (rating - self.lowest) / (self.highest - self.lowest)
        place = int(min(max(share, 0.0), 1.0) * len(self.rating_words))
        return self.rating_words[min(place, len(self.rating_words) - 1)]


def time_of_day(action: Action) -> str:
    """Morning, afternoon, evening or night, by ``context.hour``, else by the time in UTC."""
    hour = (action.context or {}).get("hour")
    if isinstance(hour, bool) or not isinstance(hour, int | float) or not 0 <= hour < 24:  # noqa: PLR2004 # hours
        hour = action.ts // 3_600_000 % 24
    return next(name for end, name in _PARTS if hour < end)
