"""Logs whose items follow each other in a circle, and a profile function without training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from store_fakes import DIM, ENCODER

from store.sequence import SequenceProfile
from streams.schema import Item
from tidemark.evaluation.log import ActionLog

__all__ = ["added", "circle", "one_hot"]

_HOUR_MS = 3_600_000


def circle(
    users: int = 60, items: int = 24, length: int = 14, *, seed: int = 0, noise: float = 0.0
) -> ActionLog:
    """Each user begins anywhere and goes on to the next item; all users at about the same pace.

    Args:
        users, items: how many.
        length: actions of a user, fewer than items, so that each item is new to the user.
        seed: of where each begins.
        noise: share of actions on any item instead.
    """
    rng = np.random.default_rng(seed)
    begin = rng.integers(0, items, users)
    steps = (begin[:, None] + np.arange(length)) % items
    steps = np.where(rng.random(steps.shape) < noise, rng.integers(0, items, steps.shape), steps)
    order = np.argsort((np.arange(length) + 0.5 * rng.random((users, length))).ravel())
    of_users = np.repeat(np.arange(users), length)[order]
    count = users * length
    return ActionLog(
        name="circle",
        users=of_users.astype(np.int32),
        items=steps.ravel()[order].astype(np.int32),
        ts=1_600_000_000_000 + np.arange(count, dtype=np.int64) * _HOUR_MS,
        actions=np.zeros(count, np.int16),
        ratings=np.full(count, np.nan, np.float32),
        user_ids=tuple(f"u{one}" for one in range(users)),
        catalogue=tuple(
            Item(item_id=f"i{one}", title=f"thing {one} of {one * 7 % 13}") for one in range(items)
        ),
        action_names=("purchase",),
    )


def one_hot(items: int) -> NDArray[np.float32]:
    """Vectors as unlike as can be: nearness says nothing of what comes next."""
    return np.eye(items, dtype=np.float32)


def added(what: NDArray[np.float32]) -> SequenceProfile:
    """Adds this to everyone's fold: its weights are 0, its bias is that."""
    return SequenceProfile(
        model_id="gru:test-10",
        encoder_id=ENCODER,
        policy="constant(k=0.7)",
        length=10,
        input_weights=np.zeros((3, DIM + 2), np.float32),
        state_weights=np.zeros((3, 1), np.float32),
        input_bias=np.zeros(3, np.float32),
        state_bias=np.zeros(3, np.float32),
        out_weights=np.zeros((DIM, 1), np.float32),
        out_bias=what,
    )
