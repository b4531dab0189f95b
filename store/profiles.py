"""The users' profiles as followed from ``profiles``: of each user the newest version seen."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np

from store.errors import CorruptRecordError
from store.popularity import Popularity
from store.profile import (
    Contribution,
    Fence,
    check_profile,
    decode_fence,
    version_of,
)
from store.record import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from store.indexes.protocol import VectorIndex
    from store.record import Record, RecordTally

__all__ = ["FollowedProfiles", "FollowedState", "UserProfile"]

logger = logging.getLogger(__name__)

_contributions = msgspec.msgpack.Decoder(list[Contribution])
_seen = msgspec.msgpack.Decoder(tuple[str, ...])
#: Users whose seen items changed, before popularity is brought up to date with them.
_MOST_UNCOUNTED = 1_000
_NOTHING = b"\x90"
T = TypeVar("T")


class FollowedState(msgspec.Struct, kw_only=True, gc=False):
    """What is read at once of a `ProfileState`; its lists wait until someone asks.

    A busy user's state holds hundreds of ids and comes many times a second: read each time, they
    would cost ten times the rest.
    """

    encoder: str
    dim: int
    vector: bytes
    count: int
    last_ts: int
    partition: int
    applied: dict[str, int]
    fresh_from: int = 0
    contributions: msgspec.Raw = msgspec.Raw(_NOTHING)
    seen: msgspec.Raw = msgspec.Raw(_NOTHING)
    v: int = 1


_state = msgspec.msgpack.Decoder(FollowedState)


def _decode(value: bytes) -> FollowedState:
    try:
        state = _state.decode(value)
    except msgspec.MsgspecError as error:
        raise CorruptRecordError(
            f"a record of the profiles topic cannot be read: {error}"
        ) from error
    check_profile(state)
    return state


class UserProfile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is kept of a `ProfileState` beside its vector, which only the index holds.

    In no reference cycle, and there may be millions: the cycle collector need not visit them.

    Attributes:
        version: `version_of` the applied offsets.
        norm: of the vector p; 0 where the user's actions cancel out and p is not indexed.
        packed_seen, packed_contributions: still in MessagePack, a tenth of the objects' memory.
    """

    version: int
    count: int
    last_ts: int
    norm: float
    partition: int
    applied: dict[str, int]
    packed_seen: bytes
    packed_contributions: bytes

    @property
    def seen(self) -> tuple[str, ...]:
        """Recently seen item ids, oldest first."""
        return _unpacked(_seen, self.packed_seen)

    @property
    def contributions(self) -> list[Contribution]:
        """The latest contributions, oldest first."""
        return _unpacked(_contributions, self.packed_contributions)


def _unpacked(decoder: msgspec.msgpack.Decoder[T], packed: bytes) -> T:
    try:
        return decoder.decode(packed)
    except msgspec.MsgspecError as error:
        raise CorruptRecordError(f"a list in a profile cannot be read: {error}") from error


class FollowedProfiles:
    """Keeps, per user, the highest version seen, whatever the order of the records.

    A user is either held or, once forgotten, fenced: the fence keeps older states out that a
    worker stopped past its session may still send (design: Correctness 5a).

    Attributes:
        applied: highest applied source offset seen, by source topic and partition.
    """

    def __init__(self, encoder_id: str, index: VectorIndex, tally: RecordTally) -> None:
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

    def users(self) -> Iterable[UserProfile]:
        """All of them, in no order."""
        return self._users.values()

    def fence(self, user_id: str) -> Fence | None:
        """What a forgotten user left behind; None where the user is held or was never forgotten."""
        return self._fences.get(user_id)

    @property
    def popularity(self) -> Popularity:
        """Of the items that all users have seen by now."""
        uncounted, self._uncounted = self._uncounted, {}
        for user_id, packed in uncounted.items():
            held = self._users.get(user_id)
            new = held.packed_seen if held is not None else _NOTHING
            try:
                old_seen, new_seen = _unpacked(_seen, packed), _unpacked(_seen, new)
                self._popularity.change(old_seen, new_seen)
            except CorruptRecordError as error:
                logger.warning("popularity leaves a user out: user=%s reason=%s", user_id, error)
        return self._popularity

    def apply(self, records: Iterable[Record]) -> NDArray[np.int64]:
        """Write the records' profiles, in one upsert.

        Returns:
            ``fresh_from`` of the states that were applied and say it: ms since the epoch.
        """
        changes, matrix, norms = self._read_all(records)
        fresh_from: list[int] = []
        applied: dict[str, int] = {}  # records by topic
        rows: dict[str, int | None] = {}  # what is to be indexed per user, None to be removed
        for record, user_id, change, row in changes:
            if isinstance(change, FollowedState):
                if not self._replace(user_id, change, float(norms[row])):
                    self._tally.on_stale(record)
                    continue
                rows[user_id] = row if norms[row] else None
                if change.fresh_from > 0:
                    fresh_from.append(change.fresh_from)
            else:
                if not self._remove(user_id, change):
                    self._tally.on_stale(record)
                    continue
                rows[user_id] = None
            applied[record.topic] = applied.get(record.topic, 0) + 1
        for topic, count in applied.items():
            self._tally.on_applied(topic, count)
        self.index.delete([user_id for user_id, row in rows.items() if row is None])
        written = {user_id: row for user_id, row in rows.items() if row is not None}
        if written:
            taken = list(written.values())
            units = matrix[taken] * (1.0 / norms[taken, np.newaxis])
            self.index.upsert(list(written), units.astype(np.float32))
        return np.array(fresh_from, np.int64)

    def _read_all(
        self, records: Iterable[Record]
    ) -> tuple[
        list[tuple[Record, str, FollowedState | Fence | None, int]],
        NDArray[np.float32],
        NDArray[np.float64],
    ]:
        """What can be applied, with its row in the matrix of all vectors and their norms."""
        read: list[tuple[Record, str, FollowedState | Fence | None, int]] = []
        vectors: list[bytes] = []
        for record in records:
            try:
                user_id = key_of(record)
                if record.value is None:
                    fence = decode_fence(record.headers)
                    if fence is not None:
                        self._advance(fence.partition, fence.applied)
                    read.append((record, user_id, fence, -1))
                    continue
                state = _decode(record.value)
                if state.encoder == self._encoder_id and state.dim != self.index.dim:
                    raise CorruptRecordError(  # noqa: TRY301 - handled as the other causes are
                        f"a profile has {state.dim} values; expected {self.index.dim}"
                    )
            except CorruptRecordError as error:
                self._tally.on_corrupt(record, error)
                continue
            self._advance(state.partition, state.applied)
            if state.encoder != self._encoder_id:
                self._tally.on_foreign(record, state.encoder)
                continue
            read.append((record, user_id, state, len(vectors)))
            vectors.append(state.vector)
        matrix = np.frombuffer(b"".join(vectors), dtype="<f4").reshape(-1, self.index.dim)
        with np.errstate(invalid="ignore"):
            norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
        # In float64 squares of finite float32 cannot overflow: a norm is finite iff its row is.
        if not np.isfinite(norms).all():
            read = [one for one in read if self._is_finite(one[0], one[3], norms)]
        return read, matrix, norms

    def _is_finite(self, record: Record, row: int, norms: NDArray[np.float64]) -> bool:
        if row < 0 or np.isfinite(norms[row]):
            return True
        self._tally.on_corrupt(record, CorruptRecordError("a profile holds NaN or infinity"))
        return False

    def _replace(self, user_id: str, state: FollowedState, norm: float) -> bool:
        """Hold the state unless this version or a newer one is known; says whether it is held."""
        held, fence = self._users.get(user_id), self._fences.get(user_id)
        version = version_of(state.applied)
        if held is not None and version <= held.version:
            return False
        if fence is not None and version <= version_of(fence.applied):
            return False
        self._fences.pop(user_id, None)
        self._users[user_id] = UserProfile(
            version=version,
            count=state.count,
            last_ts=state.last_ts,
            norm=norm,
            partition=state.partition,
            applied=state.applied,
            # Copies: as they are, they would keep the whole record alive.
            packed_seen=bytes(state.seen),
            packed_contributions=bytes(state.contributions),
        )
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
        self._uncounted.setdefault(user_id, _NOTHING if before is None else before.packed_seen)
        if len(self._uncounted) > _MOST_UNCOUNTED:
            _ = self.popularity

    def _advance(self, partition: int, applied: Mapping[str, int]) -> None:
        for topic, offset in applied.items():
            offsets = self.applied.get(topic)
            if offsets is None:
                offsets = self.applied[topic] = {}
            if offset > offsets.get(partition, -1):
                offsets[partition] = offset
