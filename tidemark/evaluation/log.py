"""A log of actions in columns: what is replayed, and what is learned from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tidemark.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from streams.rules import ActionRule, ActionRules
    from streams.schema import Item

__all__ = ["NO_ITEM", "ActionLog"]

#: In place of an item's code where an action names none.
NO_ITEM = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionLog:
    """Actions in time order, those of one moment in the file's order, and the catalogue.

    Attributes:
        name: of the log, for reports.
        users: ``(n,) int32`` places in `user_ids`.
        items: ``(n,) int32`` places in `catalogue`, or `NO_ITEM`.
        ts: ``(n,) int64`` event times, ms since the epoch, ascending.
        actions: ``(n,) int16`` places in `action_names`.
        ratings: ``(n,) float32``, NaN where there is none; on the scale from `lowest` to `highest`.
        user_ids: as the log names them.
        catalogue: every item, whether it was acted on or not.
        action_names: view, rate, purchase, …
        lowest, highest: ends of the log's scale of ratings.
        texts: users' own words by place of the action, where there are any.
        context: names of scalars to ``(n,)`` columns of codes (−1 where there is none) with what
            each code stands for.
        assumed: the action that all were taken to be, where the log does not say what they were.
        left_out: actions of the log that are not among these: on items that have no title.
    """

    name: str
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    ts: NDArray[np.int64]
    actions: NDArray[np.int16]
    ratings: NDArray[np.float32]
    user_ids: tuple[str, ...]
    catalogue: tuple[Item, ...]
    action_names: tuple[str, ...]
    lowest: float = 1.0
    highest: float = 5.0
    texts: Mapping[int, str] = field(default_factory=dict)
    context: Mapping[str, tuple[NDArray[np.int32], tuple[str, ...]]] = field(default_factory=dict)
    assumed: str | None = None
    left_out: int = 0

    def __post_init__(self) -> None:
        if not len(self.ts):
            raise EvaluationError(f"the log {self.name} has no actions; expected at least one")
        if (np.diff(self.ts) < 0).any():
            raise EvaluationError(f"the log {self.name} is not in time order")

    def __len__(self) -> int:
        return len(self.ts)

    def strengths(self, rules: ActionRules) -> NDArray[np.float32]:
        """``(n,)`` signed strengths s in [−1, 1]: how much the user liked each.

        Ratings are moved from the log's scale to that of the rules, linearly.

        Raises:
            EvaluationError: the rules do not know an action, or one that needs a rating has none.
        """
        fixed, rated = self._by_rule(rules)
        scale = rules.ratings
        share = (self.ratings.astype(np.float64) - self.lowest) / (self.highest - self.lowest)
        of_ratings = scale.strengths(scale.low + share * (scale.high - scale.low))
        has_rating = ~np.isnan(self.ratings)
        if (missing := np.flatnonzero((rated == _ALWAYS) & ~has_rating)).size:
            place = int(missing[0])
            item = self.items[place]
            on = "" if item < 0 else f" on the item {self.catalogue[item].item_id!r}"
            raise EvaluationError(
                f"of the log {self.name} the user {self.user_ids[self.users[place]]!r} has a "
                f"{self.action_names[self.actions[place]]!r}{on} at {int(self.ts[place])} ms "
                f"without a rating, and {missing.size} actions in all; expected one of each"
            )
        uses_rating = has_rating & (rated != _NEVER)
        return np.where(uses_rating, of_ratings, fixed).astype(np.float32)

    def weights(self, rules: ActionRules) -> NDArray[np.float32]:
        """``(n,)`` weights w of the policy ``decay``. Raises as `strengths`."""
        known = np.array([self._rule(rules, name).weight for name in self.action_names], np.float32)
        return known[self.actions]

    def _by_rule(self, rules: ActionRules) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        named = [self._rule(rules, name) for name in self.action_names]
        fixed = np.array([rule.strength for rule in named])
        rated = np.array(
            [_ALWAYS if rule.rated else _WHERE_GIVEN if rule.felt else _NEVER for rule in named],
            np.int8,
        )
        return fixed[self.actions], rated[self.actions]

    def _rule(self, rules: ActionRules, name: str) -> ActionRule:
        rule = rules.rules.get(name)
        if rule is None:
            raise EvaluationError(
                f"the log {self.name} has the action {name!r}, which has no weight in the "
                f"settings; known: {', '.join(sorted(rules.rules))}; or give it one: actions.{name}"
            )
        return rule


_NEVER, _WHERE_GIVEN, _ALWAYS = 0, 1, 2
