"""All that retrieval answers from, in memory: profiles, items, popularity."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from store.answers import Answers
from store.catalogue import Catalogue
from store.errors import UnknownUserError
from store.freshness import Freshness
from store.item_popularity import EXTRA
from store.online_quality import OnlineQuality
from store.ordering import Ordering
from store.profiles import FollowedProfiles
from store.ranking.image import RankingPart, parts_of_learner, put_part
from store.ranking.sampling import SampledLearning
from store.record import RecordTally
from store.sensor import Sensor
from store.view_image import ItemsPart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from store.catalogue import CatalogueItem
    from store.indexes.protocol import VectorIndex
    from store.ordering import Rank
    from store.popularity import Popularity
    from store.profile import Fence
    from store.ranker import Ranker
    from store.ranking.learner import Learner
    from store.record import Record
    from store.sequence import SequenceProfile
    from store.user_profile import UserProfile
    from store.view_image import Part

__all__ = ["RetrievalView"]

#: Users whose seen items are counted between two batches: a fraction of a millisecond. Not all: one
#: whose profile changes often is counted once.
_COUNTED_AT_ONCE = 16


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
        learned_first: changes that they are learned from beside these, see `SampledLearning`.
        learned_at_once: changes that wait for it, see `SampledLearning`.
        ranker: orders candidates where ``rank`` is ``mlp``; None: it cannot be asked for.
        rank: what orders them where a request does not say, see `settled_rank`.
        sequence: the trained profile function, of vectors of the same encoder; None for none.
        mean_removal: whether profiles are searched for without the items' mean vector.
        whitening: see `Catalogue`.

    Attributes:
        live: set once the history is read. Only then do profiles count for freshness.
        answers: what it is asked for.
    """

    def __init__(
        self,
        dim: int,
        encoder_id: str,
        index_factory: Callable[[int, Literal["items", "profiles"]], VectorIndex],
        *,
        sensor: Sensor | None = None,
        watched_per_second: float = 2.0,
        learner: Learner | None = None,
        counted_per_second: float = 2_000.0,
        learned_per_second: float = 20.0,
        learned_first: int = 0,
        learned_at_once: int = 1,
        ranker: Ranker | None = None,
        rank: Rank = "nearest",
        sequence: SequenceProfile | None = None,
        mean_removal: bool = True,
        whitening: float = 0.0,
    ) -> None:
        if ranker is not None:
            ranker.require(encoder_id, dim, mean_removal=mean_removal)
        self.dim = dim
        self.encoder_id = encoder_id
        self.sequence, self.ranker = sequence, ranker
        self._whitening = whitening
        self.live = False
        self._sensor: Sensor = Sensor() if sensor is None else sensor
        self.records = RecordTally(encoder_id, self._sensor)
        self.freshness = Freshness()
        items = index_factory(dim + EXTRA, "items")
        self.learner = learner
        self._catalogue = Catalogue(
            encoder_id, dim, items, self.records, learner,
            mean_removal=mean_removal, whitening=whitening,
        )  # fmt: skip
        profiles = index_factory(dim, "profiles")
        self._learning = (
            None
            if learner is None
            else SampledLearning(
                learner,
                profiles.get,
                counted_per_second=counted_per_second,
                learned_per_second=learned_per_second,
                learned_first=learned_first,
                at_once=learned_at_once,
            )
        )
        self._profiles = FollowedProfiles(encoder_id, profiles, self.records, self._learning)
        self.answers = Answers(
            self,
            self._catalogue,
            self._profiles,
            Ordering(self._catalogue, dim, ranker, learner, rank),
        )
        self._quality = OnlineQuality(
            self._profiles, self._catalogue, self.answers.nearest_items, self._sensor,
            served=None if rank == "nearest" else partial(self.answers.best_items, rank),
            per_second=watched_per_second,
        )  # fmt: skip
        # Also before the first record there is something to be told.
        for name, index in (("items", items), ("profiles", self._profiles.index)):
            self._sensor.on_index_size(name, len(index))

    @property
    def mean_removal(self) -> bool:
        """Whether profiles are searched for without the items' mean, now."""
        return self._catalogue.mean_removal

    @property
    def whitening(self) -> float:
        """The power by which they are turned as well; 0: they are not."""
        return self._whitening if self.mean_removal else 0.0

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
        self._begin_learning()
        if self._learning is not None:
            self._learning.now_ms = now_ms()
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
        # First, so that items have the same codes where this is put back. One that does not know
        # all of the history yet is not kept: the rest of it would never be counted.
        if self._learning is not None and self.learner is not None:
            self._learning.catch_up()
            if not self._learning.counts_history:
                yield from parts_of_learner(self.learner)
        yield from self._catalogue.parts()
        yield from self._profiles.parts()

    def put(self, part: Part) -> None:
        """Hold what a part of `parts` says. Raises `VectorIndexError` where it does not fit."""
        if isinstance(part, RankingPart):
            if self._learning is not None and self.learner is not None:
                self._learning.restored |= put_part(self.learner, part)
        elif isinstance(part, ItemsPart):
            self._catalogue.put(part)
            self._sensor.on_index_size("items", len(self._catalogue.index))
        else:
            self._profiles.put(part)
            self._sensor.on_index_size("profiles", len(self._profiles.index))

    def put_applied(self, applied: Mapping[str, Mapping[int, int]]) -> None:
        """What `applied` was when the first part was made."""
        self._profiles.applied = {topic: dict(offsets) for topic, offsets in applied.items()}

    def maintain(self) -> bool:
        """Do some of the work that was put off; whether the indexes have more."""
        self._begin_learning()
        if self._learning is not None:
            self._learning.between_batches()
        self._catalogue.follow(self._profiles.count_some(_COUNTED_AT_ONCE))
        if self.live:
            self._catalogue.refresh()
        more = False
        for name, index in (("items", self._catalogue.index), ("profiles", self._profiles.index)):
            more |= index.maintain()
            if index.recall is not None:
                self._sensor.on_recall(name, index.recall)
        return more

    def _begin_learning(self) -> None:
        if self.live and self._learning is not None and not self._learning.live:
            self._learning.begin(self._profiles.latest())

    def begin_serving(self) -> None:
        """Now it is asked: tell the sensor what is held, and forget how fresh it was until now."""
        self.freshness = Freshness()
        self._catalogue.refresh()
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
