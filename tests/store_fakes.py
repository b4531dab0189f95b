"""Builders and fakes for the store's tests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from store.indexes.exact import ExactIndex
from store.item_vector import ItemVector
from store.profile import (
    FENCE_HEADER,
    Contribution,
    Fence,
    ProfileState,
    encode_fence,
    encode_profile,
)
from store.sensor import NullSensor
from store.view import RetrievalView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

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


class RecordingSensor(NullSensor):
    def __init__(self) -> None:
        self.freshness: list[float] = []
        self.records: list[tuple[str, str]] = []
        self.lags: list[int] = []
        self.sizes: dict[str, int] = {}

    def on_freshness(self, seconds: float) -> None:
        self.freshness.append(seconds)

    def on_record(self, topic: str, outcome: str) -> None:
        self.records.append((topic, outcome))

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
) -> FakeRecord:
    array = np.asarray(vector, dtype="<f4")
    item = ItemVector(
        encoder=encoder,
        dim=len(array),
        vector=array.tobytes(),
        title=f"Title of {item_id}" if title is None else title,
        categories=tuple(categories),
    )
    return FakeRecord("item-vectors", item_id.encode(), msgspec.msgpack.encode(item))


def make_view(sensor: RecordingSensor | None = None) -> RetrievalView:
    return RetrievalView(DIM, ENCODER, ExactIndex, sensor=sensor)
