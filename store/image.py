"""Profiles and fences of some users in flat columns: what is taken over, copied and stored.

Nothing in it refers to rows, blocks or rings, so it outlives the table it was copied from and fits
one with other bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.blocks import UNIT, fill
from store.columns import FENCED, add_row, can_add, put_contribution, remove_row
from store.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from store.blocks import Windows
    from store.columns import Columns, Rows

__all__ = ["Image", "copy_image", "ends_of", "put_image"]


class Image(NamedTuple):
    """Of n users of whom m have a profile, the others a fence.

    Attributes:
        next_offset: ``(n, topics)`` the offset after the last applied one; 0 where none is.
        forgotten_ts: ``(n,)`` ms.
        profile: ``(n,)`` which of the m profiles; -1 for a fence.
        vector: ``(m, dim)``.
        counts, mass, sum_k, sum_k2, last_ts, paced, cos_mean, cos_var, fresh_from: ``(m,)`` see
            `ProfileState`.
        contribution_ends, seen_ends, event_ends: ``(m + 1,)`` profile j's are at
            ``ends[j]:ends[j + 1]`` of the columns that follow.
        actions, items, ks, strengths: contributions, oldest first; codes of the vocabulary,
            item -1 where there is none.
        seen: item codes, oldest first.
        events: hashes of event ids, oldest first.
    """

    next_offset: NDArray[np.int64]
    forgotten_ts: NDArray[np.int64]
    profile: NDArray[np.int64]
    vector: NDArray[np.float32]
    counts: NDArray[np.int64]
    mass: NDArray[np.float64]
    sum_k: NDArray[np.float64]
    sum_k2: NDArray[np.float64]
    last_ts: NDArray[np.int64]
    paced: NDArray[np.float64]
    cos_mean: NDArray[np.float64]
    cos_var: NDArray[np.float64]
    fresh_from: NDArray[np.int64]
    contribution_ends: NDArray[np.int64]
    actions: NDArray[np.int32]
    items: NDArray[np.int32]
    ks: NDArray[np.float32]
    strengths: NDArray[np.float32]
    seen_ends: NDArray[np.int64]
    seen: NDArray[np.int32]
    event_ends: NDArray[np.int64]
    events: NDArray[np.uint64]


@compiled
def put_image(
    columns: Columns,
    users: NDArray[np.int32],
    topics: NDArray[np.int64],
    image: Image,
    begin: int,
) -> int:
    """Replace what the table holds of these users by the image's.

    Args:
        columns: changed; has room for the codes.
        users: ``(n,)`` the codes of the image's users.
        topics: the columns of the table's ``next_offset`` that the image's stand for.
        image: what to hold; of more than the table's bounds allow, the latest is kept.
        begin: the first to take.

    Returns:
        Where it stopped because `can_add` says no, or n.
    """
    rows, held = columns.rows, columns.users
    for i in range(begin, users.shape[0]):
        user = users[i]
        if held.row[user] > 0:
            remove_row(columns, user)
        j = image.profile[i]
        if j >= 0 and not can_add(columns):
            return i
        held.next_offset[user] = 0
        for topic in range(topics.shape[0]):
            held.next_offset[user, topics[topic]] = image.next_offset[i, topic]
        held.forgotten_ts[user] = image.forgotten_ts[i]
        if j < 0:
            held.row[user] = FENCED
            continue
        row = add_row(columns, user)
        for at in range(image.vector.shape[1]):
            rows.vector[row, at] = image.vector[j, at]
        rows.counts[row] = image.counts[j]
        rows.mass[row] = image.mass[j]
        rows.sum_k[row] = image.sum_k[j]
        rows.sum_k2[row] = image.sum_k2[j]
        rows.last_ts[row] = image.last_ts[j]
        rows.paced[row] = image.paced[j]
        rows.cos_mean[row] = image.cos_mean[j]
        rows.cos_var[row] = image.cos_var[j]
        rows.fresh_from[row] = image.fresh_from[j]
        for at in range(image.contribution_ends[j], image.contribution_ends[j + 1]):
            put_contribution(
                rows, row, image.actions[at], image.items[at], image.ks[at], image.strengths[at]
            )
        fill(columns.seen, row, image.seen, image.seen_ends[j], image.seen_ends[j + 1])
        fill(columns.events, row, image.events, image.event_ends[j], image.event_ends[j + 1])
    return users.shape[0]


@compiled
def _copy_windows(
    windows: Windows,
    rows: NDArray[np.int64],
    ends: NDArray[np.int64],
    out: NDArray[np.int32] | NDArray[np.uint64],
) -> None:
    for j in range(rows.shape[0]):
        first = np.int64(windows.at[rows[j]]) * UNIT
        for i in range(ends[j + 1] - ends[j]):
            out[ends[j] + i] = windows.data[first + i]


@compiled
def _copy_contributions(
    rows: Rows,
    chosen: NDArray[np.int64],
    ends: NDArray[np.int64],
    actions: NDArray[np.int32],
    items: NDArray[np.int32],
    ks: NDArray[np.float32],
    strengths: NDArray[np.float32],
) -> None:
    for j in range(chosen.shape[0]):
        row, length = chosen[j], ends[j + 1] - ends[j]
        for i in range(length):
            at = (rows.written[row] - length + i) % rows.actions.shape[1]
            actions[ends[j] + i] = rows.actions[row, at]
            items[ends[j] + i] = rows.items[row, at]
            ks[ends[j] + i] = rows.ks[row, at]
            strengths[ends[j] + i] = rows.strengths[row, at]


def copy_image(columns: Columns, users: NDArray[np.int32]) -> Image:
    """Copy what is held of these users, each known or fenced."""
    held, rows = columns.users, columns.rows
    row = held.row[users]
    chosen = row[row > 0].astype(np.int64)
    ring = rows.actions.shape[1]
    contribution_ends = ends_of(np.minimum(rows.written[chosen], ring))
    seen_ends = ends_of(columns.seen.length[chosen])
    event_ends = ends_of(columns.events.length[chosen])
    total = int(contribution_ends[-1])
    image = Image(
        next_offset=held.next_offset[users],
        forgotten_ts=held.forgotten_ts[users],
        profile=np.where(row > 0, np.cumsum(row > 0) - 1, -1),
        vector=rows.vector[chosen],
        counts=rows.counts[chosen],
        mass=rows.mass[chosen],
        sum_k=rows.sum_k[chosen],
        sum_k2=rows.sum_k2[chosen],
        last_ts=rows.last_ts[chosen],
        paced=rows.paced[chosen],
        cos_mean=rows.cos_mean[chosen],
        cos_var=rows.cos_var[chosen],
        fresh_from=rows.fresh_from[chosen],
        contribution_ends=contribution_ends,
        actions=np.empty(total, np.int32),
        items=np.empty(total, np.int32),
        ks=np.empty(total, np.float32),
        strengths=np.empty(total, np.float32),
        seen_ends=seen_ends,
        seen=np.empty(seen_ends[-1], np.int32),
        event_ends=event_ends,
        events=np.empty(event_ends[-1], np.uint64),
    )
    _copy_contributions(
        rows, chosen, contribution_ends, image.actions, image.items, image.ks, image.strengths
    )
    _copy_windows(columns.seen, chosen, seen_ends, image.seen)
    _copy_windows(columns.events, chosen, event_ends, image.events)
    return image


def ends_of(lengths: NDArray[np.int32] | NDArray[np.int64] | Sequence[int]) -> NDArray[np.int64]:
    """``(n + 1,)`` where each of n stretches of these lengths begins, and the end of the last."""
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    return ends
