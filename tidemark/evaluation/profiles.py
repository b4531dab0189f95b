"""What the profiles alone retrieve: items near to what the worker folds of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.columns import Rows, new_rows
from store.compiled import compiled, dot, part
from store.fold import Rule, fold_action
from store.policies import Policy
from store.whitening import mean_vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog

__all__ = ["NearestToProfile", "whitened"]

#: An action less alike than this to all of a user's interests begins another, while there is room.
_ALIKE = 0.3
#: Of a direction's variance, so that those in which no text differs are not blown up.
_LEAST_VARIANCE = 1e-4


class _Actions(NamedTuple):
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    ts: NDArray[np.int64]
    strengths: NDArray[np.float32]
    weights: NDArray[np.float32]


class NearestToProfile:
    """A `Recommender`: the cosine of an item's text to the profile p, as ``rank=nearest`` serves.

    With several interests a user has as many profiles: an action is folded into the one that it is
    most alike to, and an item is as near as it is to the nearest of them.

    Args:
        log: what is replayed.
        vectors: ``(items, dim) float32`` unit rows.
        strengths: ``(n,) float32`` s of its actions.
        name: in reports.
        policy: that the profile is folded by; by default the settings' default.
        weights: ``(n,) float32`` w of its actions, which the policies ``decay`` and ``influence``
            weigh by; else 1.
        interests: profiles of a user, at most.
        popularity: added for the item that most users came to; for others by the logarithm of
            theirs, as ``popularity`` of a request.
        mean_removal: whether profiles less the items' mean are held against the items.
        whitening: the power of `store.whitening.Whitening` by which they are turned as well.
    """

    def __init__(
        self,
        log: ActionLog,
        vectors: NDArray[np.float32],
        strengths: NDArray[np.float32],
        *,
        name: str,
        policy: Policy | None = None,
        weights: NDArray[np.float32] | None = None,
        interests: int = 1,
        popularity: float = 0.0,
        mean_removal: bool = False,
        whitening: float = 0.0,
    ) -> None:
        self.name = name
        self._vectors = vectors
        self._mean = mean_vector(vectors.shape[1], whitening)
        if mean_removal:
            self._mean.add(vectors)  # the catalogue is known before its actions
            self._mean.refresh()
        if weights is None:
            weights = np.ones(len(log), np.float32)
        self._log = _Actions(log.users, log.items, log.ts, strengths, weights)
        self._interests, self._popularity = interests, popularity
        users = len(log.user_ids)
        self._rows = new_rows(users * interests, vectors.shape[1], 0)
        self._used = np.zeros(users, np.int64)
        self._users_of = np.zeros(len(vectors))
        self._first = _first_of_user(log) if popularity else np.zeros(0, np.bool_)
        policy = policy or Policy()
        self._rule = Rule(policy.code, *policy.parameters())

    def learn(self, begin: int, end: int) -> None:
        """See `Recommender`."""
        _take_in(
            self._log, self._vectors, self._rows, self._used, self._interests, begin, end,
            self._rule,
        )  # fmt: skip
        if self._popularity:
            came = self._log.items[begin:end][self._first[begin:end]]
            np.add.at(self._users_of, came, 1.0)

    def scores(self, place: int) -> NDArray[np.float32]:
        """See `Recommender`; of a user without a profile, all are as near."""
        user = int(self._log.users[place])
        begin = user * self._interests
        profiles = self._rows.vector[begin : begin + max(1, int(self._used[user]))]
        norms = np.linalg.norm(profiles, axis=1, keepdims=True)
        units = (profiles / np.where(norms > 0, norms, 1.0)).astype(np.float32)
        units = np.where(norms > 0, self._mean.removed_from(units), np.float32(0.0))
        near: NDArray[np.float32] = (self._vectors @ units.T).max(axis=1)
        if self._popularity:
            most = max(1.0, float(self._users_of.max()))
            share = np.log1p(self._users_of) / np.log1p(most)
            near = near + np.float32(self._popularity) * share.astype(np.float32)
        return near


def whitened(vectors: NDArray[np.float32], power: float = 0.5) -> NDArray[np.float32]:
    """Unit vectors without their mean, whose directions differ less in how much they vary.

    With the covariance C of the catalogue each is multiplied by ``C^(−power/2)``: at 1 that is ZCA
    whitening (Bell and Sejnowski, 1997), at 0 nothing.

    Args:
        vectors: ``(items, dim) float32``.
        power: 0 to 1.
    """
    moved = (vectors - vectors.mean(axis=0)).astype(np.float64)
    variances, directions = np.linalg.eigh(np.cov(moved, rowvar=False, bias=True))
    # of a catalogue whose texts are all the same nothing is left to scale
    least = max(_LEAST_VARIANCE * variances.max(), np.finfo(np.float64).tiny)
    scale = np.maximum(variances, least) ** (-power / 2)
    turned = (moved @ directions) * scale @ directions.T
    norms = np.linalg.norm(turned, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (turned / np.where(norms > 0, norms, 1.0)).astype(np.float32)
    return unit


def _first_of_user(log: ActionLog) -> NDArray[np.bool_]:
    """``(n,)`` whether an action is the user's first on its item."""
    # without an item it is -1
    pairs = log.users.astype(np.int64) * (len(log.catalogue) + 1) + log.items + 1
    first = np.zeros(len(log), np.bool_)
    first[np.unique(pairs, return_index=True)[1]] = True
    return first & (log.items >= 0)


@compiled
def _take_in(
    log: _Actions, vectors: NDArray[np.float32], rows: Rows, used: NDArray[np.int64],
    interests: int, begin: int, end: int, rule: Rule,
) -> None:  # fmt: skip
    for place in range(begin, end):
        item = log.items[place]
        if item < 0:
            continue
        user = log.users[place]
        at = _nearest(rows, user * interests, used[user], vectors[item], interests)
        used[user] = max(used[user], at + 1)
        row = user * interests + at
        fold_action(
            rows, row, vectors[item], log.strengths[place], log.weights[place], log.ts[place], rule
        )


@part
def _nearest(rows: Rows, begin: int, used: int, vector: NDArray[np.float32], interests: int) -> int:
    """Which of the user's interests the action is of; ``used`` where it is a new one's."""
    best, alike = 0, -2.0
    for at in range(used):
        profile = rows.vector[begin + at]
        length = np.sqrt(dot(profile, profile))
        cosine = dot(profile, vector) / length if length > 0.0 else 0.0
        if cosine > alike:
            best, alike = at, cosine
    if used == 0 or (used < interests and alike < _ALIKE):
        return used
    return best
