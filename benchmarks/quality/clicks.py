"""Clicks that are made up: users as likely as each other, items by a power law. Seeded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from streams.schema import Action

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ITEMS", "USERS", "clicks", "draw_clicks"]

ITEMS, USERS = 5_000, 5_000


def draw_clicks(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Who clicked on what, by number: users and items, ``(count,)`` each."""
    draw = np.random.default_rng(seed)
    users = draw.integers(0, USERS, count)
    # in the form of Zipf's law with exponent 1, that 5,000 items have without a tail cut off
    chances = 1.0 / np.arange(1, ITEMS + 1)
    items = draw.choice(ITEMS, count, p=chances / chances.sum())
    return users, items.astype(np.int64)


def clicks(count: int, seed: int) -> list[Action]:
    """As many actions, that happen now."""
    now = time.time_ns() // 1_000_000
    users, items = draw_clicks(count, seed)
    return [
        Action(user_id=f"u{user}", action="click", ts=now, item_id=f"i{item}")
        for user, item in zip(users.tolist(), items.tolist(), strict=True)
    ]
