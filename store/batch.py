"""What goes into a `ProfileTable` and what comes out of it to be published."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.compiled import compiled
from store.fold import FORGET, SKIP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.interner import Interner

__all__ = ["ActionBatch", "Changes", "Pairs", "Vocabulary", "check_batch"]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names of actions and the ids of items; shared by all tables of a worker."""

    actions: Interner
    items: Interner


@dataclass(slots=True)
class ActionBatch:
    """Actions of one partition of one source topic, in offset order, in columns of length n.

    Attributes:
        users: the bytes of all keys.
        user_starts, user_ends: each action's key within ``users``.
        offsets: in the source topic's partition.
        published: Kafka timestamp, ms.
        ts: event time, ms.
        actions: codes in ``vocabulary.actions``.
        items: codes in ``vocabulary.items``; -1 for none.
        events: `hash_bytes` of the event id; 0 for none.
        weights: w > 0.
        strengths: s in [-1, 1].
        rows: row of the action's vector in the micro-batch's matrix; -1 to forget the user,
            -2 to leave the action out (it was rejected).
    """

    users: NDArray[np.uint8]
    user_starts: NDArray[np.int64]
    user_ends: NDArray[np.int64]
    offsets: NDArray[np.int64]
    published: NDArray[np.int64]
    ts: NDArray[np.int64]
    actions: NDArray[np.int32]
    items: NDArray[np.int32]
    events: NDArray[np.uint64]
    weights: NDArray[np.float64]
    strengths: NDArray[np.float64]
    rows: NDArray[np.int32]

    def between(self, begin: int, end: int) -> ActionBatch:
        """The actions from ``begin`` to before ``end``, as views of these columns."""
        columns = (getattr(self, column.name)[begin:end] for column in fields(self)[1:])
        return ActionBatch(self.users, *columns)


class Pairs(NamedTuple):
    """Keys and values, one after the other.

    Attributes:
        buffer: their bytes.
        bounds: ``(2n + 1,)`` key i is ``buffer[bounds[2i]:bounds[2i + 1]]``, its value ends at
            ``bounds[2i + 2]``.
    """

    buffer: NDArray[np.uint8]
    bounds: NDArray[np.int64]

    def listed(self) -> list[tuple[bytes, bytes]]:
        """As objects."""
        written, at = self.buffer.tobytes(), self.bounds.tolist()
        spans = zip(at[:-1:2], at[1::2], at[2::2], strict=True)
        return [(written[a:b], written[b:c]) for a, b, c in spans]


@dataclass(slots=True)
class Changes:
    """What to publish, a user each.

    Attributes:
        states: user ids and MessagePack of their `ProfileState`, in pieces.
        forgotten: of users whose record is to be a tombstone: id, and MessagePack of its `Fence`
            for the header.
    """

    states: list[Pairs]
    forgotten: list[tuple[bytes, bytes]]

    def listed(self) -> list[tuple[bytes, bytes | None]]:
        """Keys and values as objects, None for a tombstone."""
        states = [pair for pairs in self.states for pair in pairs.listed()]
        return [*states, *((key, None) for key, _ in self.forgotten)]


_DTYPES = {
    "users": np.uint8, "user_starts": np.int64, "user_ends": np.int64, "offsets": np.int64,
    "published": np.int64, "ts": np.int64, "actions": np.int32, "items": np.int32,
    "events": np.uint64, "weights": np.float64, "strengths": np.float64, "rows": np.int32,
}  # fmt: skip


@compiled
def _first_wrong(
    users: int,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    actions: NDArray[np.int32],
    items: NDArray[np.int32],
    rows: NDArray[np.int32],
    known_actions: int,
    known_items: int,
    vectors: int,
) -> int:
    """The first action, of those not left out, that names what is not there; or -1."""
    for i in range(rows.shape[0]):
        if rows[i] == SKIP:
            continue
        if not (0 <= starts[i] <= ends[i] <= users and SKIP < rows[i] < vectors):
            return i
        if rows[i] != FORGET and not (
            0 <= actions[i] < known_actions and -1 <= items[i] < known_items
        ):
            return i
    return -1


def check_batch(
    batch: ActionBatch, vectors: NDArray[np.float32], dim: int, vocabulary: Vocabulary
) -> None:
    """Compiled loops read whatever memory a wrong index names: refuse a batch with any.

    Raises:
        ValueError: what does not fit, and what was expected.
    """
    n = len(batch.rows)
    for name, dtype in _DTYPES.items():
        column = getattr(batch, name)
        length = len(batch.users) if name == "users" else n
        if column.dtype != dtype or column.shape != (length,):
            raise ValueError(
                f"{name} is {column.dtype} of shape {column.shape}; "
                f"expected {np.dtype(dtype)} of shape {(length,)}"
            )
    if vectors.dtype != np.float32 or vectors.shape[1:] != (dim,):
        raise ValueError(
            f"the vectors are {vectors.dtype} of shape {vectors.shape}; "
            f"expected float32 of shape (m, {dim})"
        )
    at = _first_wrong(
        len(batch.users), batch.user_starts, batch.user_ends, batch.actions, batch.items,
        batch.rows, len(vocabulary.actions), len(vocabulary.items), len(vectors),
    )  # fmt: skip
    if at >= 0:
        found = ", ".join(
            f"{one.name}[{at}]={getattr(batch, one.name)[at]}"
            for one in fields(batch)
            if one.name in ("user_starts", "user_ends", "actions", "items", "rows")
        )
        raise ValueError(
            f"an action names what is not there: {found}; users has {len(batch.users)} bytes, "
            f"the vocabulary {len(vocabulary.actions)} actions and {len(vocabulary.items)} items, "
            f"and there are {len(vectors)} vectors"
        )
