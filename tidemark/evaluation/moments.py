"""Which actions of a log are scored, and which of them are of a kind that is looked at apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from store.compiled import compiled
from tidemark.errors import EvaluationError, WrongRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from streams.rules import ActionRules
    from tidemark.evaluation.log import ActionLog

__all__ = [
    "EARLY", "HEAD_SHARE", "SEGMENTS", "Choice", "Moments", "choose", "earlier_actions",
    "first_of_pair",
]  # fmt: skip

#: A user with at most so many earlier actions is new: these are the first actions of a user.
EARLY = 5
#: The most acted-on items that together make up this share of the actions so far are the head.
HEAD_SHARE = 0.8
#: What is looked at apart. The first two may overlap, the last has what is in neither.
SEGMENTS = ("first actions", "long tail", "rest")
#: Strengths are float32, and a scale of ratings that was moved onto another rounds.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which actions are scored.

    Attributes:
        positive: least strength s of an action that shows what a user wanted.
        history: earlier actions with an item that the user must have.
        begin, until: the part of the log, as shares of its actions; before `begin` is only learned.
        sample: so many of them, drawn without replacement; None for all.
        seed: of the drawing.
    """

    positive: float = 0.5
    history: int = 3
    begin: float = 0.5
    until: float = 1.0
    sample: int | None = 6_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.begin < self.until <= 1:
            raise WrongRequestError(
                f"the part of the log is from {self.begin:g} to {self.until:g}; expected shares "
                "between 0 and 1, the first smaller"
            )
        if not -1 <= self.positive <= 1:
            raise WrongRequestError(
                f"positive is {self.positive:g}; expected a strength from -1 to 1"
            )
        if self.history < 0 or (self.sample is not None and self.sample < 1):
            raise WrongRequestError(
                f"history is {self.history} and sample {self.sample}; expected at least 0 and 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """The actions that are scored, in time order.

    Attributes:
        places: ``(m,) int64`` in the log, ascending.
        users: ``(m,) int32`` whose actions they are.
        items: ``(m,) int32`` what is to be found.
        eligible: of so many they were drawn.
        early: ``(m,) bool`` of a user with at most `EARLY` earlier actions.
        tail: ``(m,) bool`` the item is outside the head (`HEAD_SHARE`) of that moment.
    """

    places: NDArray[np.int64]
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    eligible: int
    early: NDArray[np.bool_]
    tail: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.places)

    def segments(self) -> Mapping[str, NDArray[np.bool_]]:
        """Which moments are in each of `SEGMENTS`."""
        rest = ~(self.early | self.tail)
        return dict(zip(SEGMENTS, (self.early, self.tail, rest), strict=True))


def choose(log: ActionLog, rules: ActionRules, choice: Choice) -> Moments:
    """The positive actions on items that are new to their users.

    An item that the user acted on before, in whatever way, is not new. Whether an item is of the
    long tail is told by the counts before the moment: it is in the head where the items with more
    actions than it has have less than `HEAD_SHARE` of all actions. So items with as many actions
    are in the same part, and items without one in the tail.

    Raises:
        EvaluationError: no action qualifies, or the rules do not know one.
    """
    has_item = log.items >= 0
    earlier = earlier_actions(log.users, has_item)
    places = np.arange(len(log))
    strengths = log.strengths(rules)
    wanted = (
        has_item
        & (strengths >= choice.positive - _ROUNDING)
        & (earlier >= choice.history)
        & first_of_pair(log)
        & (places >= choice.begin * len(log))
        & (places < choice.until * len(log))
    )
    chosen = np.flatnonzero(wanted)
    eligible = len(chosen)
    if not eligible:
        raise _nothing(log, strengths[has_item], choice)
    if choice.sample is not None and choice.sample < eligible:
        drawn = np.random.default_rng(choice.seed).choice(chosen, choice.sample, replace=False)
        chosen = np.sort(drawn)
    return Moments(
        places=chosen,
        users=log.users[chosen],
        items=log.items[chosen],
        eligible=eligible,
        early=earlier[chosen] <= EARLY,
        tail=_in_tail(log, chosen),
    )


def _nothing(log: ActionLog, strengths: NDArray[np.float32], choice: Choice) -> EvaluationError:
    """Why nothing is scored: all actions on items are too weak, or too few are of one user."""
    said = f"the log {log.name} has nothing to score"
    strongest = float(strengths.max(initial=-1))
    if not len(strengths) or strongest >= choice.positive - _ROUNDING:
        return EvaluationError(
            f"{said} from {choice.begin:g} to {choice.until:g}: expected actions of strength "
            f"{choice.positive:g} or more on items new to users with {choice.history} earlier "
            "actions; ask for less of either (--positive, --history), or for more of the log "
            "(--from, --until)"
        )
    if log.assumed is None:
        found = f"by the settings' rules its strongest action has strength {strongest:g}"
        remedy = "or give its actions more strength in the settings: actions.NAME.strength"
    else:
        # Ratings give each a strength of its own.
        most = " at most" if float(strengths.min()) < strongest else ""
        found = (
            f"it has no column action, so all its actions were taken to be {log.assumed!r}, "
            f"of strength {strongest:g}{most} by the settings' rules"
        )
        remedy = (
            "or say what each action was in a column action (purchase, like, ...; another name of "
            "that column by --column action=NAME)"
        )
    return EvaluationError(
        f"{said}: {found}; expected {choice.positive:g} or more; score what is weaker with "
        f"--positive {strongest:g}, {remedy}"
    )


def earlier_actions(users: NDArray[np.int32], counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """``(n,)``: how many of the counted actions of its user come before each action."""
    order = np.argsort(users, kind="stable")
    running: NDArray[np.int64] = np.cumsum(counted[order]) - counted[order]
    starts = np.flatnonzero(np.diff(users[order], prepend=-1))
    at_start: NDArray[np.int64] = np.repeat(running[starts], np.diff(starts, append=len(users)))
    found = np.empty(len(users), np.int64)
    found[order] = running - at_start
    return found


def first_of_pair(log: ActionLog) -> NDArray[np.bool_]:
    """Whether an action is its user's first on its item."""
    first = np.zeros(len(log), np.bool_)
    pairs = log.users.astype(np.int64) * (len(log.catalogue) + 1) + log.items + 1
    first[np.unique(pairs, return_index=True)[1]] = True
    return first


def _in_tail(log: ActionLog, places: NDArray[np.int64]) -> NDArray[np.bool_]:
    counts = np.zeros(len(log.catalogue), np.int64)
    mass = np.zeros(len(log) + 2, np.int64)
    found = np.zeros(len(places), np.bool_)
    _mark_tail(log.items, places, HEAD_SHARE, counts, mass, found)
    return found


@compiled
def _mark_tail(
    items: NDArray[np.int32],
    places: NDArray[np.int64],
    share: float,
    counts: NDArray[np.int64],
    mass: NDArray[np.int64],
    found: NDArray[np.bool_],
) -> None:
    """``mass[c]`` is how many actions the items with c actions have together."""
    total, top = 0, 0
    begin = 0
    for at in range(places.shape[0]):
        for place in range(begin, places[at]):
            item = items[place]
            if item >= 0:
                count = counts[item]
                mass[count] -= count
                mass[count + 1] += count + 1
                counts[item] = count + 1
                top = max(top, count + 1)
                total += 1
        begin = places[at]
        above = 0
        for count in range(counts[items[begin]] + 1, top + 1):
            above += mass[count]
        found[at] = above >= share * total
