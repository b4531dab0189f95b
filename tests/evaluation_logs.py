"""Small logs for the tests of what replays them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from streams.rules import ActionRule, ActionRules, RatingScale
from streams.schema import Item
from tidemark.evaluation.log import ActionLog

RULES = ActionRules(
    {
        "view": ActionRule(weight=1.0, strength=0.2),
        "purchase": ActionRule(weight=1.0, strength=1.0),
        "search": ActionRule(weight=1.0, strength=0.5),
        "dislike": ActionRule(weight=1.0, strength=-1.0),
        "rate": ActionRule(weight=1.0, strength=0.0, rated=True),
    },
    RatingScale(),
)
NAMES = tuple(RULES.rules)


def log_of(
    rows: list[tuple[str, int, str]], items: int = 6, ts: list[int] | None = None
) -> ActionLog:
    """A log of (user, item or −1, action), a second between each two."""
    users = tuple(dict.fromkeys(user for user, _, _ in rows))
    return ActionLog(
        name="small",
        users=np.array([users.index(user) for user, _, _ in rows], np.int32),
        items=np.array([item for _, item, _ in rows], np.int32),
        ts=np.arange(len(rows), dtype=np.int64) * 1_000 if ts is None else np.array(ts, np.int64),
        actions=np.array([NAMES.index(action) for _, _, action in rows], np.int16),
        ratings=np.full(len(rows), np.nan, np.float32),
        user_ids=users,
        catalogue=catalogue(items),
        action_names=NAMES,
    )


def catalogue(items: int) -> tuple[Item, ...]:
    return tuple(
        Item(item_id=f"i{at}", title=f"Title {at}", categories=(f"kind {at % 3}",))
        for at in range(items)
    )


def random_log(seed: int, actions: int = 400, users: int = 12, items: int = 30) -> ActionLog:
    """Repeats, searches and dislikes among it; some actions at the same time."""
    draws = np.random.default_rng(seed)
    popular = 1 / np.arange(1, items + 1)
    kinds = draws.choice(len(NAMES), actions, p=[0.2, 0.4, 0.1, 0.1, 0.2])
    chosen = draws.choice(items, actions, p=popular / popular.sum()).astype(np.int32)
    chosen[kinds == NAMES.index("search")] = -1
    ratings = draws.integers(1, 6, actions).astype(np.float32)
    ratings[kinds != NAMES.index("rate")] = np.nan
    return ActionLog(
        name="random",
        users=draws.integers(0, users, actions).astype(np.int32),
        items=chosen,
        ts=np.cumsum(draws.choice([0, 60_000, 86_400_000], actions)).astype(np.int64),
        actions=kinds.astype(np.int16),
        ratings=ratings,
        user_ids=tuple(f"u{at}" for at in range(users)),
        catalogue=catalogue(items),
        action_names=NAMES,
    )


def write_log(file: Path, log: ActionLog) -> None:
    """As a CSV file of one's own, with titles beside the actions."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["user_id", "item_id", "ts", "action", "rating", "title", "categories"])
        for at in range(len(log)):
            item = None if log.items[at] < 0 else log.catalogue[log.items[at]]
            rating = log.ratings[at]
            rows.writerow(
                [
                    log.user_ids[log.users[at]],
                    "" if item is None else item.item_id,
                    int(log.ts[at]) + 1_700_000_000_000,
                    log.action_names[log.actions[at]],
                    "" if np.isnan(rating) else rating,
                    "" if item is None else item.title,
                    "" if item is None else "|".join(item.categories),
                ]
            )
