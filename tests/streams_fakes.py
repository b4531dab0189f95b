"""Builders and fakes for the streams' tests: records, sources, an encoder, an outbox."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

import msgspec
import numpy as np

from store.policies import Policy
from store.profile import (
    FENCE_HEADER,
    Fence,
    ProfileState,
    decode_fence,
    decode_profile,
    encode_fence,
    encode_profile,
)
from store.table import Identity
from streams.records import OutPairs
from streams.schema import Action, Item
from streams.sensor import BatchFigures, Sensor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from numpy.typing import NDArray

    from streams.records import OutRecord

P = ParamSpec("P")

NOW = 1_750_000_000_000
DIM = 4
ENCODER = "fake-encoder"
IDENTITY = Identity(ENCODER, DIM, Policy("constant", k=0.7))

#: The loop's own, for tests that replace `asyncio.sleep` to see the pauses and not to wait.
_real_sleep = asyncio.sleep


def asynchronous(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))

    return run


async def let_run(turns: int = 200) -> None:
    """Give every other task its turn, many times over."""
    for _ in range(turns):
        await _real_sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Let the other tasks run until it holds."""
    while not condition():
        await _real_sleep(0)


def unit_rows(rows: int, dim: int = DIM, seed: int = 0) -> NDArray[np.float32]:
    """Random unit vectors, ``(rows, dim) float32``."""
    drawn = np.random.default_rng(seed).standard_normal((rows, dim))
    units: NDArray[np.float32] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(
        np.float32
    )
    return units


# Records


@dataclass(frozen=True)
class KafkaRecord:
    topic: str
    key: bytes | None
    value: bytes | None
    partition: int = 0
    offset: int = 0
    timestamp: int = NOW
    headers: Sequence[tuple[str, bytes | None]] = ()


def action_record(
    user_id: str = "ann",
    action: str = "view",
    *,
    offset: int = 0,
    topic: str = "actions",
    partition: int = 0,
    timestamp: int = NOW,
    wire: Literal["msgpack", "json"] = "msgpack",
    **fields: Any,
) -> KafkaRecord:
    """An action as a producer writes it; ``fields`` are those of `Action`."""
    written = Action(user_id=user_id, action=action, **{"ts": NOW, **fields})
    encode = msgspec.json.encode if wire == "json" else msgspec.msgpack.encode
    return KafkaRecord(topic, user_id.encode(), encode(written), partition, offset, timestamp)


def raw_record(
    message: object,
    *,
    key: bytes | None = b"ann",
    wire: Literal["msgpack", "json"] = "msgpack",
    timestamp: int = NOW,
) -> KafkaRecord:
    """A record of any object, or of bytes as they are."""
    if not isinstance(message, bytes):
        encode = msgspec.json.encode if wire == "json" else msgspec.msgpack.encode
        message = encode(message)
    return KafkaRecord("actions", key, message, timestamp=timestamp)


def item_record(
    item_id: str, title: str | None = None, *, offset: int = 0, partition: int = 0, **fields: Any
) -> KafkaRecord:
    """An entry of the catalogue."""
    item = Item(item_id=item_id, title=title or f"Title of {item_id}", **fields)
    value = msgspec.msgpack.encode(item)
    return KafkaRecord("items", item_id.encode(), value, partition, offset)


def item_delete(item_id: str, *, offset: int = 0, partition: int = 0) -> KafkaRecord:
    return KafkaRecord("items", item_id.encode(), None, partition, offset)


def bad_record(*, topic: str = "actions", offset: int = 0, partition: int = 0) -> KafkaRecord:
    """Bytes that are no message."""
    return KafkaRecord(topic, b"ann", b"\xc1 no message", partition, offset)


# Profiles


def make_profile(
    applied: Mapping[str, int] | int = 0, *, partition: int = 0, **fields: Any
) -> ProfileState:
    """A state at this offset of ``actions``, or at these of several topics."""
    values: dict[str, Any] = {
        "encoder": ENCODER,
        "policy": IDENTITY.policy.identity,
        "dim": DIM,
        "vector": np.array([1, 0, 0, 0], "<f4").tobytes(),
        "count": 1,
        "last_ts": NOW,
        "partition": partition,
        "applied": {"actions": applied} if isinstance(applied, int) else dict(applied),
    }
    return ProfileState(**{**values, **fields})


def profile_record(
    user_id: str,
    found: ProfileState | Fence | None,
    *,
    partition: int = 0,
    offset: int = 0,
) -> KafkaRecord:
    """A state, a tombstone with its fence, or (None) a tombstone without one."""
    value = encode_profile(found) if isinstance(found, ProfileState) else None
    headers = ((FENCE_HEADER, encode_fence(found)),) if isinstance(found, Fence) else ()
    return KafkaRecord("profiles", user_id.encode(), value, partition, offset, NOW, headers)


def published(record: OutRecord) -> ProfileState | Fence | None:
    """What a record for ``profiles`` says."""
    return decode_fence(record.headers) if record.value is None else decode_profile(record.value)


# Fakes


@dataclass
class FakeSource:
    """A topic to read: yields what was put since the last reading.

    ``reads`` counts calls of `read_to_end`; an exception in ``contents`` is raised.
    """

    contents: list[KafkaRecord | BaseException] = field(default_factory=list)
    started: int = 0
    stopped: int = 0
    reads: int = 0
    pushed: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, *records: KafkaRecord | BaseException) -> None:
        self.contents += records
        self.pushed.set()

    async def start(self) -> None:
        self.started += 1

    async def stop(self) -> None:
        self.stopped += 1

    async def read_to_end(self) -> Sequence[KafkaRecord]:
        self.reads += 1
        return self._take()

    async def bounds(self) -> tuple[int, int]:
        return 0, len(self.contents)

    async def chunks(self, begin: int) -> AsyncIterator[tuple[Sequence[KafkaRecord], int]]:
        end = len(self.contents)
        yield (await self.read_to_end())[begin:], end

    async def poll(self) -> Sequence[KafkaRecord]:
        await self.pushed.wait()
        self.pushed.clear()
        return self._take()

    def _take(self) -> list[KafkaRecord]:
        taken, self.contents = self.contents, []
        records = []
        for one in taken:
            if isinstance(one, BaseException):
                raise one
            records.append(one)
        return records


@dataclass
class FakeEncoded:
    vectors: NDArray[np.float32]
    index: NDArray[np.int32]
    errors: dict[str, Exception]


@dataclass
class FakeEncoding:
    """Unit vectors that only the text decides; fails as it is told.

    Attributes:
        bad: texts that fail, and how.
        outages: errors of the next calls, each for all texts of its call.
        calls: the texts of every call.
    """

    bad: dict[str, Exception] = field(default_factory=dict)
    outages: list[Exception] = field(default_factory=list)
    calls: list[list[str]] = field(default_factory=list)
    encoder_id: str = ENCODER

    async def encode(self, texts: Sequence[str]) -> FakeEncoded:
        self.calls.append(list(texts))
        errors = {text: self.bad[text] for text in texts if text in self.bad}
        if self.outages and texts:
            errors = dict.fromkeys(texts, self.outages.pop(0))
        rows = {text: row for row, text in enumerate(t for t in set(texts) if t not in errors)}
        return FakeEncoded(
            np.array([vector_of(text) for text in rows], np.float32).reshape(-1, DIM),
            np.array([rows.get(text, -1) for text in texts], np.int32),
            errors,
        )


def vector_of(text: str) -> NDArray[np.float32]:
    """The vector that `FakeEncoding` gives a text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    row: NDArray[np.float32] = unit_rows(1, seed=seed)[0]
    return row


@dataclass
class FakeOutbox:
    """Keeps what was published. Closed by ``gate``, it lets publications wait.

    Attributes:
        published: the records of every publication that returned.
        waiting: publications that have begun and not returned.
        error: raised by the next publications.
    """

    published: list[list[OutRecord]] = field(default_factory=list)
    waiting: int = 0
    error: BaseException | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def publish(self, records: Sequence[OutRecord | OutPairs]) -> None:
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        if self.error is not None:
            raise self.error
        singly = (one.listed() if isinstance(one, OutPairs) else [one] for one in records)
        self.published.append([record for some in singly for record in some])

    def records(self, topic: str) -> list[OutRecord]:
        """All that was published to a topic."""
        return [one for records in self.published for one in records if one.topic == topic]


class RecordingSensor(Sensor):
    def __init__(self) -> None:
        self.actions: dict[str, int] = {}
        self.kinds: dict[str, int] = {}
        self.items: dict[str, int] = {}
        self.dead_letters: list[str] = []
        self.restored: list[tuple[int, int]] = []
        self.batches: list[int] = []

    def on_actions(self, action: str, outcome: str, count: int) -> None:
        self.actions[outcome] = self.actions.get(outcome, 0) + count
        self.kinds[action] = self.kinds.get(action, 0) + count

    def on_items(self, outcome: str, count: int) -> None:
        self.items[outcome] = self.items.get(outcome, 0) + count

    def on_dead_letter(self, reason: str) -> None:
        self.dead_letters.append(reason)

    def on_batch(self, figures: BatchFigures) -> None:
        assert 0 <= figures.encode_seconds <= figures.prepare_seconds
        assert min(figures.fill_seconds, figures.fold_seconds, figures.publish_seconds) >= 0
        self.batches.append(figures.actions)

    def on_restored(self, partition: int, profiles: int, seconds: float) -> None:
        assert seconds >= 0
        self.restored.append((partition, profiles))
