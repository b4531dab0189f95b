"""All that retrieval answers from, in memory: profiles, items, popularity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from store.batch_search import search_each
from store.catalogue import ANY, Catalogue
from store.errors import UnknownUserError
from store.freshness import Freshness
from store.item_popularity import EXTRA
from store.online_quality import K, OnlineQuality
from store.ordering import Asked, Ordering
from store.profiles import FollowedProfiles
from store.query_vectors import query_vectors
from store.question import Search, answered
from store.ranking.image import RankingPart, parts_of_learner, put_part
from store.ranking.sampling import SampledLearning
from store.record import RecordTally
from store.sensor import Sensor
from store.view_image import ItemsPart, ProfilesPart

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from store.catalogue import CatalogueItem, Wanted
    from store.indexes.protocol import Hits, VectorIndex
    from store.ordering import Rank
    from store.popularity import Popularity
    from store.profile import Fence
    from store.query_vectors import ProfileFunction
    from store.question import Question
    from store.ranker import Ranker
    from store.ranking.learner import Learner
    from store.record import Record
    from store.sequence import SequenceProfile
    from store.user_profile import UserProfile
    from store.view_image import Part

__all__ = ["Candidate", "RetrievalView", "ScoredUser"]

#: Users whose seen items are counted between two batches: a fraction of a millisecond. Not all: one
#: whose profile changes often is counted once.
_COUNTED_AT_ONCE = 16


# A batch makes many thousands of these, which go as they are into the answer.


@dataclass(slots=True)
class Candidate:
    """An item retrieved.

    ``score`` is a cosine, with what was asked to be added for popularity; or, where popularity
    alone ranked it, a count of users; or, where the learned blend or a ranker did, what it gives.
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


class RetrievalView:
    """What the topics ``profiles`` and ``item-vectors`` say, ready to be searched.

    Every method is called by one owner thread; there is no I/O and no clock in it. It is a pure
    function of the records' latest versions, and can be rebuilt from them.

    Args:
        dim: length of all vectors.
        encoder_id: the encoder whose vectors these are; records of others are not mixed in.
        index_factory: makes an empty index of a dim, for what is named.
        sensor: told what happens.
        watched_per_second: profiles whose changes are looked at; see `OnlineQuality`.
        learner: ranks candidates by what it learns from the profiles' changes; None: nothing does.
        counted_per_second: changes that it counts, at most.
        learned_per_second: of these, that its weights are learned from.
        learned_at_once: changes that wait for it, see `SampledLearning`.
        ranker: orders candidates where ``rank`` is ``mlp``; None: it cannot be asked for.
        rank: what orders them where a request does not say, see `settled_rank`.
        sequence: the trained profile function, of vectors of the same encoder; None for none.

    Attributes:
        live: set once the history is read. Only then do profiles count for freshness.
    """

    def __init__(
        self,
        dim: int,
        encoder_id: str,
        index_factory: Callable[[int, Literal["items", "profiles"]], VectorIndex],
        *,
        sensor: Sensor | None = None,
        watched_per_second: float = 10.0,
        learner: Learner | None = None,
        counted_per_second: float = 2_000.0,
        learned_per_second: float = 20.0,
        learned_at_once: int = 1,
        ranker: Ranker | None = None,
        rank: Rank = "nearest",
        sequence: SequenceProfile | None = None,
    ) -> None:
        if ranker is not None:
            ranker.require(encoder_id, dim)
        self.dim = dim
        self.encoder_id = encoder_id
        self.sequence = sequence
        self.live = False
        self._sensor: Sensor = Sensor() if sensor is None else sensor
        self.records = RecordTally(encoder_id, self._sensor)
        self.freshness = Freshness()
        items = index_factory(dim + EXTRA, "items")
        self.learner = learner
        self._ranking_was_put = False
        self._catalogue = Catalogue(encoder_id, dim, items, self.records, learner)
        self._ordering = Ordering(self._catalogue, dim, ranker, learner, rank)
        profiles = index_factory(dim, "profiles")
        self._learning = (
            None
            if learner is None
            else SampledLearning(
                learner,
                profiles.get,
                counted_per_second=counted_per_second,
                learned_per_second=learned_per_second,
                at_once=learned_at_once,
            )
        )
        self._profiles = FollowedProfiles(encoder_id, profiles, self.records, self._learning)
        self._quality = OnlineQuality(
            self._profiles, self._catalogue, self._nearest_items, self._sensor,
            served=None if rank == "nearest" else partial(self._best, rank),
            per_second=watched_per_second,
        )  # fmt: skip
        # Also before the first record there is something to be told.
        for name, index in (("items", items), ("profiles", self._profiles.index)):
            self._sensor.on_index_size(name, len(index))

    @property
    def mismatch(self) -> str | None:
        """Why the topics' vectors do not fit this service, in one line; None where they do."""
        return self.records.mismatch

    @property
    def kinds(self) -> dict[str, str]:
        """What the indexes are at the moment, by their names; also asked by other threads."""
        return {"items": self._catalogue.index.kind, "profiles": self._profiles.index.kind}

    @property
    def recall(self) -> dict[str, float]:
        """Of the true best so much is found, by index; of those that do not look at all."""
        indexes = {"items": self._catalogue.index, "profiles": self._profiles.index}
        return {name: index.recall for name, index in indexes.items() if index.recall is not None}

    @property
    def applied(self) -> dict[str, dict[int, int]]:
        """Highest applied source offset seen, by source topic and partition; a copy."""
        return {topic: dict(offsets) for topic, offsets in self._profiles.applied.items()}

    @property
    def popularity(self) -> Popularity:
        """How many users have recently seen each item."""
        return self._profiles.popularity

    @property
    def profile_count(self) -> int:
        """Users held."""
        return len(self._profiles)

    @property
    def item_count(self) -> int:
        """Items held."""
        return len(self._catalogue)

    def apply_profiles(self, records: Sequence[Record], now_ms: Callable[[], int]) -> None:
        """Write records of ``profiles``, in one upsert of the index.

        Args:
            records: states and tombstones. What cannot be read is counted, logged and skipped.
            now_ms: wall clock, ms since the epoch; asked when all is written: where freshness ends.
        """
        # While the history is read, nobody was there to retrieve anything.
        watched = self._quality.before(records, now_ms()) if self.live else []
        if self._learning is not None:
            self._learning.live, self._learning.now_ms = self.live, now_ms()
        published = self._profiles.apply(records)
        self._quality.after(watched)
        if self.live and len(published) > 0:
            # producers' and brokers' clocks may run ahead of ours
            seconds = np.maximum(now_ms() - published, 0) / 1000
            self.freshness.observe(seconds)
            self._sensor.on_freshness(seconds)
        self._sensor.on_index_size("profiles", len(self._profiles.index))

    def apply_items(self, records: Iterable[Record]) -> None:
        """Write records of ``item-vectors``, in one upsert of the index."""
        self._catalogue.apply(records)
        self._sensor.on_index_size("items", len(self._catalogue.index))

    def parts(self) -> Iterator[Part]:
        """All that is held, to be written down beside serving; see `store.view_image`."""
        # First, so that items have the same codes where this is put back.
        if self.learner is not None and self._learning is not None:
            self._learning.catch_up()
            yield from parts_of_learner(self.learner)
        yield from self._catalogue.parts()
        yield from self._profiles.parts()

    def put(self, part: Part) -> None:
        """Hold what a part of `parts` says. Raises `VectorIndexError` where it does not fit."""
        if isinstance(part, RankingPart):
            if self.learner is not None:
                self._ranking_was_put |= put_part(self.learner, part)
        elif isinstance(part, ItemsPart):
            self._catalogue.put(part)
            self._sensor.on_index_size("items", len(self._catalogue.index))
        else:
            self._profiles.put(part)
            if (
                self._learning is not None
                and not self._ranking_was_put
                and isinstance(part, ProfilesPart)
            ):
                self._learning.put(part.profiles)
            self._sensor.on_index_size("profiles", len(self._profiles.index))

    def put_applied(self, applied: Mapping[str, Mapping[int, int]]) -> None:
        """What `applied` was when the first part was made."""
        self._profiles.applied = {topic: dict(offsets) for topic, offsets in applied.items()}

    def maintain(self, *, idle: bool = False) -> bool:
        """Do some of the work that was put off; whether the indexes have more.

        Args:
            idle: nothing waits to be applied.
        """
        if idle and self._learning is not None:
            self._learning.catch_up()
        self._catalogue.follow(self._profiles.count_some(_COUNTED_AT_ONCE))
        more = False
        for name, index in (("items", self._catalogue.index), ("profiles", self._profiles.index)):
            more |= index.maintain()
            if index.recall is not None:
                self._sensor.on_recall(name, index.recall)
        return more

    def begin_serving(self) -> None:
        """Now it is asked: tell the sensor what is held, and forget how fresh it was until now."""
        self.freshness = Freshness()
        self._sensor.on_index_size("profiles", len(self._profiles.index))
        self._sensor.on_index_size("items", len(self._catalogue.index))

    def close(self) -> None:
        """Let go of the indexes' threads and files. May be called again."""
        self._catalogue.index.close()
        self._profiles.index.close()

    def has_applied(self, user_id: str, topic: str, partition: int, offset: int) -> bool:
        """Whether the user's state or fence contains this source offset."""
        held = self._profiles.user(user_id) or self._profiles.fence(user_id)
        return (
            held is not None
            and held.partition == partition
            and held.applied.get(topic, -1) >= offset
        )

    def forgotten_from(
        self, offsets: Mapping[tuple[str, int], int]
    ) -> list[tuple[str, str, int, int]]:
        """Who was forgotten by records at or behind these offsets of their topics and partitions.

        As `has_applied` takes them: user, topic, partition, offset.
        """
        return self._profiles.forgotten_from(offsets)

    def fence(self, user_id: str) -> Fence | None:
        """What a forgotten user left behind, or None."""
        return self._profiles.fence(user_id)

    def profile(self, user_id: str) -> UserProfile:
        """What is held of a user, beside the vector.

        Raises:
            UnknownUserError: nothing is.
        """
        found = self._profiles.user(user_id)
        if found is None:
            raise UnknownUserError(f"user {user_id!r} has no profile")
        return found

    def vector(self, user_id: str) -> NDArray[np.float32]:
        """The user's p, ``(dim,) float32``, not normalised. Raises as `profile`."""
        norm = self.profile(user_id).norm
        unit = self._profiles.index.get([user_id]).get(user_id)
        return np.zeros(self.dim, dtype=np.float32) if unit is None else unit * np.float32(norm)

    def holds_user(self, user_id: str) -> bool:
        """Whether the user has a profile."""
        return self._profiles.user(user_id) is not None

    def user_ids(self) -> Iterator[str]:
        """All users', those that came last first; to be read at once."""
        return self._profiles.user_ids()

    def item_ids(self) -> Iterator[str]:
        """All items', those that came last first; to be read at once."""
        return self._catalogue.item_ids()

    def directions(self, user_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """As `direction`, of those of the users that have one."""
        return self._profiles.index.get(user_ids)

    def item_vectors(self, item_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """As `item_vector`, of those of the items that are held."""
        found = self._catalogue.index.get(item_ids)
        return {item_id: row[: self.dim] for item_id, row in found.items()}

    def item(self, item_id: str) -> CatalogueItem | None:
        """The item, or None."""
        return self._catalogue.item(item_id)

    def item_vector(self, item_id: str) -> NDArray[np.float32] | None:
        """The item's unit vector, ``(dim,) float32``, or None."""
        return self._catalogue.vector(item_id) if item_id in self._catalogue else None

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
        vector = query_vectors(self, [user_id], by)[0]
        if isinstance(vector, UnknownUserError):
            raise vector
        asked = self._asked(user_id, vector, wanted, now_ms, exclude_seen=exclude_seen)
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
        for user_id, vector in zip(user_ids, query_vectors(self, user_ids, by), strict=True):
            if isinstance(vector, UnknownUserError):
                answers.append(vector)
                continue
            asking.append(self._asked(user_id, vector, wanted, now_ms, exclude_seen=exclude_seen))
            places.append(len(answers))
            answers.append([])
        if asking:
            rows = self._catalogue.query(np.stack([one.direction for one in asking]), wanted)
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
        profile, direction = self.profile(user_id), self.direction(user_id)
        return self._ordering.learned().parts(profile, direction, item_ids, now_ms)

    def popular(
        self, k: int, *, wanted: Wanted = ANY, exclude: Collection[str] = ()
    ) -> list[Candidate]:
        """The k items that most users have recently seen, scored by how many have.

        Raises:
            UnknownCategoryError: no item is of this category.
        """
        self._catalogue.fields(wanted)  # says what is wrong with it
        popularity, barred, qualifies = self.popularity, set(exclude), self._catalogue.qualifies
        top = popularity.top(k, lambda one: one not in barred and qualifies(one, wanted))
        return [self._candidate(item_id, popularity.count(item_id)) for item_id in top]

    def ask_neighbours(self, user_id: str, k: int) -> Question[list[ScoredUser]]:
        """The k users nearest to a user, without that user. Raises `UnknownUserError`."""
        query = self.direction(user_id)
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
        return (yield from self._ask_items(vector, k, (), wanted))

    def ask_profiles(self, vector: NDArray[np.float32], k: int) -> Question[list[ScoredUser]]:
        """The k users nearest to a vector, ``(dim,) float32``. Raises `VectorIndexError`."""
        return _scored((yield Search("profiles", self._profiles.index, vector, k, (), {})))

    def direction(self, user_id: str) -> NDArray[np.float32]:
        """The user's p at length 1, ``(dim,) float32``.

        Raises:
            UnknownUserError: the user has no profile, or one of norm 0.
        """
        self.profile(user_id)
        unit = self._profiles.index.get([user_id]).get(user_id)
        if unit is None:
            raise UnknownUserError(
                f"user {user_id!r} has a profile of norm 0: there is no direction to search in"
            )
        return unit

    def _ask_items(
        self, vector: NDArray[np.float32], k: int, barred: Collection[str], wanted: Wanted
    ) -> Question[list[Candidate]]:
        fields, query = self._catalogue.fields(wanted), self._catalogue.query(vector, wanted)
        return self._found((yield Search("items", self._catalogue.index, query, k, barred, fields)))

    def _nearest_items(self, unit: NDArray[np.float32], seen: Collection[str]) -> list[str]:
        asked = self._ask_items(unit, K, seen, ANY)
        return [one.item_id for one in answered(asked)]

    def _best(
        self, rank: Rank, profile: UserProfile, unit: NDArray[np.float32], now_ms: int
    ) -> list[str]:
        asked = Asked(profile, unit, profile.seen, ANY, now_ms)
        return [item_id for item_id, _ in answered(self._ask_best(asked, K, rank))]

    def _ask_best(self, asked: Asked, k: int, rank: Rank) -> Question[Sequence[tuple[str, float]]]:
        depth, fields = self._ordering.depth(k, rank), self._catalogue.fields(asked.wanted)
        query = self._catalogue.query(asked.direction, asked.wanted)
        hits = yield Search("items", self._catalogue.index, query, depth, asked.seen, fields)
        return self._ordering.best(asked, hits, k, rank)

    def _asked(
        self,
        user_id: str,
        vector: NDArray[np.float32],
        wanted: Wanted,
        now_ms: int,
        *,
        exclude_seen: bool,
    ) -> Asked:
        profile = self.profile(user_id)
        return Asked(profile, vector, profile.seen if exclude_seen else (), wanted, now_ms)

    def _found(self, hits: Hits) -> list[Candidate]:
        return self._candidates(zip(hits.keys, hits.scores.tolist(), strict=True))

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
