"""Items whose texts are near those of what a user acted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog

__all__ = ["LastItem", "MeanOfHistory", "centred"]


def centred(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors without what all have in common.

    Vectors of texts share much of their direction; without the mean, cosines tell them apart better
    (Mu and Viswanath, All-but-the-Top, 2018). The mean is that of the catalogue, which is known
    before any action on it.

    Args:
        vectors: ``(items, dim) float32``.
    """
    moved = vectors - vectors.mean(axis=0)
    norms = np.linalg.norm(moved, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.zeros_like(moved)
    # A catalogue whose texts are all the same has nothing left.
    np.divide(moved, norms, out=unit, where=norms > 0)
    return unit


class LastItem:
    """The cosine of an item's text to that of the user's last item.

    Args:
        log: what is replayed.
        vectors: ``(items, dim) float32``, of `centred`.
        name: in reports.
    """

    def __init__(
        self, log: ActionLog, vectors: NDArray[np.float32], name: str = "last-item"
    ) -> None:
        self.name = name
        self._users, self._items, self._vectors = log.users, log.items, vectors
        self._last = np.full(len(log.user_ids), -1, np.int32)

    def learn(self, begin: int, end: int) -> None:
        """See `Recommender`."""
        users, items = self._users[begin:end], self._items[begin:end]
        # Where a user comes several times, NumPy keeps what was assigned last.
        self._last[users[items >= 0]] = items[items >= 0]

    def scores(self, place: int) -> NDArray[np.float32]:
        """See `Recommender`."""
        last = self._last[self._users[place]]
        if last < 0:
            return np.zeros(len(self._vectors), np.float32)
        near: NDArray[np.float32] = self._vectors @ self._vectors[last]
        return near


class MeanOfHistory:
    """The cosine of an item's text to the mean of all that the user liked.

    Args:
        log: what is replayed.
        vectors: ``(items, dim) float32``, of `centred`.
        strengths: ``(n,) float32`` of the log's actions.
        positive: least strength of what was liked.
        name: in reports.
    """

    def __init__(
        self,
        log: ActionLog,
        vectors: NDArray[np.float32],
        strengths: NDArray[np.float32],
        positive: float,
        name: str = "mean-of-history",
    ) -> None:
        self.name = name
        self._users, self._items, self._vectors = log.users, log.items, vectors
        self._strengths, self._positive = strengths, positive
        self._rows: dict[int, NDArray[np.float32]] = {}

    def learn(self, begin: int, end: int) -> None:
        """See `Recommender`."""
        items = self._items[begin:end]
        liked = (items >= 0) & (self._strengths[begin:end] >= self._positive)
        users = self._users[begin:end][liked]
        for user, item in zip(users.tolist(), items[liked].tolist(), strict=True):
            row = self._rows.get(user)
            if row is None:
                self._rows[user] = self._vectors[item].copy()
            else:
                row += self._vectors[item]

    def scores(self, place: int) -> NDArray[np.float32]:
        """See `Recommender`; of a user who liked nothing yet, all are alike."""
        liked = self._rows.get(int(self._users[place]))
        if liked is None or not (norm := np.linalg.norm(liked)):
            return np.zeros(len(self._vectors), np.float32)
        near: NDArray[np.float32] = self._vectors @ (liked / np.float32(norm))
        return near
