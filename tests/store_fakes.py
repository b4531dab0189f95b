"""Builders and fakes for the store's tests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from store.indexes.exact import ExactIndex
from store.interner import Interner, hash_bytes
from store.item_vector import ItemVector
from store.profile import (
    FENCE_HEADER,
    Contribution,
    Fence,
    ProfileState,
    encode_fence,
    encode_profile,
)
from store.sensor import Sensor
from store.table import ActionBatch, ProfileTable, Vocabulary
from store.view import RetrievalView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

DIM = 4
ENCODER = "test-encoder"
X, Y, Z = np.eye(3, DIM, dtype=np.float32)


@dataclass(frozen=True)
class FakeRecord:
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


class RecordingSensor(Sensor):
    def __init__(self) -> None:
        self.freshness: list[float] = []
        self.records: list[tuple[str, str]] = []
        self.lags: list[int] = []
        self.sizes: dict[str, int] = {}

    def on_freshness(self, seconds: NDArray[np.float64]) -> None:
        self.freshness += seconds.tolist()

    def on_records(self, topic: str, outcome: str, count: int) -> None:
        self.records += [(topic, outcome)] * count

    def on_lag(self, records: int) -> None:
        self.lags.append(records)

    def on_index_size(self, index: str, vectors: int) -> None:
        self.sizes[index] = vectors


@dataclass
class FakeTail:
    """A `RecordSource` that yields what is pushed: batches of records, or errors to raise.

    ``lag`` is None until `known` is set, then the batches still to come.
    """

    known: bool = True
    behind: int | None = None
    waiting_for: str | None = None
    read_up_to: dict[tuple[str, int], int] = field(default_factory=lambda: {("profiles", 0): 6})
    started: int = 0
    stopped: int = 0
    polls: int = 0
    _batches: asyncio.Queue[Sequence[FakeRecord] | BaseException] = field(
        default_factory=asyncio.Queue
    )
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        self.started += 1

    async def stop(self) -> None:
        self.stopped += 1

    async def poll(self) -> Sequence[FakeRecord]:
        self.polls += 1
        if self._batches.empty():
            self._idle.set()
        batch = await self._batches.get()
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def positions(self) -> dict[tuple[str, int], int]:
        return self.read_up_to

    def lag(self) -> int | None:
        if not self.known:
            return None
        return self._batches.qsize() if self.behind is None else self.behind

    def push(self, *records: FakeRecord) -> None:
        self._idle.clear()
        self._batches.put_nowait(records)

    def fail(self, error: BaseException) -> None:
        self._idle.clear()
        self._batches.put_nowait(error)

    async def settled(self) -> None:
        """Until all that was pushed is applied and the next poll waits."""
        await self._idle.wait()


def make_state(
    vector: ArrayLike = X,
    *,
    offset: int = 0,
    applied: Mapping[str, int] | None = None,
    partition: int = 0,
    seen: Sequence[str] = (),
    fresh_from: int = 0,
    encoder: str = ENCODER,
    contributions: Sequence[Contribution] = (),
) -> ProfileState:
    array = np.asarray(vector, dtype="<f4")
    return ProfileState(
        encoder=encoder,
        policy="constant k=0.7",
        dim=len(array),
        vector=array.tobytes(),
        count=offset + 1,
        last_ts=1_700_000_000_000 + offset,
        partition=partition,
        applied={"actions": offset} if applied is None else dict(applied),
        seen=list(seen),
        fresh_from=fresh_from,
        contributions=list(contributions),
    )


def profile_record(user_id: str, state: ProfileState) -> FakeRecord:
    return FakeRecord("profiles", user_id.encode(), encode_profile(state))


def tombstone(
    user_id: str,
    offset: int | None,
    *,
    partition: int = 0,
    topic: str = "actions",
) -> FakeRecord:
    """A tombstone with its fence at an offset; without a fence for None."""
    if offset is None:
        return FakeRecord("profiles", user_id.encode(), None)
    fence = Fence(partition=partition, applied={topic: offset}, forgotten_ts=1)
    return FakeRecord(
        "profiles", user_id.encode(), None, headers=((FENCE_HEADER, encode_fence(fence)),)
    )


def item_record(
    item_id: str,
    vector: ArrayLike = X,
    *,
    title: str | None = None,
    categories: Sequence[str] = (),
    encoder: str = ENCODER,
    source_offset: int = -1,
    attributes: dict[str, str] | None = None,
) -> FakeRecord:
    array = np.asarray(vector, dtype="<f4")
    item = ItemVector(
        encoder=encoder,
        dim=len(array),
        vector=array.tobytes(),
        title=f"Title of {item_id}" if title is None else title,
        categories=tuple(categories),
        source_offset=source_offset,
        attributes=attributes,
    )
    return FakeRecord("item-vectors", item_id.encode(), msgspec.msgpack.encode(item))


def make_view(sensor: RecordingSensor | None = None, **options: Any) -> RetrievalView:
    return RetrievalView(DIM, ENCODER, lambda dim, _: ExactIndex(dim), sensor=sensor, **options)


# Actions for a table

NOW = 1_750_000_000_000
#: As in a worker, all tables share it; so what one test adds, others may find, as other codes.
VOCABULARY = Vocabulary(Interner(), Interner())


@dataclass(frozen=True)
class Given:
    """An action, as a test says it: row -1 forgets, -2 was rejected."""

    offset: int
    user_id: str
    action: str
    item_id: str | None
    event_id: str | None
    ts: int
    published: int
    weight: float
    strength: float
    row: int


def weighed(
    offset: int,
    user_id: str = "ann",
    *,
    row: int = 0,
    ts: int | None = None,
    item_id: str | None = None,
    event_id: str | None = None,
    weight: float = 1.0,
    strength: float = 1.0,
    action: str = "view",
    published: int = NOW,
) -> Given:
    """An action for the table; later offsets are later events where ``ts`` is not given."""
    ts = NOW + 1000 * offset if ts is None else ts
    return Given(offset, user_id, action, item_id, event_id, ts, published, weight, strength, row)


def forget(offset: int, user_id: str = "ann", *, ts: int | None = None) -> Given:
    return weighed(offset, user_id, row=-1, ts=ts, action="forget", weight=0.0, strength=0.0)


def rejected(offset: int, user_id: str = "ann") -> Given:
    return weighed(offset, user_id, row=-2)


def hash_of(event_id: str) -> int:
    data = event_id.encode()
    return int(hash_bytes(np.frombuffer(data, np.uint8), 0, len(data)))


def make_batch(actions: Sequence[Given], vocabulary: Vocabulary = VOCABULARY) -> ActionBatch:
    """The actions in columns."""
    keys = [one.user_id.encode() for one in actions]
    lengths = np.array([len(key) for key in keys], np.int64)
    ends = np.cumsum(lengths)
    items = [
        -1 if a.item_id is None else vocabulary.items.code(a.item_id.encode()) for a in actions
    ]
    return ActionBatch(
        users=np.frombuffer(b"".join(keys), np.uint8),
        user_starts=ends - lengths,
        user_ends=ends,
        offsets=np.array([one.offset for one in actions], np.int64),
        published=np.array([one.published for one in actions], np.int64),
        ts=np.array([one.ts for one in actions], np.int64),
        actions=np.array([vocabulary.actions.code(a.action.encode()) for a in actions], np.int32),
        items=np.array(items, np.int32),
        events=np.array(
            [0 if a.event_id is None else hash_of(a.event_id) for a in actions], np.uint64
        ),
        weights=np.array([one.weight for one in actions], np.float64),
        strengths=np.array([one.strength for one in actions], np.float64),
        rows=np.array([one.row for one in actions], np.int32),
    )


def apply(
    table: ProfileTable,
    actions: Sequence[Given],
    vectors: NDArray[np.float32],
    topic: str = "actions",
) -> dict[str, int]:
    """Apply in one batch; the counts by outcome."""
    counts: dict[str, int] = {}
    for (_, outcome), count in table.apply(topic, make_batch(actions), vectors).items():
        counts[outcome] = counts.get(outcome, 0) + count
    return counts


def take(table: ProfileTable) -> tuple[list[str], list[str]]:
    """The users whose states, and those whose tombstones are to be published."""
    changes = table.take_changes()
    both: tuple[list[str], list[str]] = [], []
    for key, value in changes.listed():
        both[value is None].append(key.decode())
    return both
