"""What an action is like, as codes: kind, rating, words, repetition, context. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.influence import FEELING_LEVELS, RATING_LEVELS, feeling_levels, rating_levels
from tidemark.training.histories import earlier_actions, repeated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog

__all__ = ["Feature", "FeatureTable", "features_of"]

#: Values of a context that have a feature each; what is rarer shares one.
_VALUES = 8
#: In so many of the user's last actions a category counts as met just before.
_JUST_BEFORE = 10
_FEELINGS = ("bad", "neither", "good")


class Feature(NamedTuple):
    """One value of one property.

    Attributes:
        group: action, rating, words, item, category, or context.NAME.
        value: as people read it.
        code: in its group.
        served: whether the policy ``influence`` weighs by it; the others are for the report.
    """

    group: str
    value: str
    code: int
    served: bool


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Of n actions.

    Attributes:
        features: those met, numbered by their places.
        codes: ``(n, groups) int32`` numbers of an action's features, one of each group; where it
            has none of a group it is ``len(features)``.
    """

    features: tuple[Feature, ...]
    codes: NDArray[np.int32]

    def served(self) -> FeatureTable:
        """Those alone that the policy weighs by."""
        kept = [at for at, one in enumerate(self.features) if one.served]
        number = np.full(len(self.features) + 1, len(kept), np.int32)
        number[kept] = range(len(kept))
        groups = [
            column for column in number[self.codes].T if (column < len(kept)).any()
        ]  # fmt: skip
        codes = np.stack(groups, axis=1) if groups else np.empty((len(self.codes), 0), np.int32)
        return FeatureTable(tuple(self.features[at] for at in kept), codes)


def features_of(log: ActionLog, feelings: Mapping[int, float]) -> FeatureTable:
    """Describe the log's actions; each by what was known when it happened.

    Args:
        log: the actions.
        feelings: how users' words feel, −1 to 1, by place; of those that decide their strength.
    """
    features: list[Feature] = []
    columns: list[NDArray[np.int64]] = []

    def add(
        group: str, codes: NDArray[np.int64], values: Sequence[str], *, served: bool = False
    ) -> None:
        met = np.unique(codes[codes >= 0])
        if len(met) < (1 if group == "action" else 2) and (codes >= 0).all():
            return  # says nothing: it is the same of all
        number = np.full(len(values) + 1, -1, np.int64)
        number[met] = np.arange(len(met)) + len(features)
        features.extend(Feature(group, values[code], code, served) for code in met.tolist())
        columns.append(number[codes])

    add("action", log.actions.astype(np.int64), log.action_names, served=True)
    rated = ~np.isnan(log.ratings)
    span = log.highest - log.lowest
    shares = (np.where(rated, log.ratings, log.lowest).astype(np.float64) - log.lowest) / span
    levels = np.where(rated, rating_levels(shares), -1)
    add("rating", levels, _ratings(log, levels), served=True)
    felt = np.full(len(log), -1, np.int64)
    if feelings:
        told = np.fromiter(feelings.values(), np.float32, len(feelings))
        felt[np.fromiter(feelings, np.int64, len(feelings))] = feeling_levels(told)
    add("words", felt, _FEELINGS[:FEELING_LEVELS], served=True)
    add("item", repeated(log).astype(np.int64), ("new to the user", "seen before"), served=True)
    add("category", _categories(log), ("other than just before", "as just before"))
    for name, (codes, values) in log.context.items():
        common = np.argsort(-np.bincount(codes[codes >= 0], minlength=len(values)), kind="stable")
        number = np.full(len(values) + 1, min(_VALUES, len(values)), np.int64)
        number[common[:_VALUES]] = np.arange(min(_VALUES, len(values)))
        number[-1] = -1
        shown = [values[code] for code in common[:_VALUES].tolist()]
        add(f"context.{name}", number[codes], [*shown, "others"])
    numbers = np.stack(columns, axis=1) if columns else np.empty((len(log), 0), np.int64)
    numbers[numbers < 0] = len(features)
    return FeatureTable(tuple(features), numbers.astype(np.int32))


def _ratings(log: ActionLog, levels: NDArray[np.int64]) -> list[str]:
    """What ratings each level stands for."""
    names = []
    for level in range(RATING_LEVELS):
        here = log.ratings[levels == level]
        low, high = (float(here.min()), float(here.max())) if here.size else (0.0, 0.0)
        names.append(f"{low:g}" if low == high else f"{low:g} to {high:g}")
    return names


def _categories(log: ActionLog) -> NDArray[np.int64]:
    """1 where the item shares a category with one of the user's last actions; −1: it has none."""
    known: dict[str, int] = {}
    of_items = [
        frozenset(known.setdefault(one, len(known)) for one in item.categories)
        for item in log.catalogue
    ]
    before = earlier_actions(log.users, np.arange(len(log)), _JUST_BEFORE)
    items = np.where(before >= 0, log.items[before], -1)
    found = np.full(len(log), -1, np.int64)
    for place, (item, past) in enumerate(zip(log.items.tolist(), items.tolist(), strict=True)):
        mine = of_items[item] if item >= 0 else frozenset()
        if mine:
            found[place] = any(not mine.isdisjoint(of_items[one]) for one in past if one >= 0)
    return found
