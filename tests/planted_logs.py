"""Logs with a structure that training must find: users stay with one word in three."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

__all__ = ["write_items", "write_log"]

#: Words that say what a user likes, and words that say nothing.
KINDS, NOISE = "abcdefgh", "ijklmnop"


def item_texts() -> list[str]:
    """512 of them: a word of the kind between two that mean nothing."""
    return [f"{first} {kind} {last}" for kind in KINDS for first in NOISE for last in NOISE]


def write_items(file: Path) -> Path:
    """As CSV: item_id, title."""
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["item_id", "title"])
        rows.writerows((f"i{at}", text) for at, text in enumerate(item_texts()))
    return file


def write_log(
    file: Path, *, users: int = 400, each: int = 24, planted: bool = True, strays: float = 0.1
) -> Path:
    """As CSV: user_id, item_id, ts, action, rating; users act in turns, on items of one kind.

    Args:
        file: written.
        users: how many.
        each: actions of a user.
        planted: whether there is a structure; else items are taken at random.
        strays: share of the actions that are on any item.
    """
    rng = np.random.default_rng(0)
    likes = rng.integers(len(KINDS), size=users)
    of_kind = len(NOISE) ** 2
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["user_id", "item_id", "ts", "action", "rating"])
        ts = 1_600_000_000_000
        for _ in range(each):
            for user in rng.permutation(users):
                kind = (
                    likes[user] if planted and rng.random() >= strays else rng.integers(len(KINDS))
                )
                item = kind * of_kind + rng.integers(of_kind)
                stars = 5 if kind == likes[user] or not planted else 2
                rows.writerow([f"u{user}", f"i{item}", ts, "rate", stars])
                ts += 60_000
    return file
