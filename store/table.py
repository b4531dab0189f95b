"""The profiles of one partition, in columns, as the worker that owns it keeps them.

All that decides whether an action counts (fence, duplicates, forgotten users) and all that it
changes is here, without I/O: the same records give the same table, however they were batched.
No Python object is made per action or per user but the bytes to publish.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from store.batch import ActionBatch, Changes, Pairs, Vocabulary, check_batch
from store.columns import (
    FENCED,
    LISTED,
    UNKNOWN,
    make_room,
    mark,
    new_columns,
    reserve_rows,
    reserve_users,
)
from store.encode import Pieces, Strings, encode_users, make_pieces
from store.errors import EncoderMismatchError
from store.fold import OUTCOMES, SKIP, Actions, Rule, apply_actions
from store.image import copy_image, ends_of, put_image
from store.interner import Interner
from store.profile import Fence, ProfileState, decode_profile, encode_fence
from store.robustness import Robustness
from store.states import Codes, contributions_of, image_of, strings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from store.image import Image
    from store.policies import Policy

__all__ = [
    "ActionBatch",
    "Changes",
    "Identity",
    "Memory",
    "ProfileTable",
    "TableCopy",
    "Vocabulary",
]

#: Encoded at a time: small enough to stay in the processor's cache.
_BUFFER_BYTES = 1 << 18
#: States taken over at a time, so that their objects do not all exist at once.
_TAKEN_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class Identity:
    """What must agree between profiles that are kept together."""

    encoder: str
    dim: int
    policy: Policy


@dataclass(frozen=True, slots=True)
class Memory:
    """How much of a user's past is kept beside the vector."""

    seen: int = 200
    contributions: int = 10
    event_ids: int = 32


@dataclass(frozen=True, slots=True)
class TableCopy:
    """A table as it stood, which may be read while the table goes on (see `store.snapshot`).

    Attributes:
        users: codes of all users held, in ``keys``.
        image: what is held of them.
        keys, actions, items: what the codes stand for.
    """

    partition: int
    identity: Identity
    topics: tuple[str, ...]
    users: NDArray[np.int32]
    image: Image
    keys: Strings
    actions: Strings
    items: Strings


class ProfileTable:
    """See the module. Used by one thread at a time.

    Args:
        partition: of the source topics and of ``profiles``.
        identity: encoder, dimension and policy of every profile in it.
        memory: how much of a user's past to keep.
        vocabulary: what the codes of actions and items stand for.
        robustness: what is capped, and what counts less; by default nothing.
    """

    def __init__(
        self,
        partition: int,
        identity: Identity,
        memory: Memory,
        vocabulary: Vocabulary,
        robustness: Robustness | None = None,
    ) -> None:
        self.partition = partition
        self._identity = identity
        self._vocabulary = vocabulary
        self._rule = Rule(identity.policy.code, *identity.policy.parameters())
        self._guards = (Robustness() if robustness is None else robustness).guards()
        self._keys = Interner()
        self._columns = new_columns(
            identity.dim, memory.seen, memory.contributions, memory.event_ids
        )
        self._topics: list[str] = []
        self._pieces = self._make_pieces()
        self._buffer = np.empty(_BUFFER_BYTES, np.uint8)

    def __len__(self) -> int:
        return int(self._columns.next_row[0] - 1 - self._columns.free[0])

    def __contains__(self, user_id: object) -> bool:
        return isinstance(user_id, str) and self._row(self._find(user_id)) > 0

    def take_over(self, user_id: str, found: ProfileState | Fence) -> None:
        """Continue from what was published: a state, or a forgotten user's fence.

        Of windows that are longer than the memory allows, the latest entries are kept.

        Raises:
            EncoderMismatchError: it was made by another encoder or policy.
        """
        actions, items = Codes(self._vocabulary.actions), Codes(self._vocabulary.items)
        self._take_over([user_id.encode()], [found], actions, items)

    def take_over_many(self, users: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Continue from many published states, of which a user's last one counts.

        Args:
            users: their ids, UTF-8.
            values: the states, as `encode_profile` gives them.

        Raises:
            CorruptRecordError: a value cannot be read. Those before it may be taken over.
            EncoderMismatchError: it was made by another encoder or policy.
        """
        reserve_rows(self._columns, len(users))
        actions, items = Codes(self._vocabulary.actions), Codes(self._vocabulary.items)
        for start in range(0, len(users), _TAKEN_AT_ONCE):
            end = start + _TAKEN_AT_ONCE
            states = [decode_profile(one) for one in values[start:end]]
            self._take_over(users[start:end], states, actions, items)

    def apply(
        self, topic: str, batch: ActionBatch, vectors: NDArray[np.float32]
    ) -> dict[tuple[str, str], int]:
        """Fold actions of one source topic's partition, in offset order.

        Args:
            topic: the source topic, whose fence is checked and moved.
            batch: in offset order.
            vectors: ``(m, dim) float32`` unit rows.

        Returns:
            Counts by action and outcome (see `OUTCOMES`); those that are not 0. An outlier is
            applied too, by less than its strength.

        Raises:
            ValueError: the columns do not fit each other, the vectors or the vocabulary.
        """
        check_batch(batch, vectors, self._identity.dim, self._vocabulary)
        column = self._topic(topic)
        # What was rejected leaves no trace, not even its key.
        starts = np.where(batch.rows == SKIP, -1, batch.user_starts)
        users = self._keys.codes(batch.users, starts, batch.user_ends, insert=True)
        reserve_users(self._columns, len(self._keys))
        actions = Actions(
            users, batch.offsets, batch.published, batch.ts, batch.actions, batch.items,
            batch.events, batch.weights, batch.strengths, batch.rows,
        )  # fmt: skip
        outcomes = np.zeros((len(self._vocabulary.actions), len(OUTCOMES)), np.int64)
        done = 0
        while True:
            done = apply_actions(
                self._columns, column, actions, vectors, self._rule, self._guards, done, outcomes
            )
            if done == len(users):
                break
            make_room(self._columns)
        return {
            (self._vocabulary.actions.key(code).decode(), OUTCOMES[outcome]): int(
                outcomes[code, outcome]
            )
            for code, outcome in np.argwhere(outcomes).tolist()
        }

    def source_ends(self) -> dict[str, int]:
        """By source topic the offset after the highest that any user has applied."""
        highest = self._columns.users.next_offset.max(axis=0, initial=0).tolist()
        return dict(zip(self._topics, highest, strict=True))

    def touch(self, user_id: str) -> None:
        """Publish this user again with the next changes; nothing where the user is unknown."""
        code = self._find(user_id)
        if self._row(code) != UNKNOWN:
            mark(self._columns, code, LISTED)

    def take_changes(self) -> Changes:
        """All users changed, forgotten or touched since the last call, each once.

        The caller publishes them before it lets the offsets be committed.
        """
        columns = self._columns
        users = columns.users.listed[: columns.listed[0]].copy()
        fenced = columns.users.row[users] == FENCED
        states = self._encode(users[~fenced])
        forgotten = [
            (self._keys.key(user), encode_fence(self._fence(user)))
            for user in users[fenced].tolist()
        ]
        columns.users.marks[users] = 0
        columns.listed[0] = 0
        return Changes(states, forgotten)

    def version(self, user_id: str) -> int | None:
        """`version_of` what is held of the user, state or fence; None for an unknown one."""
        code = self._find(user_id)
        if self._row(code) == UNKNOWN:
            return None
        return int(self._columns.users.next_offset[code].sum())

    def versions(self, users: Sequence[bytes]) -> NDArray[np.int64]:
        """`version` of many users, ids in UTF-8: ``(n,) int64``; -1 for an unknown one."""
        ends = ends_of([len(user) for user in users])
        keys = np.frombuffer(b"".join(users), np.uint8)
        codes = self._keys.codes(keys, ends[:-1], ends[1:], insert=False)
        held = self._columns.users
        if not len(self._keys):
            return np.full(len(users), -1, np.int64)
        known = (codes >= 0) & (held.row[codes] != UNKNOWN)
        found: NDArray[np.int64] = np.where(known, held.next_offset[codes].sum(axis=1), -1)
        return found

    def state(self, user_id: str) -> ProfileState:
        """The user's state as it is to be published; slow.

        Raises:
            KeyError: the user has no profile.
        """
        code = self._find(user_id)
        if self._row(code) <= 0:
            raise KeyError(f"user {user_id!r} has no profile in this table")
        image = copy_image(self._columns, np.array([code], np.int32))
        return ProfileState(
            encoder=self._identity.encoder,
            policy=self._identity.policy.identity,
            dim=self._identity.dim,
            vector=image.vector.astype("<f4").tobytes(),
            count=int(image.counts[0]),
            mass=float(image.mass[0]),
            sum_k=float(image.sum_k[0]),
            sum_k2=float(image.sum_k2[0]),
            last_ts=int(image.last_ts[0]),
            partition=self.partition,
            applied=self._applied(code),
            fresh_from=int(image.fresh_from[0]),
            forgotten_ts=int(image.forgotten_ts[0]),
            contributions=contributions_of(image, self._vocabulary.actions, self._vocabulary.items),
            seen=strings_of(self._vocabulary.items, image.seen),
            event_ids=image.events.tolist(),
            paced=float(image.paced[0]),
            cos_mean=float(image.cos_mean[0]),
            cos_var=float(image.cos_var[0]),
        )

    def fence(self, user_id: str) -> Fence | None:
        """A forgotten user's fence as it is to be published with the tombstone."""
        code = self._find(user_id)
        return self._fence(code) if self._row(code) == FENCED else None

    def copy(self) -> TableCopy:
        """All that is held, as it stands now: a copy of its memory, no more."""
        held = self._columns.users.row[: len(self._keys)]
        users = np.flatnonzero(held != UNKNOWN).astype(np.int32)
        return TableCopy(
            partition=self.partition,
            identity=self._identity,
            topics=tuple(self._topics),
            users=users,
            image=copy_image(self._columns, users),
            keys=_strings(self._keys),
            actions=_strings(self._vocabulary.actions),
            items=_strings(self._vocabulary.items),
        )

    def put(self, users: NDArray[np.int32], topics: Sequence[str], image: Image) -> None:
        """Hold what an image says of these users, instead of what is held of them.

        Args:
            users: ``(n,)`` codes of `keys`, the image's users.
            topics: the source topics of its offsets.
            image: in codes of the vocabulary.
        """
        columns = np.array([self._topic(topic) for topic in topics], np.int64)
        reserve_users(self._columns, len(self._keys))
        reserve_rows(self._columns, len(image.counts))
        done = 0
        while True:
            done = put_image(self._columns, users, columns, image, done)
            if done == len(users):
                return
            make_room(self._columns)

    @property
    def keys(self) -> Interner:
        """The ids of all users met."""
        return self._keys

    def _take_over(
        self,
        users: Sequence[bytes],
        found: Sequence[ProfileState | Fence],
        actions: Codes,
        items: Codes,
    ) -> None:
        for one in found:
            if isinstance(one, ProfileState):
                _check_identity(one, self._identity)
        image, topics = image_of(found, self._identity.dim, actions, items)
        ends = ends_of([len(user) for user in users])
        keys = np.frombuffer(b"".join(users), np.uint8)
        self.put(self._keys.codes(keys, ends[:-1], ends[1:], insert=True), topics, image)

    def _encode(self, users: NDArray[np.int32]) -> list[Pairs]:
        """Keys and values of users with a profile."""
        found: list[Pairs] = []
        keys = _strings(self._keys)
        actions = _strings(self._vocabulary.actions)
        items = _strings(self._vocabulary.items)
        bounds = np.empty(2 * len(users) + 1, np.int64)
        done = 0
        while done < len(users):
            begin = done
            done, need = encode_users(
                self._columns, users, begin, self._pieces, keys, actions, items,
                self._buffer, bounds,
            )  # fmt: skip
            if done > begin:
                at = bounds[: 2 * (done - begin) + 1].copy()
                found.append(Pairs(self._buffer[: at[-1]].copy(), at))
            if need > len(self._buffer):
                self._buffer = np.empty(need, np.uint8)
        return found

    def _topic(self, topic: str) -> int:
        """The topic's column of ``next_offset``."""
        if topic not in self._topics:
            users = self._columns.users
            self._topics.append(topic)
            self._columns = self._columns._replace(
                users=users._replace(next_offset=np.pad(users.next_offset, ((0, 0), (0, 1))))
            )
            self._pieces = self._make_pieces()
        return self._topics.index(topic)

    def _make_pieces(self) -> Pieces:
        mine = self._identity
        return make_pieces(
            mine.encoder, mine.policy.identity, mine.dim, self.partition, self._topics
        )

    def _find(self, user_id: str) -> int:
        return self._keys.find(user_id.encode())

    def _row(self, code: int) -> int:
        return UNKNOWN if code < 0 else int(self._columns.users.row[code])

    def _applied(self, code: int) -> dict[str, int]:
        held = self._columns.users.next_offset[code].tolist()
        return {topic: n - 1 for topic, n in zip(self._topics, held, strict=True) if n}

    def _fence(self, code: int) -> Fence:
        forgotten_ts = int(self._columns.users.forgotten_ts[code])
        return Fence(
            partition=self.partition, applied=self._applied(code), forgotten_ts=forgotten_ts
        )


def _strings(interner: Interner) -> Strings:
    return Strings(interner.arena, interner.ends)


def _check_identity(state: ProfileState, mine: Identity) -> None:
    if (state.encoder, state.dim) != (mine.encoder, mine.dim):
        raise EncoderMismatchError(
            f"the profiles were made by encoder {state.encoder!r} (dim {state.dim}), this "
            f"worker runs {mine.encoder!r} (dim {mine.dim}): vectors of two encoders cannot be "
            "mixed; run the encoder they were made by, or name a new profiles topic"
        )
    if state.policy != mine.policy.identity:
        raise EncoderMismatchError(
            f"the profiles were folded by {state.policy}, this worker folds by "
            f"{mine.policy.identity}; run the policy they were made by, or name a new "
            "profiles topic"
        )
