"""Profiles as the worker would have had them at some moments of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.columns import new_columns, reserve_rows
from store.compiled import compiled
from store.fold import Rule, fold_action, part_that_counts, passes
from store.robustness import Robustness
from store.whitening import mean_vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.columns import Rows
    from store.policies import Policy
    from store.robustness import Guards
    from tidemark.evaluation.log import ActionLog

__all__ = ["profiles_at", "queries_at", "searched_for"]


def profiles_at(
    log: ActionLog,
    vectors: NDArray[np.float32],
    places: NDArray[np.int64],
    *,
    strengths: NDArray[np.float32],
    weights: NDArray[np.float64],
    policy: Policy,
    robustness: Robustness | None = None,
) -> NDArray[np.float32]:
    """The users' profiles just before some actions, by the rule that the worker folds by.

    Args:
        log: the actions; those without an item are left out.
        vectors: ``(items, dim) float32`` unit rows of the catalogue.
        places: ``(m,)`` ascending.
        strengths: ``(n,)`` s.
        weights: ``(n,)`` w, repetitions taken into account.
        policy: the rule.
        robustness: what is capped, and what counts less; by default nothing.

    Returns:
        ``(m, dim) float32``, not normalised; zeros where nothing is known.
    """
    columns = new_columns(vectors.shape[1], 1, 1, 1)
    reserve_rows(columns, len(log.user_ids))
    found = np.zeros((len(places), vectors.shape[1]), np.float32)
    _fold(
        columns.rows, log.users, log.items, log.ts, strengths.astype(np.float64),
        weights.astype(np.float64), vectors, Rule(policy.code, *policy.parameters()),
        (Robustness() if robustness is None else robustness).guards(), places, found,
    )  # fmt: skip
    return found


def searched_for(
    profiles: NDArray[np.float32],
    vectors: NDArray[np.float32],
    *,
    mean_removal: bool,
    whitening: float = 0.0,
) -> NDArray[np.float32]:
    """What ``rank=nearest`` searches the items for: profiles at length 1, less the items' mean.

    Args:
        profiles: ``(m, dim) float32``; of zeros no direction is known.
        vectors: ``(items, dim) float32`` unit rows of the catalogue.
        mean_removal: as the setting of that name; without it, at length 1 alone.
        whitening: likewise.

    Returns:
        ``(m, dim) float32``; zeros where nothing is known.
    """
    mean = mean_vector(vectors.shape[1], whitening)
    if mean_removal:
        mean.add(vectors)
        mean.refresh()
    norms = np.linalg.norm(profiles, axis=1, keepdims=True)
    known = norms > 0
    units = (profiles / np.where(known, norms, 1.0)).astype(np.float32)
    return np.where(known, mean.removed_from(units), np.float32(0.0))


def queries_at(
    log: ActionLog,
    vectors: NDArray[np.float32],
    places: NDArray[np.int64],
    *,
    strengths: NDArray[np.float32],
    weights: NDArray[np.float64],
    policy: Policy,
    mean_removal: bool,
    whitening: float = 0.0,
) -> NDArray[np.float32]:
    """`searched_for` of the `profiles_at` these places."""
    profiles = profiles_at(
        log, vectors, places, strengths=strengths, weights=weights, policy=policy
    )
    return searched_for(profiles, vectors, mean_removal=mean_removal, whitening=whitening)


@compiled
def _fold(
    rows: Rows,
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    ts: NDArray[np.int64],
    strengths: NDArray[np.float64],
    weights: NDArray[np.float64],
    vectors: NDArray[np.float32],
    rule: Rule,
    guards: Guards,
    places: NDArray[np.int64],
    found: NDArray[np.float32],
) -> None:
    begin = 0
    for at in range(places.shape[0]):
        for i in range(begin, places[at]):
            if items[i] < 0:
                continue
            user, v, strength = users[i], vectors[items[i]], strengths[i]
            if guards.interval_ms > 0.0 and not passes(rows, user, ts[i], guards.interval_ms):
                continue
            if guards.deviations > 0.0 and rows.counts[user] > 0:
                strength *= part_that_counts(rows, user, v, guards.deviations)
            fold_action(rows, user, v, strength, weights[i], ts[i], rule)
        begin = places[at]
        for j in range(vectors.shape[1]):
            found[at, j] = rows.vector[users[begin], j]
