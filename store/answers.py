"""What retrieval answers, of what a `RetrievalView` holds: candidates, audiences, searches.

Those that search are questions, so that several are answered by one search (`store.question`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from store.batch_search import search_each
from store.catalogue import ANY
from store.errors import UnknownUserError
from store.online_quality import K
from store.ordering import Asked
from store.query_vectors import query_vectors
from store.question import Search, answered

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from store.catalogue import Catalogue, Wanted
    from store.indexes.protocol import Hits
    from store.ordering import Ordering, Rank
    from store.profiles import FollowedProfiles
    from store.query_vectors import Held, ProfileFunction
    from store.question import Question
    from store.user_profile import UserProfile

__all__ = ["Answers", "Candidate", "ScoredUser"]


# A batch makes many thousands of these, which go as they are into the answer.


@dataclass(slots=True)
class Candidate:
    """An item retrieved.

    ``score`` is a cosine, with what was asked to be added for popularity; or, where popularity
    alone ranked it, a count of users; or, where the learned blend or a ranker did, what it gives.
    A cosine to a profile is to what is left of it without the items' mean (`MeanVector`).
    """

    item_id: str
    score: float
    title: str
    categories: tuple[str, ...]


@dataclass(slots=True)
class ScoredUser:
    """A user retrieved; ``score`` is a cosine."""

    user_id: str
    score: float


class Answers:
    """For the owner thread, as what it answers from.

    Args:
        held: profiles and vectors.
        catalogue: the items, and their index.
        profiles: the users, and their index.
        ordering: of candidates.
    """

    def __init__(
        self, held: Held, catalogue: Catalogue, profiles: FollowedProfiles, ordering: Ordering
    ) -> None:
        self._held = held
        self._catalogue = catalogue
        self._profiles = profiles
        self._ordering = ordering

    def settled_rank(self, rank: Rank | None, by: ProfileFunction, wanted: Wanted) -> Rank:
        """What a request for candidates is ordered by, as given or where it does not say."""
        return self._ordering.settled(rank, by, wanted)

    def ask_candidates(
        self,
        user_id: str,
        k: int,
        *,
        exclude_seen: bool = True,
        wanted: Wanted = ANY,
        rank: Rank = "nearest",
        now_ms: int = 0,
        by: ProfileFunction = "fold",
    ) -> Question[list[Candidate]]:
        """The k items nearest to a user's profile, or the best by another ranking.

        ``now_ms`` is the wall clock, which the blend asks for.

        Raises:
            NoRankerError: what is to rank them is not there.
            UnknownUserError: the user has no profile, or nothing to make the vector of.
            UnknownCategoryError: no item is of this category.
            NoSequenceError: the sequence model is asked for, and there is none.
        """
        self._ordering.depth(k, rank)  # says that there is no ranker before who is not known
        vector = query_vectors(self._held, [user_id], by)[0]
        if isinstance(vector, UnknownUserError):
            raise vector
        asked = self._asked(user_id, vector, by, wanted, now_ms, exclude_seen=exclude_seen)
        return self._candidates((yield from self._ask_best(asked, k, rank)))

    def candidates_of(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        wanted: Wanted = ANY,
        rank: Rank = "nearest",
        now_ms: int = 0,
        by: ProfileFunction = "fold",
    ) -> list[list[Candidate] | UnknownUserError]:
        """`ask_candidates` of many users, in their order and by one search; errors are among them.

        Raises:
            NoRankerError: what is to rank them is not there.
            UnknownCategoryError: no item is of this category.
            NoSequenceError: the sequence model is asked for, and there is none.
        """
        fields, depth = self._catalogue.fields(wanted), self._ordering.depth(k, rank)
        answers: list[list[Candidate] | UnknownUserError] = []
        places: list[int] = []
        asking: list[Asked] = []
        for user_id, vector in zip(user_ids, query_vectors(self._held, user_ids, by), strict=True):
            if isinstance(vector, UnknownUserError):
                answers.append(vector)
                continue
            asking.append(
                self._asked(user_id, vector, by, wanted, now_ms, exclude_seen=exclude_seen)
            )
            places.append(len(answers))
            answers.append([])
        if asking:
            rows = np.stack([one.query for one in asking])
            excluded = [one.seen for one in asking]
            found = search_each(self._catalogue.index, rows, depth, excluded, fields)
            for at, asked, hits in zip(places, asking, found, strict=True):
                answers[at] = self._candidates(self._ordering.best(asked, hits, k, rank))
        return answers

    def score_parts(
        self, user_id: str, item_ids: Sequence[str], now_ms: int
    ) -> list[dict[str, float]]:
        """What the blend's scores of these candidates are made of; see `Learner.parts`.

        Raises:
            NoRankerError: there is no blend.
            UnknownUserError: the user has no profile, or one without a direction.
        """
        profile, direction = self._held.profile(user_id), self._held.direction(user_id)
        return self._ordering.learned().parts(profile, direction, item_ids, now_ms)

    def popular(
        self, k: int, *, wanted: Wanted = ANY, exclude: Collection[str] = ()
    ) -> list[Candidate]:
        """The k items that most users have recently seen, scored by how many have.

        Raises:
            UnknownCategoryError: no item is of this category.
        """
        self._catalogue.fields(wanted)  # says what is wrong with it
        popularity, barred, qualifies = (
            self._profiles.popularity,
            set(exclude),
            self._catalogue.qualifies,
        )
        top = popularity.top(k, lambda one: one not in barred and qualifies(one, wanted))
        return [self._candidate(item_id, popularity.count(item_id)) for item_id in top]

    def ask_neighbours(self, user_id: str, k: int) -> Question[list[ScoredUser]]:
        """The k users nearest to a user, without that user. Raises `UnknownUserError`."""
        query = self._held.direction(user_id)
        return _scored((yield Search("profiles", self._profiles.index, query, k, (user_id,), {})))

    def ask_audience(self, item_id: str, k: int) -> Question[list[ScoredUser]]:
        """The k users nearest to an item. Raises `UnknownItemError`."""
        return (yield from self.ask_profiles(self._catalogue.vector(item_id), k))

    def ask_items(
        self, vector: NDArray[np.float32], k: int, *, wanted: Wanted = ANY
    ) -> Question[list[Candidate]]:
        """The k items nearest to a vector, ``(dim,) float32``.

        Raises:
            UnknownCategoryError: no item is of this category.
            VectorIndexError: the vector's shape, dtype or values are not as said.
        """
        fields, query = self._catalogue.fields(wanted), self._catalogue.query(vector, wanted)
        hits = yield from self._find(query, k, (), fields)
        return self._candidates(zip(hits.keys, hits.scores.tolist(), strict=True))

    def ask_profiles(self, vector: NDArray[np.float32], k: int) -> Question[list[ScoredUser]]:
        """The k users nearest to a vector, ``(dim,) float32``. Raises `VectorIndexError`."""
        return _scored((yield Search("profiles", self._profiles.index, vector, k, (), {})))

    def nearest_items(self, unit: NDArray[np.float32], seen: Collection[str]) -> list[str]:
        """Ids of the K items nearest to a profile's unit vector, without those seen."""
        query = self._catalogue.query_of_profile(unit, ANY)
        return list(answered(self._find(query, K, seen, {})).keys)

    def best_items(
        self, rank: Rank, profile: UserProfile, unit: NDArray[np.float32], now_ms: int
    ) -> list[str]:
        """Ids of the K items that a request so ranked gets, for a profile and its unit vector."""
        query = self._catalogue.query_of_profile(unit, ANY)
        asked = Asked(profile, unit, query, profile.seen, ANY, now_ms)
        return [item_id for item_id, _ in answered(self._ask_best(asked, K, rank))]

    def _ask_best(self, asked: Asked, k: int, rank: Rank) -> Question[Sequence[tuple[str, float]]]:
        depth, fields = self._ordering.depth(k, rank), self._catalogue.fields(asked.wanted)
        hits = yield from self._find(asked.query, depth, asked.seen, fields)
        return self._ordering.best(asked, hits, k, rank)

    def _find(
        self,
        query: NDArray[np.float32],
        k: int,
        barred: Collection[str],
        fields: Mapping[str, Collection[str]],
    ) -> Question[Hits]:
        return (yield Search("items", self._catalogue.index, query, k, barred, fields))

    def _asked(
        self,
        user_id: str,
        vector: NDArray[np.float32],
        by: ProfileFunction,
        wanted: Wanted,
        now_ms: int,
        *,
        exclude_seen: bool,
    ) -> Asked:
        profile = self._held.profile(user_id)
        # the sequence model was trained to be near to the vectors as they are
        query_of = self._catalogue.query if by != "fold" else self._catalogue.query_of_profile
        seen = profile.seen if exclude_seen else ()
        return Asked(profile, vector, query_of(vector, wanted), seen, wanted, now_ms)

    def _candidates(self, found: Iterable[tuple[str, float]]) -> list[Candidate]:
        return [self._candidate(*one) for one in found]

    def _candidate(self, item_id: str, score: float) -> Candidate:
        # The catalogue writes an item and its vector in one call: what is found is held.
        item = self._catalogue.held(item_id)
        return Candidate(item_id, score, item.title, item.categories)


def _scored(hits: Hits) -> list[ScoredUser]:
    return [
        ScoredUser(key, score) for key, score in zip(hits.keys, hits.scores.tolist(), strict=True)
    ]
