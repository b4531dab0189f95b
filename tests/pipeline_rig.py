"""A pipeline of real parts for tests, around fakes for what is outside of the process."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from streams_fakes import (
    IDENTITY,
    NOW,
    FakeEncoding,
    FakeOutbox,
    FakeSource,
    KafkaRecord,
    RecordingSensor,
    action_record,
    published,
)

from encoders import Templates
from store.interner import Interner
from store.item_vector import ItemVector
from store.profile import Fence, ProfileState
from store.table import Memory, Vocabulary
from streams.activity import Activities
from streams.batches import Inbound
from streams.catalogue import Catalogue, CatalogueFollower
from streams.decode import ActionDecoder, ItemDecoder, Limits
from streams.health import Health
from streams.partitions import OwnedPartitions
from streams.pipeline import Pipeline
from streams.preparing import Preparer
from streams.reading import ActionReader
from streams.rules import ActionRule, ActionRules, RatingScale
from streams.topic_names import ActionTopic, TopicNames
from streams.traces import Traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


NAMES = TopicNames(actions=(ActionTopic("actions"), ActionTopic("orders", "json", "purchase")))
RULES = ActionRules(
    {
        "view": ActionRule(1.0, 0.5),
        "search": ActionRule(1.0, 0.5),
        "purchase": ActionRule(3.0, 1.0),
    },
    RatingScale(),
)
ERA = 7


class TP(NamedTuple):
    topic: str
    partition: int


@dataclass
class Rig:
    """A pipeline of real parts around fakes for what is outside of the process.

    ``profiles`` is what the topic ``profiles`` holds, by partition; ``acknowledged`` the batches
    that were, by their number.
    """

    encoding: FakeEncoding = field(default_factory=FakeEncoding)
    outbox: FakeOutbox = field(default_factory=FakeOutbox)
    items: FakeSource = field(default_factory=FakeSource)
    sensor: RecordingSensor = field(default_factory=RecordingSensor)
    profiles: dict[int, list[KafkaRecord]] = field(default_factory=dict)
    batch_actions: int = 4_000
    retry_seconds: float = 120.0
    traces: Traces | None = None
    acknowledged: list[int] = field(default_factory=list)
    batches: int = 0

    def __post_init__(self) -> None:
        vocabulary = Vocabulary(Interner(), Interner())
        self.catalogue = Catalogue(Templates(), vocabulary.items)
        decoder = ItemDecoder(Limits())
        limits = Limits()
        decoders = {
            topic.name: ActionDecoder(topic.format, limits, default_action=topic.default_action)
            for topic in NAMES.actions
        }
        self.owned = OwnedPartitions(
            lambda partition: FakeSource(list(self.profiles.get(partition, []))),
            IDENTITY,
            Memory(),
            vocabulary,
            self.sensor,
            health=Health(),
            activities=Activities(time.monotonic),
        )
        self.preparer = Preparer(
            names=NAMES,
            reader=ActionReader(decoders, RULES, self.catalogue, vocabulary, lambda: NOW),
            item_decoder=decoder,
            catalogue=self.catalogue,
            follower=CatalogueFollower(self.items, decoder, self.catalogue),
            encoding=self.encoding,
            retry_seconds=self.retry_seconds,
        )
        self.pipeline = Pipeline(
            names=NAMES,
            preparer=self.preparer,
            owned=self.owned,
            outbox=self.outbox,
            sensor=self.sensor,
            clock=lambda: NOW + 5,
            batch_actions=self.batch_actions,
            traces=self.traces,
        )

    def inbound(self, *records: KafkaRecord, era: int = ERA) -> Inbound:
        """A fetched batch; its number goes to ``acknowledged`` when it is acknowledged."""
        number = self.batches
        self.batches += 1
        return Inbound(
            records[0].topic,
            records[0].partition,
            records,
            lambda: self.acknowledged.append(number),
            era,
            0,
        )

    async def process(self, *batches: Inbound) -> None:
        """The batches as one micro-batch, through both stages."""
        folded = await self.pipeline.fold(await self.preparer.prepare(batches))
        assert folded is not None
        await self.pipeline.publish(folded)

    async def take(self, *records: KafkaRecord) -> None:
        """One batch as a micro-batch."""
        await self.process(self.inbound(*records))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.pipeline.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])

    def states(self) -> dict[str, list[ProfileState | Fence | None]]:
        """All that was published to ``profiles``, by user."""
        found: dict[str, list[ProfileState | Fence | None]] = {}
        for record in self.outbox.records("profiles"):
            assert record.key is not None
            found.setdefault(record.key.decode(), []).append(published(record))
        return found

    def state(self, user_id: str = "ann") -> ProfileState:
        """The one state that was published of a user."""
        (found,) = self.states()[user_id]
        assert isinstance(found, ProfileState)
        return found

    def letters(self) -> list[tuple[str, int]]:
        """Dead letters: the error and the source offset."""
        headers = [dict(record.headers) for record in self.outbox.records("actions-dead-letter")]
        return [(one["error"].decode(), int(one["source-offset"])) for one in headers]


def search(user_id: str = "ann", text: str = "ships", **fields: Any) -> KafkaRecord:
    return action_record(user_id, "search", text=text, **fields)


def order(user_id: str = "ann", *, offset: int = 0, **fields: Any) -> KafkaRecord:
    return action_record(user_id, "purchase", topic="orders", wire="json", offset=offset, **fields)


def item_vectors(rig: Rig) -> list[tuple[bytes | None, ItemVector | None]]:
    """Keys and values of what was published to ``item-vectors``."""
    return [
        (
            record.key,
            None if record.value is None else msgspec.msgpack.decode(record.value, type=ItemVector),
        )
        for record in rig.outbox.records("item-vectors")
    ]
