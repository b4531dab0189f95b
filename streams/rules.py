"""How much each kind of action counts, and in which direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streams.errors import RejectedError, RejectReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from store.influence import Influence
    from streams.schema import Action

__all__ = ["FORGET", "ActionRule", "ActionRules", "RatingScale"]

#: The action that removes a user; it has no weight and needs no item.
FORGET = "forget"


@dataclass(frozen=True, slots=True)
class ActionRule:
    """What one kind of action means.

    Attributes:
        weight: w > 0 of the policies ``decay`` and, for kinds that its model does not know,
            ``influence``.
        strength: s in [-1, 1]: +1 for a purchase, negative for a dislike.
        rated: the message carries a rating, and s comes from it.
        felt: s comes from the rating where there is one, else from how the user's words feel; it
            is `strength` where there are no words, or nothing that reads them.
    """

    weight: float
    strength: float
    rated: bool = False
    felt: bool = False


@dataclass(frozen=True, slots=True)
class RatingScale:
    """Maps a rating to s: ``low`` to ``worst``, ``neutral`` to 0, ``high`` to +1, linear between.

    ``worst`` is small by default: vectors of texts share much of their direction, so a poor rating
    at full strength would push the profile away from everything, not only from that item.
    """

    low: float = 1.0
    neutral: float = 2.0
    high: float = 5.0
    worst: float = -0.25

    def strength(self, rating: float) -> float:
        """The s of a rating.

        Raises:
            RejectedError: the rating is off the scale.
        """
        if not self.low <= rating <= self.high:
            raise RejectedError(
                RejectReason.BAD_VALUE,
                f"rating is {rating:g}; expected {self.low:g} to {self.high:g}",
            )
        if rating >= self.neutral:
            return (rating - self.neutral) / (self.high - self.neutral)
        return self.worst * (self.neutral - rating) / (self.neutral - self.low)

    def holds(self, ratings: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of many ratings are on the scale; NaN is not."""
        on_scale: NDArray[np.bool_] = (ratings >= self.low) & (ratings <= self.high)
        return on_scale

    def strengths(self, ratings: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `strength`, of many ratings; meaningless for those off the scale."""
        above = (ratings - self.neutral) / (self.high - self.neutral)
        below = self.worst * (self.neutral - ratings) / (self.neutral - self.low)
        return np.where(ratings >= self.neutral, above, below)

    def shares(self, ratings: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places on the scale: 0 is the worst, 1 the best; NaN stays."""
        return (ratings - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class ActionRules:
    """The rules of all kinds of action.

    Attributes:
        rules: by kind.
        ratings: their scale.
        influence: where it is there, the weights are its, and depend on ratings and words.
    """

    rules: Mapping[str, ActionRule]
    ratings: RatingScale
    influence: Influence | None = None

    def weight_of(self, name: str) -> float:
        """Weight w of a kind of action, before a rating or words change it. Raises `KeyError`."""
        default = self.rules[name].weight
        return default if self.influence is None else self.influence.actions.get(name, default)

    def factors(self, ratings: NDArray[np.float64]) -> NDArray[np.float64]:
        """What w is multiplied by for ratings, ``(n,)`` on the scale; 1 where one is NaN."""
        if self.influence is None:
            return np.ones(len(ratings))
        return self.influence.of_ratings(self.ratings.shares(ratings))

    def weigh(self, action: Action) -> tuple[float, float]:
        """The action's weight w and signed strength s.

        Raises:
            RejectedError: an action without a rule, or a rating that is missing or off the scale.
        """
        rule = self.rules.get(action.action)
        if rule is None:
            known = ", ".join(sorted(self.rules))
            raise RejectedError(
                RejectReason.UNKNOWN_ACTION,
                f"action {action.action[:60]!r} has no weight in the settings; known: {known}",
            )
        weight = self.weight_of(action.action)
        if not rule.rated and (action.rating is None or not rule.felt):
            return weight, rule.strength
        if action.rating is None:
            raise RejectedError(
                RejectReason.BAD_VALUE, f"a {action.action!r} needs a rating and has none"
            )
        strength = self.ratings.strength(action.rating)
        return weight * float(self.factors(np.array([action.rating]))[0]), strength
