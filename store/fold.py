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
from store.policies import ADAPTIVE, CONSTANT, INFLUENCE
from store.robustness import FEWEST, LEAST_DEVIATION, MEMORY, MINUTE_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.columns import Columns, Rows
    from store.robustness import Guards

__all__ = [
    "FORGET",
    "OUTCOMES",
    "SKIP",
    "Actions",
    "Rule",
    "apply_actions",
    "fold_action",
    "part_that_counts",
    "passes",
]

#: In place of the row of an action's vector: forget the user; leave the action out.
FORGET, SKIP = -1, -2
#: What can become of an action. The loop counts by position.
OUTCOMES = ("applied", "fenced", "duplicate", "forgotten_user", "forget", "capped", "outlier")
_APPLIED, _AT_FENCE, _DUPLICATE, _FORGOTTEN_USER, _FORGET, _CAPPED, _OUTLIER = range(7)


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
        weight: w > 0; of an action on an item seen before already times its factor.
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
def passes(rows: Rows, row: int, ts: int, interval_ms: float) -> bool:
    """Whether the user may have one more action now; if so, it is counted.

    As `store.reference.passes`.
    """
    now = float(max(ts, rows.last_ts[row]))
    paced = max(rows.paced[row], now) + interval_ms
    # Half an action more than a minute's, for what adding up rounds off.
    if paced - now > MINUTE_MS + 0.5 * interval_ms:
        return False
    rows.paced[row] = paced
    return True


@part
def part_that_counts(rows: Rows, row: int, v: NDArray[np.float32], deviations: float) -> float:
    """How much of its strength an action keeps, and learns how near it is.

    As `store.reference.part_that_counts`.
    """
    p = rows.vector[row]
    n = rows.counts[row]
    dot = np.float32(0.0)
    pp = np.float32(0.0)
    for j in range(np.uint64(p.shape[0])):
        dot += p[j] * v[j]
        pp += p[j] * p[j]
    if pp <= 0.0:
        return 1.0
    cosine = dot / np.sqrt(pp)
    below = rows.cos_mean[row] - cosine
    most = deviations * max(np.sqrt(rows.cos_var[row]), LEAST_DEVIATION)
    kept = 1.0
    if n >= FEWEST and below > most:
        kept = most / below
        below = most
    rate = 1.0 / min(n, MEMORY)
    rows.cos_mean[row] -= rate * below
    rows.cos_var[row] = (1.0 - rate) * (rows.cos_var[row] + rate * below * below)
    return kept


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
    guards: Guards,
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
        guards: what is capped, and what counts less.
        begin: the first action to take in.
        outcomes: ``(n, outcomes)`` counts by code of the action and position in `OUTCOMES`,
            added to.

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
        if guards.interval_ms > 0.0 and not passes(rows, row, ts, guards.interval_ms):
            mine[_CAPPED] += 1
            continue
        if users.marks[user] & CHANGED == 0:
            mark(columns, user, CHANGED)
            rows.fresh_from[row] = batch.published[i]
        rows.fresh_from[row] = min(rows.fresh_from[row], batch.published[i])
        users.next_offset[user, topic] = offset + 1
        weight = batch.weights[i]
        if batch.items[i] >= 0:
            if rule.code == INFLUENCE and contains(columns.seen, row, batch.items[i]):
                weight *= rule.b
            remember(columns.seen, row, batch.items[i])
        if event != 0:
            remember(columns.events, row, event)
        strength = batch.strengths[i]
        outcome = _APPLIED
        if guards.deviations > 0.0 and rows.counts[row] > 0:
            kept = part_that_counts(rows, row, vectors[source], guards.deviations)
            if kept < 1.0:
                strength *= kept
                outcome = _OUTLIER
        k = fold_action(rows, row, vectors[source], strength, weight, ts, rule)
        put_contribution(rows, row, batch.actions[i], batch.items[i], k, strength)
        mine[outcome] += 1
    return batch.rows.shape[0]
