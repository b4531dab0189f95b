"""The ranking's compiled code, ready before the first profile."""

from __future__ import annotations

import msgspec
import numpy as np

from store.profile import Contribution
from store.ranking.changes import Change
from store.ranking.learner import Learner
from store.user_profile import NO_ITEMS, UserProfile

__all__ = ["warm_up"]


def warm_up(dim: int) -> None:
    """Load or compile all loops of the ranking: half a second, or twenty the first time.

    It has a learner do once what learners do, with the types that they do it with; but for putting
    back a snapshot of another number of partners, which takes a second more.
    """
    learner = Learner(dim)
    rows = np.zeros((3, dim), np.float32)
    rows[:, 0] = 1.0
    learner.put_items(["a", "b", "c"], rows)
    before, now = _profile("a"), _profile("a", "b")
    learner.observe([Change(before, now, rows[0])])
    learner.best(now, rows[0], ["c"], 1, 1, lambda _: False)


def _profile(*seen: str) -> UserProfile:
    latest = [Contribution("click", item_id, 0.5, 1.0) for item_id in seen]
    return UserProfile(
        version=len(seen),
        count=len(seen),
        last_ts=1,
        norm=1.0,
        partition=0,
        packed_applied=NO_ITEMS,
        packed_seen=msgspec.msgpack.encode(seen),
        packed_contributions=msgspec.msgpack.encode(latest),
    )
