"""What the worker does with each action, as a compiled loop over columns in offset order.

One loop in offset order gives, by construction, what taking one action at a time gives, however
the stream was cut into batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.blocks import contains, remember
from store.columns import CHANGED, FENCED, add_row, can_add, mark, put_contribution, remove_row
from store.compiled import compiled, part
from store.policies import ADAPTIVE, CONSTANT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.columns import Columns, Rows

__all__ = ["FORGET", "OUTCOMES", "SKIP", "Actions", "Rule", "apply_actions", "fold_action"]

#: In place of the row of an action's vector: forget the user; leave the action out.
FORGET, SKIP = -1, -2
#: What can become of an action. The loop counts by position.
OUTCOMES = ("applied", "fenced", "duplicate", "forgotten_user", "forget")
_APPLIED, _AT_FENCE, _DUPLICATE, _FORGOTTEN_USER, _FORGET = range(5)


class Rule(NamedTuple):
    """A policy as the loop needs it: `Policy.code` and `Policy.parameters`."""

    code: int
    a: float
    b: float
    c: float


class Actions(NamedTuple):
    """The columns of an `ActionBatch`, with codes for the users."""

    users: NDArray[np.int32]
    offsets: NDArray[np.int64]
    published: NDArray[np.int64]
    ts: NDArray[np.int64]
    actions: NDArray[np.int32]
    items: NDArray[np.int32]
    events: NDArray[np.uint64]
    weights: NDArray[np.float64]
    strengths: NDArray[np.float64]
    rows: NDArray[np.int32]


@compiled
def fold_action(
    rows: Rows,
    row: int,
    v: NDArray[np.float32],
    strength: float,
    weight: float,
    ts: int,
    rule: Rule,
) -> float:
    """Fold one action into a row, as `store.reference.fold_one` does; returns the k used.

    Args:
        rows: changed.
        row: the profile.
        v: ``(dim,) float32``, unit norm.
        strength: s in [-1, 1].
        weight: w > 0.
        ts: event time, ms.
        rule: chooses k.
    """
    p = rows.vector[row]
    dim = p.shape[0]
    n = rows.counts[row]
    if rule.code == CONSTANT:
        k = min(rule.a, n / (n + 1.0))
    elif rule.code == ADAPTIVE:
        if n == 0:
            k = 0.0
        else:
            dot = 0.0
            pp = 0.0
            vv = 0.0
            for j in range(dim):
                dot += p[j] * v[j]
                pp += p[j] * p[j]
                vv += v[j] * v[j]
            norm = np.sqrt(pp) * np.sqrt(vv)
            r = dot / norm if norm > 0.0 else 0.0
            spread = rows.sum_k[row] / rows.sum_k2[row] if rows.sum_k2[row] > 0.0 else 1.0
            k = min(max(rule.a * r + (1.0 - rule.a) * spread, rule.b), rule.c)
    else:
        elapsed = max(0, ts - rows.last_ts[row]) if n > 0 else 0
        kept = rows.mass[row] * 2.0 ** (-elapsed / rule.a)
        rows.mass[row] = kept + weight
        k = kept / rows.mass[row]
    keep = np.float32(k)
    add = np.float32((1.0 - k) * strength)
    for j in range(dim):
        p[j] = keep * p[j] + add * v[j]
    rows.counts[row] = n + 1
    rows.sum_k[row] += k
    rows.sum_k2[row] += k * k
    rows.last_ts[row] = max(rows.last_ts[row], ts)
    return k


@part
def _forget(columns: Columns, user: int, ts: int) -> None:
    users = columns.users
    if users.row[user] > 0:
        remove_row(columns, user)
    users.row[user] = FENCED
    users.forgotten_ts[user] = max(users.forgotten_ts[user], ts)
    mark(columns, user, 0)
    # Who comes back before the tombstone is published counts as fresh from then on.
    users.marks[user] &= ~CHANGED


@compiled
def apply_actions(
    columns: Columns,
    topic: int,
    batch: Actions,
    vectors: NDArray[np.float32],
    rule: Rule,
    begin: int,
    outcomes: NDArray[np.int64],
) -> int:
    """Take in the actions from ``begin`` on.

    Args:
        columns: changed; has room for every user code of the batch.
        topic: the source topic's column of ``next_offset``.
        batch: in offset order.
        vectors: ``(m, dim) float32`` unit rows.
        rule: chooses k.
        begin: the first action to take in.
        outcomes: ``(n, 5)`` counts by code of the action and position in `OUTCOMES`, added to.

    Returns:
        Where it stopped because `can_add` says no, or the length of the batch.
    """
    users, rows = columns.users, columns.rows
    for i in range(begin, batch.rows.shape[0]):
        source = batch.rows[i]
        if source == SKIP:
            continue
        user, offset, ts = batch.users[i], batch.offsets[i], batch.ts[i]
        mine = outcomes[batch.actions[i]]
        if offset < users.next_offset[user, topic]:
            mine[_AT_FENCE] += 1
            continue
        if source == FORGET:
            _forget(columns, user, ts)
            users.next_offset[user, topic] = offset + 1
            mine[_FORGET] += 1
            continue
        if ts <= users.forgotten_ts[user]:
            mine[_FORGOTTEN_USER] += 1
            continue
        row = np.int64(users.row[user])
        event = batch.events[i]
        if row > 0 and event != 0 and contains(columns.events, row, event):
            mine[_DUPLICATE] += 1
            continue
        if not can_add(columns):
            return i
        if row <= 0:
            row = add_row(columns, user)
        if users.marks[user] & CHANGED == 0:
            mark(columns, user, CHANGED)
            rows.fresh_from[row] = batch.published[i]
        rows.fresh_from[row] = min(rows.fresh_from[row], batch.published[i])
        users.next_offset[user, topic] = offset + 1
        if batch.items[i] >= 0:
            remember(columns.seen, row, batch.items[i])
        if event != 0:
            remember(columns.events, row, event)
        k = fold_action(rows, row, vectors[source], batch.strengths[i], batch.weights[i], ts, rule)
        put_contribution(rows, row, batch.actions[i], batch.items[i], k, batch.strengths[i])
        mine[_APPLIED] += 1
    return batch.rows.shape[0]
