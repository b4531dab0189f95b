"""Spoils a log, to see what of it the others notice: random actions, lost ones, a bot. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from tidemark.errors import EvaluationError, WrongRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog
    from tidemark.evaluation.moments import Moments

__all__ = [
    "Spoilt", "corrupted", "moved", "with_bot", "with_random_items", "with_random_users",
    "without_users",
]  # fmt: skip

Column = TypeVar("Column", bound=np.generic)

#: The bot begins where so much of the log is behind it.
_BOT_FROM = 0.5
_BOT_NAME = "bot"


class Spoilt(NamedTuple):
    """A log that is not as it was.

    Attributes:
        log: as it is now.
        origin: ``(n,) int64`` of each action its place in the log that was, −1 where it is not as
            it was: what is asked is asked of the others.
    """

    log: ActionLog
    origin: NDArray[np.int64]


def with_random_items(log: ActionLog, share: float, seed: int) -> Spoilt:
    """Have a share of the actions be on items drawn alike from the catalogue.

    Args:
        log: left as it is.
        share: of the actions with an item, 0 to 1.
        seed: of the draw.

    Raises:
        WrongRequestError: the share is not from 0 to 1.
    """
    if not 0 <= share <= 1:
        raise WrongRequestError(f"the share of random actions is {share:g}; expected 0 to 1")
    draw = np.random.default_rng(seed)
    has_item = np.flatnonzero(log.items >= 0)
    spoilt = np.sort(draw.permutation(has_item)[: round(share * len(has_item))])
    items = log.items.copy()
    items[spoilt] = draw.integers(0, len(log.catalogue), len(spoilt))
    origin = np.arange(len(log))
    origin[spoilt] = -1
    return Spoilt(replace(log, items=items), origin)


def with_random_users(log: ActionLog, share: float, seed: int) -> Spoilt:
    """Have some users do nothing but act on items drawn alike from the catalogue.

    Args:
        log: left as it is.
        share: of the actions that are theirs, about: users are drawn until they have as many.
        seed: of the draws.

    Raises:
        WrongRequestError: the share is not from 0 to 1.
    """
    draw = np.random.default_rng(seed)
    theirs = _of_some_users(log, share, draw)
    spoilt = np.flatnonzero(theirs & (log.items >= 0))
    items = log.items.copy()
    items[spoilt] = draw.integers(0, len(log.catalogue), len(spoilt))
    return Spoilt(replace(log, items=items), np.where(theirs, -1, np.arange(len(log))))


def without_users(log: ActionLog, share: float, seed: int) -> Spoilt:
    """Have the same users as those of `with_random_users` act on no item.

    What is lost so is what they would have told; what is lost beyond that, noise takes.
    """
    theirs = _of_some_users(log, share, np.random.default_rng(seed))
    items = np.where(theirs, -1, log.items).astype(log.items.dtype)
    return Spoilt(replace(log, items=items), np.where(theirs, -1, np.arange(len(log))))


def _of_some_users(log: ActionLog, share: float, draw: np.random.Generator) -> NDArray[np.bool_]:
    """Which actions are of users who are drawn until they have so many.

    Raises:
        WrongRequestError: the share is not from 0 to 1.
    """
    if not 0 <= share <= 1:
        raise WrongRequestError(f"the share of the users' actions is {share:g}; expected 0 to 1")
    order = draw.permutation(len(log.user_ids))
    counts = np.bincount(log.users, minlength=len(order))[order]
    return np.isin(log.users, order[np.cumsum(counts) - counts < share * len(log)])


def with_bot(
    log: ActionLog,
    share: float,
    seed: int,
    *,
    bots: int = 1,
    per_minute: float = 60.0,
) -> Spoilt:
    """Let bots flood one item, drawn from the half of the catalogue that is least acted on.

    They begin in the middle of the log and go on at one rate, together, until they have made their
    share or the log ends; each action is of the log's most frequent kind, with the highest rating
    where that kind has ratings.

    Args:
        log: left as it is.
        share: actions of the bots, of those of the log; 0 to 1.
        seed: of the draw.
        bots: how many there are; each is a user of its own.
        per_minute: actions of each.

    Raises:
        WrongRequestError: the share is not from 0 to 1, or there is no bot, or it does nothing.
    """
    if not (0 <= share <= 1 and bots >= 1 and per_minute > 0):
        raise WrongRequestError(
            f"{bots} bots of {per_minute:g} actions a minute, {share:g} of the log; expected at "
            "least one bot, more than 0 a minute, and a share of 0 to 1"
        )
    draw = np.random.default_rng(seed)
    start = int(_BOT_FROM * len(log))
    begin, end = int(log.ts[start]), int(log.ts[-1])
    times = begin + np.arange(round(share * len(log))) * 60_000.0 / (per_minute * bots)
    times = times[times <= end].astype(np.int64)
    count = len(times)
    counts = np.bincount(log.items[log.items >= 0], minlength=len(log.catalogue))
    rare = np.argsort(counts, kind="stable")[: max(1, len(counts) // 2)]
    target = int(draw.choice(rare))
    kind = int(np.bincount(log.actions).argmax())
    rated = bool((~np.isnan(log.ratings[log.actions == kind])).any())
    whose = len(log.user_ids) + np.arange(count) % bots
    order = np.argsort(np.concatenate([log.ts, times]), kind="stable")

    def joined(old: NDArray[Column], new: object) -> NDArray[Column]:
        return np.concatenate([old, np.broadcast_to(np.asarray(new, old.dtype), count)])[order]

    moved = np.empty(len(order), np.int64)
    moved[order] = np.arange(len(order))
    spoilt = replace(
        log,
        users=joined(log.users, whose),
        items=joined(log.items, target),
        ts=joined(log.ts, times),
        actions=joined(log.actions, kind),
        ratings=joined(log.ratings, log.highest if rated else np.nan),
        user_ids=(*log.user_ids, *(_name(log, number) for number in range(bots))),
        texts={int(moved[place]): words for place, words in log.texts.items()},
        context={
            name: (joined(codes, -1), values) for name, (codes, values) in log.context.items()
        },
    )
    return Spoilt(spoilt, np.where(order < len(log), order, -1))


def moved(moments: Moments, origin: NDArray[np.int64]) -> tuple[Moments, NDArray[np.bool_]]:
    """The moments that are left in a spoilt log, at their places there, and which these are.

    Raises:
        EvaluationError: none is left.
    """
    there = np.flatnonzero(origin >= 0)
    # the actions that are left are in the order that they had
    at = np.searchsorted(origin[there], moments.places).clip(max=len(there) - 1)
    left = origin[there][at] == moments.places if len(there) else np.zeros(len(moments), np.bool_)
    if not left.any():
        raise EvaluationError("no moment is left to score: expected a smaller share of corruption")
    return replace(
        moments,
        places=there[at[left]],
        users=moments.users[left],
        items=moments.items[left],
        early=moments.early[left],
        tail=moments.tail[left],
    ), left


def corrupted(log: ActionLog, said: str, seed: int) -> Spoilt:
    """Spoil a log as a command says: by `_KINDS`, with a share behind a colon (0.1 by default).

    Raises:
        WrongRequestError: it says something else.
    """
    kind, _, given = said.partition(":")
    try:
        share = float(given) if given else 0.1
    except ValueError:
        share = -1.0
    spoil = _KINDS.get(kind)
    if spoil is None or share < 0:
        known = ", ".join(f"{name}:0.1" for name in _KINDS)
        raise WrongRequestError(f"{said!r} is no corruption; expected one of {known}")
    return spoil(log, share, seed)


_KINDS: Mapping[str, Callable[[ActionLog, float, int], Spoilt]] = {
    "random": with_random_items,
    "random-users": with_random_users,
    "without-users": without_users,
    "bot": with_bot,
}


def _name(log: ActionLog, number: int) -> str:
    """A name that no user of the log has."""
    known, name = set(log.user_ids), f"{_BOT_NAME}-{number}"
    while name in known:
        name = f"{_BOT_NAME}-{name}"
    return name
