"""A log folded as a worker would: the k of every action, and users' profiles at some moments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.reference import ReferenceProfile, fold_one

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.policies import Policy
    from streams.rules import ActionRules
    from tidemark.evaluation.log import ActionLog

__all__ = ["fold_log"]


def fold_log(
    log: ActionLog,
    rules: ActionRules,
    policy: Policy,
    vectors: NDArray[np.float32],
    places: NDArray[np.int64],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fold every action that has an item; its vector is taken to be the item's.

    Nothing is capped, and no action counts as an outlier. Every item that a user acted on before
    counts as seen, also one that is no longer among the `memory.seen` latest.

    Args:
        log: in time order.
        rules: how much each kind of action counts.
        policy: chooses k.
        vectors: ``(items, dim) float32`` unit vectors of the catalogue.
        places: ``(m,)`` ascending.

    Returns:
        k of every action, ``(n,) float32``, 1 where it has no item; and p of the user of each of
        the places just before it, ``(m, dim) float32``, not normalised, 0 where there is none.

    Raises:
        EvaluationError: the rules do not know an action.
    """
    strengths, weights = log.strengths(rules).tolist(), log.weights(rules).tolist()
    users, items, times = log.users.tolist(), log.items.tolist(), log.ts.tolist()
    profiles: dict[int, ReferenceProfile] = {}
    seen: set[tuple[int, int]] = set()
    keeps = np.ones(len(log), np.float32)
    found = np.zeros((len(places), vectors.shape[1]), np.float32)
    rows = {place: row for row, place in enumerate(places.tolist())}
    for place, (user, item) in enumerate(zip(users, items, strict=True)):
        profile = profiles.get(user)
        if profile is not None and place in rows:
            found[rows[place]] = profile.vector
        if item < 0:
            continue
        if profile is None:
            profile = profiles[user] = ReferenceProfile.empty(vectors.shape[1])
        keeps[place] = fold_one(
            profile, vectors[item], strength=strengths[place], weight=weights[place],
            ts=times[place], policy=policy, repeated=(user, item) in seen,
        )  # fmt: skip
        seen.add((user, item))
    return keeps, found
