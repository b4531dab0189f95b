"""Changes of profiles, and the columns that the compiled loops read them from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from store.user_profile import UserProfile

__all__ = ["ALL_SEEN", "Change", "Changes", "asker_of", "columns_of"]

#: In place of the number of new actions: the user is new here.
ALL_SEEN = 1 << 62


class Change(NamedTuple):
    """A user's profile before and after some actions.

    Attributes:
        before: None of a user who is new, or of whom nothing was known.
        now: the newer version.
        direction: ``(dim,) float32`` of the profile before; None: not to be learned from.
    """

    before: UserProfile | None
    now: UserProfile
    direction: NDArray[np.float32] | None = None


class Changes(NamedTuple):
    """Users whose profile is another one now, a row each, in the order they are taken in.

    Attributes:
        buffer: ``uint8`` three MessagePack lists of each, one after the other: the items seen
            before (of a user who is new here: seen by now), the contributions by now, and, where
            it is to be learned from, those before.
        ends: ``(3n + 1,) int64`` where these lists end, and first 0.
        new: ``(n,) int64`` actions since the version before, or `ALL_SEEN`.
        ts: ``(n,) int64`` ms, of the latest action.
        asker: ``(n,) int64`` row of the columns that follow; -1: only count it.
        profiles: ``(m, dim) float32`` the profiles p before, of any length.
        actions: ``(m,) int64`` actions of the user before.
        pauses: ``(m,) int64`` ms from the latest action before to that of ``ts``.
    """

    buffer: NDArray[np.uint8]
    ends: NDArray[np.int64]
    new: NDArray[np.int64]
    ts: NDArray[np.int64]
    asker: NDArray[np.int64]
    profiles: NDArray[np.float32]
    actions: NDArray[np.int64]
    pauses: NDArray[np.int64]


def columns_of(changes: Sequence[Change], dim: int) -> Changes:
    """The changes as columns; nothing is decoded, most of which nobody needs."""
    lists: list[bytes] = []
    new: list[int] = []
    ts: list[int] = []
    asker = np.full(len(changes), -1, np.int64)
    profiles: list[NDArray[np.float32]] = []
    actions: list[int] = []
    pauses: list[int] = []
    for row, (before, now, direction) in enumerate(changes):
        ts.append(now.last_ts)
        if before is None:
            lists += (now.packed_seen, now.packed_contributions, b"")
            new.append(ALL_SEEN)
        elif direction is None:
            lists += (before.packed_seen, now.packed_contributions, b"")
            new.append(now.count - before.count)
        else:
            lists += (before.packed_seen, now.packed_contributions, before.packed_contributions)
            new.append(now.count - before.count)
            asker[row] = len(profiles)
            profiles.append(direction)
            actions.append(before.count)
            pauses.append(now.last_ts - before.last_ts)
    return Changes(
        np.frombuffer(b"".join(lists), np.uint8), _ends_of(lists), np.array(new, np.int64),
        np.array(ts, np.int64), asker, np.array(profiles, np.float32).reshape(-1, dim),
        np.array(actions, np.int64), np.array(pauses, np.int64),
    )  # fmt: skip


def asker_of(profile: UserProfile, direction: NDArray[np.float32], ts: int) -> Changes:
    """The user as one row to be ranked for at ``ts``, ms, with no change."""
    lists = (profile.packed_seen, b"", profile.packed_contributions)
    return Changes(
        np.frombuffer(b"".join(lists), np.uint8), _ends_of(lists), np.zeros(1, np.int64),
        np.full(1, ts, np.int64), np.zeros(1, np.int64), direction.reshape(1, -1),
        np.full(1, profile.count, np.int64), np.full(1, ts - profile.last_ts, np.int64),
    )  # fmt: skip


def _ends_of(lists: Sequence[bytes]) -> NDArray[np.int64]:
    ends = np.zeros(len(lists) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, lists), np.int64, len(lists)), out=ends[1:])
    return ends
