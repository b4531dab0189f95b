"""The users' profiles as followed from ``profiles``: of each user the newest version seen."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from store.errors import CorruptRecordError
from store.popularity import Popularity
from store.profile import version_of
from store.state_scan import unit_rows
from store.user_profile import NO_ITEMS, read_updates, unpack_seen
from store.view_image import FencesPart, ProfilesPart, take_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from store.indexes.protocol import VectorIndex
    from store.profile import Fence
    from store.record import Record, RecordTally
    from store.user_profile import UserProfile

__all__ = ["FollowedProfiles"]

logger = logging.getLogger(__name__)

#: Users whose seen items changed, before popularity is brought up to date with them.
_MOST_UNCOUNTED = 1_000
#: Users of a part: some milliseconds.
_PART = 2_048


class FollowedProfiles:
    """Keeps, per user, the highest version seen, whatever the order of the records.

    A user is either held or, once forgotten, fenced: the fence keeps older states out that a
    worker stopped past its session may still send (docs/design.md, "What holds", 6).

    Args:
        encoder_id: the encoder whose vectors these are.
        index: empty.
        tally: counts the records.
        on_changed: told, before they are indexed, of the users whose profile is another one now,
            with the one before.

    Attributes:
        applied: highest applied source offset seen, by source topic and partition.
    """

    def __init__(
        self,
        encoder_id: str,
        index: VectorIndex,
        tally: RecordTally,
        on_changed: Callable[[Sequence[tuple[str, UserProfile | None, UserProfile]]], None]
        | None = None,
    ) -> None:
        self._on_changed = on_changed
        self._encoder_id = encoder_id
        self._popularity = Popularity()
        self._uncounted: dict[str, bytes] = {}  # by user, what popularity counts of him
        self._tally = tally
        self._users: dict[str, UserProfile] = {}
        self._fences: dict[str, Fence] = {}
        self.index = index
        self.applied: dict[str, dict[int, int]] = {}

    def __len__(self) -> int:
        return len(self._users)

    def user(self, user_id: str) -> UserProfile | None:
        """The user's profile, or None."""
        return self._users.get(user_id)

    def latest(self) -> Iterable[UserProfile]:
        """All of them, those that came last first; to be read at once."""
        return reversed(self._users.values())

    def user_ids(self) -> Iterator[str]:
        """All users', those that came last first."""
        return reversed(self._users)

    def fence(self, user_id: str) -> Fence | None:
        """What a forgotten user left behind; None where the user is held or was never forgotten."""
        return self._fences.get(user_id)

    @property
    def popularity(self) -> Popularity:
        """Of the items that all users have seen by now."""
        return self.count_some(len(self._uncounted))

    def count_some(self, most: int) -> Popularity:
        """Popularity with so many users more of those whose seen items changed."""
        for _ in range(min(most, len(self._uncounted))):
            user_id, packed = self._uncounted.popitem()
            held = self._users.get(user_id)
            new = held.packed_seen if held is not None else NO_ITEMS
            try:
                old_seen, new_seen = unpack_seen(packed), unpack_seen(new)
                self._popularity.change(old_seen, new_seen)
            except CorruptRecordError as error:
                logger.warning("popularity leaves a user out: reason=%s", error)
        return self._popularity

    def forgotten_from(
        self, offsets: Mapping[tuple[str, int], int]
    ) -> list[tuple[str, str, int, int]]:
        """User, topic, partition and offset of fences at or behind these offsets."""
        return [
            (user_id, topic, fence.partition, offset)
            for user_id, fence in self._fences.items()
            for topic, offset in fence.applied.items()
            if offset >= offsets.get((topic, fence.partition), offset + 1)
        ]

    def apply(self, records: Sequence[Record]) -> NDArray[np.int64]:
        """Write the records' profiles, in one upsert.

        Returns:
            ``fresh_from`` of the states that were applied and say it: ms since the epoch.
        """
        updates, matrix, norms = read_updates(
            records, self._encoder_id, self.index.dim, self._tally, self._advance
        )
        fresh_from: list[int] = []
        applied: dict[str, int] = {}  # records by topic
        rows: dict[str, int | None] = {}  # what is to be indexed per user, None to be removed
        changed: list[tuple[str, UserProfile | None, UserProfile]] = []
        for record, user_id, row, fresh, profile, fence in updates:
            if profile is not None:
                before = self._users.get(user_id)
                if not self._replace(user_id, profile):
                    self._tally.on_stale(record)
                    continue
                changed.append((user_id, before, profile))
                rows[user_id] = row if profile.norm else None
                if fresh > 0:
                    fresh_from.append(fresh)
            else:
                if not self._remove(user_id, fence):
                    self._tally.on_stale(record)
                    continue
                rows[user_id] = None
            applied[record.topic] = applied.get(record.topic, 0) + 1
        for topic, count in applied.items():
            self._tally.on_applied(topic, count)
        if self._on_changed is not None and changed:
            self._on_changed(changed)
        self.index.delete([user_id for user_id, row in rows.items() if row is None])
        written = {user_id: row for user_id, row in rows.items() if row is not None}
        if written:
            taken = np.array(list(written.values()), np.int64)
            self.index.upsert(list(written), unit_rows(matrix, taken, norms))
        return np.array(fresh_from, np.int64)

    def parts(self) -> Iterator[ProfilesPart | FencesPart]:
        """All that is held; see `store.view_image`."""
        users = list(self._users)
        for start in range(0, len(users), _PART):
            held = {
                user_id: profile
                for user_id in users[start : start + _PART]
                if (profile := self._users.get(user_id)) is not None
            }
            vectors = take_vectors(self.index, list(held))
            yield ProfilesPart(list(held), list(held.values()), vectors)
        fenced = list(self._fences)
        for start in range(0, len(fenced), _PART):
            fences = {
                user_id: fence
                for user_id in fenced[start : start + _PART]
                if (fence := self._fences.get(user_id)) is not None
            }
            yield FencesPart(list(fences), list(fences.values()))

    def put(self, part: ProfilesPart | FencesPart) -> None:
        """Hold what a part says, whatever is held of its users.

        Raises:
            VectorIndexError: its vectors do not fit the index.
        """
        if isinstance(part, FencesPart):
            # A user may have been forgotten after the part that holds him was made.
            for user_id, fence in zip(part.users, part.fences, strict=True):
                if self._remove(user_id, fence):
                    self.index.delete([user_id])
            return
        self.index.restore([part.vectors.part()])
        for user_id, profile in zip(part.users, part.profiles, strict=True):
            before = self._users.get(user_id)
            self._users[user_id] = profile
            self._seen_changed(user_id, before)

    def _replace(self, user_id: str, profile: UserProfile) -> bool:
        """Hold the profile unless this version or a newer one is known; whether it is held."""
        held, fence = self._users.get(user_id), self._fences.get(user_id)
        if held is not None and profile.version <= held.version:
            return False
        if fence is not None:
            if profile.version <= version_of(fence.applied):
                return False
            del self._fences[user_id]
        self._users[user_id] = profile
        self._seen_changed(user_id, held)
        return True

    def _remove(self, user_id: str, fence: Fence | None) -> bool:
        """Remove the user unless a newer version is known; without a fence, always."""
        held = self._users.get(user_id)
        if fence is not None:
            version, earlier = version_of(fence.applied), self._fences.get(user_id)
            if held is not None and version < held.version:
                return False
            if earlier is not None and version <= version_of(earlier.applied):
                return False
            self._fences[user_id] = fence
        if held is not None:
            del self._users[user_id]
            self._seen_changed(user_id, held)
        return True

    def _seen_changed(self, user_id: str, before: UserProfile | None) -> None:
        self._uncounted.setdefault(user_id, NO_ITEMS if before is None else before.packed_seen)
        if len(self._uncounted) > _MOST_UNCOUNTED:
            _ = self.popularity

    def _advance(self, partition: int, applied: Mapping[str, int]) -> None:
        for topic, offset in applied.items():
            offsets = self.applied.get(topic)
            if offsets is None:
                offsets = self.applied[topic] = {}
            if offset > offsets.get(partition, -1):
                offsets[partition] = offset
