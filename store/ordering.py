"""Which of the items found are returned, and in which order: ``rank``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from store.errors import NoRankerError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from store.catalogue import Catalogue, Wanted
    from store.indexes.protocol import Hits
    from store.query_vectors import ProfileFunction
    from store.ranker import Ranker
    from store.ranking.learner import Learner
    from store.user_profile import UserProfile

__all__ = ["DEPTH", "Asked", "Ordering", "Rank"]

#: What orders candidates: their nearness alone, the learned blend, or a `Ranker`.
Rank = Literal["nearest", "blend", "mlp"]
#: So many are found by nearness, to be ordered; more where more are asked for.
DEPTH = 200


class Asked(NamedTuple):
    """Who asks, for what.

    Attributes:
        profile: of the user.
        direction: ``(dim,) float32`` of the profile.
        query: ``(dim + EXTRA,) float32`` what the items are searched for, as of
            `Catalogue.query`; its first ``dim`` are what a `Ranker` is given.
        seen: items that may not be returned.
        wanted: which items may.
        now_ms: wall clock, ms since the epoch; the blend asks how long ago the user was active.
    """

    profile: UserProfile
    direction: NDArray[np.float32]
    query: NDArray[np.float32]
    seen: Collection[str]
    wanted: Wanted
    now_ms: int


class Ordering:
    """Orders candidates.

    Args:
        catalogue: the items.
        dim: of their vectors.
        ranker: for ``mlp``; None: it cannot be asked for.
        learner: for ``blend``, likewise.
        default: orders what is asked for without a ``rank``.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        dim: int,
        ranker: Ranker | None,
        learner: Learner | None,
        default: Rank,
    ) -> None:
        self._catalogue = catalogue
        self._dim = dim
        self._ranker = ranker
        self._learner = learner
        self._default: Rank = default

    def settled(self, rank: Rank | None, by: ProfileFunction, wanted: Wanted) -> Rank:
        """What orders them where the request does not say.

        Nearness where it asks for what only nearness is made of: another function's vector, or a
        share of popularity.
        """
        if rank is not None:
            return rank
        return "nearest" if by != "fold" or wanted.popularity else self._default

    def depth(self, k: int, rank: Rank) -> int:
        """How many to find of which k are wanted.

        Raises:
            NoRankerError: what is to order them is not there.
        """
        if rank == "nearest":
            return k
        if rank == "mlp" and self._ranker is None:
            raise NoRankerError(
                "rank is mlp, and this service has no ranker: train one with tidemark train "
                "ranker, and name it in retrieval.ranker"
            )
        if rank == "blend":
            self.learned()
        return max(k, DEPTH)

    def learned(self) -> Learner:
        """What ``blend`` orders by. Raises `NoRankerError` where there is none."""
        if self._learner is None:
            raise NoRankerError(
                "rank is blend, and this service learns none: ranking.enabled is false"
            )
        return self._learner

    def best(self, asked: Asked, hits: Hits, k: int, rank: Rank) -> Sequence[tuple[str, float]]:
        """The best k with their scores: of the nearest; by the blend, also of what it finds."""
        near = list(zip(hits.keys, hits.scores.tolist(), strict=True))
        if rank == "blend":
            return self._blended(self.learned(), asked, hits.keys, k)
        if rank == "mlp" and self._ranker is not None and near:
            return self._by_ranker(self._ranker, asked.query[: self._dim], hits.keys, k)
        return near[:k]

    def _blended(
        self, learner: Learner, asked: Asked, near: Sequence[str], k: int
    ) -> list[tuple[str, float]]:
        seen = set(asked.seen)

        def allowed(item_id: str) -> bool:
            return item_id not in seen and self._catalogue.qualifies(item_id, asked.wanted)

        return learner.best(asked.profile, asked.direction, near, k, asked.now_ms, allowed)

    def _by_ranker(
        self, ranker: Ranker, searched: NDArray[np.float32], near: Sequence[str], k: int
    ) -> list[tuple[str, float]]:
        vectors = self._catalogue.index.get(near)
        rows = np.stack([vectors[item_id][: self._dim] for item_id in near])
        # With popularity an item's row is no unit vector; nor need what an index gives back be.
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
        scores = ranker.scores(searched, rows)
        order = np.argsort(-scores, kind="stable")[:k].tolist()
        return [(near[at], float(scores[at])) for at in order]
