"""The profiles of one partition, in columns, as the worker that owns it keeps them.

All that decides whether an action counts (fence, duplicates, forgotten users) and all that it
changes is here, without I/O: the same records give the same table, however they were batched.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from store.errors import EncoderMismatchError
from store.fold import fold_actions
from store.profile import Contribution, Fence, ProfileState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from store.policies import Policy

__all__ = ["Applied", "Columns", "Identity", "Memory", "ProfileTable", "WeighedAction"]


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


@dataclass(slots=True)
class WeighedAction:
    """An action as the table needs it.

    Attributes:
        offset: in its source topic's partition.
        ts: event time, ms.
        published: Kafka timestamp, ms.
        vector_row: row of its vector in the batch's matrix; -1 for ``forget``.
    """

    user_id: str
    action: str
    item_id: str | None
    event_id: str | None
    offset: int
    ts: int
    published: int
    weight: float
    strength: float
    vector_row: int


@dataclass(slots=True)
class Applied:
    """What a batch changed.

    Attributes:
        changed: users whose state must be published, in the order first touched.
        forgotten: users whose tombstone must be published.
        counts: actions by outcome: applied, fenced, duplicate, forgotten_user, forget.
    """

    changed: dict[str, None] = field(default_factory=dict)
    forgotten: dict[str, None] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, outcome: str) -> None:
        """One more action had this outcome."""
        self.counts[outcome] = self.counts.get(outcome, 0) + 1


class Columns:
    """Growing arrays, one row a user."""

    def __init__(self, dim: int) -> None:
        self.vectors: NDArray[np.float32] = np.zeros((64, dim), np.float32)
        self.counts: NDArray[np.int64] = np.zeros(64, np.int64)
        self.masses: NDArray[np.float64] = np.zeros(64)
        self.sums_k: NDArray[np.float64] = np.zeros(64)
        self.sums_k2: NDArray[np.float64] = np.zeros(64)
        self.last_ts: NDArray[np.int64] = np.zeros(64, np.int64)

    def reserve(self, rows: int) -> None:
        """Make room for so many rows; doubling keeps the cost of growth constant a row."""
        have = len(self.counts)
        if rows <= have:
            return
        more = max(rows, 2 * have) - have
        for name, column in vars(self).items():
            pad = ((0, more), *((0, 0),) * (column.ndim - 1))
            setattr(self, name, np.pad(column, pad))

    def clear(self, row: int) -> None:
        """Make the row that of an unknown user."""
        for column in vars(self).values():
            column[row] = 0


@dataclass(slots=True)
class _User:
    """What a row cannot hold."""

    row: int
    applied: dict[str, int]
    contributions: deque[Contribution]
    seen: dict[str, None]  # as an ordered set: a dict keeps the order of insertion
    event_ids: dict[str, None]
    fresh_from: int = 0
    forgotten_ts: int = 0


class ProfileTable:
    """See the module.

    Args:
        partition: of the source topics and of ``profiles``.
        identity: encoder, dimension and policy of every profile in it.
        memory: how much of a user's past to keep.
    """

    def __init__(self, partition: int, identity: Identity, memory: Memory) -> None:
        self.partition = partition
        self._identity = identity
        self._memory = memory
        self._columns = Columns(identity.dim)
        self._users: dict[str, _User] = {}
        self._fences: dict[str, Fence] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._users)

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._users

    def take_over(self, user_id: str, found: ProfileState | Fence) -> None:
        """Continue from what was published: a state, or a forgotten user's fence.

        Raises:
            EncoderMismatchError: it was made by another encoder or policy.
        """
        if isinstance(found, Fence):
            self._remove(user_id)
            self._fences[user_id] = found
            return
        state, mine = found, self._identity
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
        user = self._users.get(user_id) or self._add(user_id)
        columns, row = self._columns, user.row
        columns.vectors[row] = state.array()
        columns.counts[row] = state.count
        columns.masses[row] = state.mass
        columns.sums_k[row] = state.sum_k
        columns.sums_k2[row] = state.sum_k2
        columns.last_ts[row] = state.last_ts
        user.applied = dict(state.applied)
        user.contributions = deque(state.contributions, self._memory.contributions)
        user.seen = dict.fromkeys(state.seen)
        user.event_ids = dict.fromkeys(state.event_ids)
        user.fresh_from = state.fresh_from
        user.forgotten_ts = state.forgotten_ts
        self._fences.pop(user_id, None)

    def apply(
        self,
        topic: str,
        actions: Sequence[WeighedAction],
        vectors: NDArray[np.float32],
        earlier: Applied | None = None,
    ) -> Applied:
        """Fold actions of one source topic's partition, in offset order.

        Args:
            topic: the source topic, whose fence is checked and moved.
            actions: in offset order.
            vectors: ``(m, dim) float32`` unit rows.
            earlier: what was changed since the last publication; added to.

        Returns:
            What changed; the caller publishes it before it lets the offsets be committed.
        """
        result = Applied() if earlier is None else earlier
        pending: list[tuple[_User, WeighedAction]] = []
        for action in actions:
            if action.vector_row < 0:
                self._fold(pending, vectors)
                pending = []
                self._forget(topic, action, result)
                continue
            user = self._admit(topic, action, result)
            if user is not None:
                pending.append((user, action))
        self._fold(pending, vectors)
        return result

    def state(self, user_id: str) -> ProfileState:
        """The user's state as it is to be published."""
        user = self._users[user_id]
        columns, row = self._columns, user.row
        return ProfileState(
            encoder=self._identity.encoder,
            policy=self._identity.policy.identity,
            dim=self._identity.dim,
            vector=columns.vectors[row].tobytes(),
            count=int(columns.counts[row]),
            mass=float(columns.masses[row]),
            sum_k=float(columns.sums_k[row]),
            sum_k2=float(columns.sums_k2[row]),
            last_ts=int(columns.last_ts[row]),
            partition=self.partition,
            applied=dict(user.applied),
            fresh_from=user.fresh_from,
            forgotten_ts=user.forgotten_ts,
            contributions=list(user.contributions),
            seen=list(user.seen),
            event_ids=list(user.event_ids),
        )

    def fence(self, user_id: str) -> Fence | None:
        """A forgotten user's fence as it is to be published with the tombstone."""
        return self._fences.get(user_id)

    def _admit(self, topic: str, action: WeighedAction, result: Applied) -> _User | None:
        """The user the action counts for, or None where it must not count (again)."""
        user = self._users.get(action.user_id)
        fence = self._fences.get(action.user_id) if user is None else None
        applied = user.applied if user else fence.applied if fence else {}
        if action.offset <= applied.get(topic, -1):
            result.count("fenced")
            return None
        forgotten_ts = user.forgotten_ts if user else fence.forgotten_ts if fence else 0
        if action.ts <= forgotten_ts:
            result.count("forgotten_user")
            return None
        if action.event_id is not None and user and action.event_id in user.event_ids:
            result.count("duplicate")
            return None
        if user is None:
            user = self._add(action.user_id)
            if fence is not None:
                user.applied = dict(fence.applied)
                user.forgotten_ts = fence.forgotten_ts
                del self._fences[action.user_id]
        if action.user_id not in result.changed:
            result.changed[action.user_id] = None
            result.forgotten.pop(action.user_id, None)
            user.fresh_from = action.published
        user.applied[topic] = action.offset
        user.fresh_from = min(user.fresh_from, action.published)
        if action.item_id is not None:
            _remember(user.seen, action.item_id, self._memory.seen)
        if action.event_id is not None:
            _remember(user.event_ids, action.event_id, self._memory.event_ids)
        result.count("applied")
        return user

    def _fold(
        self, pending: list[tuple[_User, WeighedAction]], vectors: NDArray[np.float32]
    ) -> None:
        if not pending:
            return
        used_k = fold_actions(
            self._columns,
            np.array([user.row for user, _ in pending], np.int64),
            vectors,
            np.array([action.vector_row for _, action in pending], np.int64),
            np.array([action.strength for _, action in pending], np.float64),
            np.array([action.weight for _, action in pending], np.float64),
            np.array([action.ts for _, action in pending], np.int64),
            self._identity.policy,
        ).tolist()
        for (user, action), k in zip(pending, used_k, strict=True):
            user.contributions.append(
                Contribution(action.action, action.item_id, k, action.strength)
            )

    def _forget(self, topic: str, action: WeighedAction, result: Applied) -> None:
        user = self._users.get(action.user_id)
        fence = self._fences.get(action.user_id)
        applied = dict(user.applied if user else fence.applied if fence else {})
        if action.offset <= applied.get(topic, -1):
            result.count("fenced")
            return
        applied[topic] = action.offset
        before = user.forgotten_ts if user else fence.forgotten_ts if fence else 0
        self._remove(action.user_id)
        self._fences[action.user_id] = Fence(
            partition=self.partition, applied=applied, forgotten_ts=max(before, action.ts)
        )
        result.changed.pop(action.user_id, None)
        result.forgotten[action.user_id] = None
        result.count("forget")

    def _add(self, user_id: str) -> _User:
        row = self._free.pop() if self._free else len(self._users)
        self._columns.reserve(row + 1)
        user = _User(row, {}, deque(maxlen=self._memory.contributions), {}, {})
        self._users[user_id] = user
        return user

    def _remove(self, user_id: str) -> None:
        user = self._users.pop(user_id, None)
        if user is not None:
            self._columns.clear(user.row)
            self._free.append(user.row)


def _remember(window: dict[str, None], what: str, limit: int) -> None:
    """Move to the end of a bounded ordered set."""
    window.pop(what, None)
    window[what] = None
    while len(window) > limit:  # more than one where the setting was lowered
        del window[next(iter(window))]
