"""Items that users acted on together, or one after the other: item-kNN and transitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from store.compiled import compiled, part
from tidemark.evaluation.pairs import PairWeights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog

__all__ = ["ITEM_KNN", "TRANSITIONS", "WIDE_TRANSITIONS", "Cooccurrence", "Form"]

#: So many actions' pairs are made at a time.
_CHUNK = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What counts as a pair, and how pairs become scores.

    An item y that follows h, the a-th last of a user, adds ``learned[a]`` to the weight W of
    (h, y). Then the score of an item j is

        Σ_a scored[a] · W[h_a, j] / (n_h + damping)^row_power / (n_j + damping)^column_power

    where n are actions so far. Both powers at a half make a cosine of it (Sarwar et al., Item-based
    collaborative filtering, 2001), none for the column keeps popular items in front. The larger
    the damping is, the less few actions say.

    Attributes:
        learned: by how many actions ago the first item was.
        scored: by how many actions ago the user's item was.
        both_ways: a pair is one either way, and counts only where y is not among these items.
        distinct: an item that comes again moves to the front, instead of being there twice.
        row_power: of the user's item.
        column_power: of the item that is scored.
        damping: actions that each item is given.
    """

    learned: tuple[float, ...]
    scored: tuple[float, ...]
    both_ways: bool
    distinct: bool
    row_power: float
    column_power: float
    damping: float


def _falling(rate: float, length: int) -> tuple[float, ...]:
    return tuple(rate**a for a in range(length))


# Rates and powers are those that did best over the first halves of three logs; docs/evaluation.md
# has what was tried.
ITEM_KNN = Form(
    learned=(1.0,) * 20, scored=_falling(0.8, 20), both_ways=True, distinct=True,
    row_power=0.5, column_power=0.5, damping=5.0,
)  # fmt: skip
TRANSITIONS = Form(
    learned=(1.0, 0.5, 0.3), scored=(1.0, 0.5, 0.3), both_ways=False, distinct=False,
    row_power=0.5, column_power=0.0, damping=5.0,
)  # fmt: skip
WIDE_TRANSITIONS = Form(
    learned=_falling(0.8, 10), scored=_falling(0.8, 10), both_ways=False, distinct=False,
    row_power=0.5, column_power=0.25, damping=5.0,
)  # fmt: skip


class Cooccurrence:
    """Scores items by what else users had who had the user's last items.

    Args:
        log: what is replayed.
        form: of pairs and scores.
        name: in reports.
    """

    def __init__(self, log: ActionLog, form: Form, name: str) -> None:
        self.name = name
        self._users, self._items, self._form = log.users, log.items, form
        self._learned = np.array(form.learned, np.float32)
        self._scored = np.array(form.scored)
        self._recent = np.full(
            (len(log.user_ids), max(len(form.learned), len(form.scored))), -1, np.int32
        )
        self._counts = np.zeros(len(log.catalogue), np.int64)
        self._pairs = PairWeights(len(log.catalogue))

    def learn(self, begin: int, end: int) -> None:
        """See `Recommender`."""
        for start in range(begin, end, _CHUNK):
            self._learn(start, min(start + _CHUNK, end))

    def _learn(self, begin: int, end: int) -> None:
        users, items = self._users[begin:end], self._items[begin:end]
        most = 2 * len(self._learned) * (end - begin)
        rows, columns = np.empty(most, np.int32), np.empty(most, np.int32)
        amounts = np.empty(most, np.float32)
        found = _make_pairs(
            users, items, self._learned, self._form.both_ways, self._form.distinct,
            self._recent, rows, columns, amounts,
        )  # fmt: skip
        self._pairs.add(rows[:found], columns[:found], amounts[:found])
        self._counts += np.bincount(items[items >= 0], minlength=len(self._counts))

    def scores(self, place: int) -> NDArray[np.float32]:
        """See `Recommender`."""
        recent = self._recent[self._users[place]][: len(self._scored)]
        recent = recent[recent >= 0]
        form, counts = self._form, self._counts
        weights = self._scored[: len(recent)] / (counts[recent] + form.damping) ** form.row_power
        sums = np.zeros(len(counts))
        self._pairs.sum_rows(recent, weights, sums)
        return (sums / (counts + form.damping) ** form.column_power).astype(np.float32)


@part
def _position(recent: NDArray[np.int32], user: int, item: int) -> int:
    for a in range(recent.shape[1]):
        if recent[user, a] == item:
            return a
    return -1


@compiled
def _make_pairs(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    learned: NDArray[np.float32],
    both_ways: bool,
    distinct: bool,
    recent: NDArray[np.int32],
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    amounts: NDArray[np.float32],
) -> int:
    """Fill pairs, keep users' last items (newest first); returns how many pairs there are."""
    found = 0
    for i in range(users.shape[0]):
        user, item = users[i], items[i]
        if item < 0:
            continue
        known = _position(recent, user, item)
        if known < 0 or not both_ways:
            for a in range(learned.shape[0]):
                other = recent[user, a]
                if other < 0:
                    break
                rows[found], columns[found], amounts[found] = other, item, learned[a]
                found += 1
                if both_ways:
                    rows[found], columns[found], amounts[found] = item, other, learned[a]
                    found += 1
        # The place that becomes free: the item's own, or that of what falls out.
        freed = known if distinct and known >= 0 else recent.shape[1] - 1
        for a in range(freed, 0, -1):
            recent[user, a] = recent[user, a - 1]
        recent[user, 0] = item
    return found
