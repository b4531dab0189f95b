"""Spoils a log, to see what of it the other users notice: random actions, and a bot. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tidemark.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog

__all__ = ["corrupted", "with_bot", "with_random_items", "with_random_users"]

Column = TypeVar("Column", bound=np.generic)

#: The bot begins where so much of the log is behind it.
_BOT_FROM = 0.5
_BOT_NAME = "bot"


def with_random_items(
    log: ActionLog, share: float, seed: int
) -> tuple[ActionLog, NDArray[np.bool_]]:
    """Have a share of the actions be on items drawn alike from the catalogue.

    Args:
        log: left as it is.
        share: of the actions with an item, 0 to 1.
        seed: of the draw.

    Returns:
        The log, and ``(n,)`` which of its actions are as they were: what is asked of it is asked of
        these.

    Raises:
        EvaluationError: the share is not from 0 to 1.
    """
    if not 0 <= share <= 1:
        raise EvaluationError(f"the share of random actions is {share:g}; expected 0 to 1")
    draw = np.random.default_rng(seed)
    has_item = np.flatnonzero(log.items >= 0)
    spoilt = np.sort(draw.permutation(has_item)[: round(share * len(has_item))])
    items = log.items.copy()
    items[spoilt] = draw.integers(0, len(log.catalogue), len(spoilt))
    genuine = np.ones(len(log), np.bool_)
    genuine[spoilt] = False
    return replace(log, items=items), genuine


def with_random_users(
    log: ActionLog, share: float, seed: int
) -> tuple[ActionLog, NDArray[np.bool_]]:
    """Have some users do nothing but act on items drawn alike from the catalogue.

    Args:
        log: left as it is.
        share: of the actions that are theirs, about: users are drawn until they have as many.
        seed: of the draws.

    Returns:
        The log, and ``(n,)`` which of its actions are of the other users.

    Raises:
        EvaluationError: the share is not from 0 to 1.
    """
    if not 0 <= share <= 1:
        raise EvaluationError(f"the share of random actions is {share:g}; expected 0 to 1")
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(log.user_ids))
    counts = np.bincount(log.users, minlength=len(order))[order]
    taken = order[np.cumsum(counts) - counts < share * len(log)]
    genuine = ~np.isin(log.users, taken)
    spoilt = np.flatnonzero(~genuine & (log.items >= 0))
    items = log.items.copy()
    items[spoilt] = draw.integers(0, len(log.catalogue), len(spoilt))
    return replace(log, items=items), genuine


def with_bot(
    log: ActionLog,
    share: float,
    seed: int,
    *,
    bots: int = 1,
    per_minute: float = 60.0,
) -> tuple[ActionLog, NDArray[np.bool_]]:
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

    Returns:
        The log, and ``(n,)`` which of its actions are not the bots'.

    Raises:
        EvaluationError: the share is not from 0 to 1, or there is no bot, or it does nothing.
    """
    if not (0 <= share <= 1 and bots >= 1 and per_minute > 0):
        raise EvaluationError(
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
    return spoilt, order < len(log)


def corrupted(log: ActionLog, said: str, seed: int) -> tuple[ActionLog, NDArray[np.bool_]]:
    """Spoil a log as a command says: by `_KINDS`, with a share behind a colon (0.1 by default).

    Raises:
        EvaluationError: it says something else.
    """
    kind, _, given = said.partition(":")
    try:
        share = float(given) if given else 0.1
    except ValueError:
        share = -1.0
    spoil = _KINDS.get(kind)
    if spoil is None or share < 0:
        known = ", ".join(f"{name}:0.1" for name in _KINDS)
        raise EvaluationError(f"{said!r} is no corruption; expected one of {known}")
    return spoil(log, share, seed)


_KINDS: Mapping[str, Callable[[ActionLog, float, int], tuple[ActionLog, NDArray[np.bool_]]]] = {
    "random": with_random_items,
    "random-users": with_random_users,
    "bot": with_bot,
}


def _name(log: ActionLog, number: int) -> str:
    """A name that no user of the log has."""
    known, name = set(log.user_ids), f"{_BOT_NAME}-{number}"
    while name in known:
        name = f"{_BOT_NAME}-{name}"
    return name
