"""The pipeline: what is published for what came in, and when it is acknowledged."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pytest
from streams_fakes import (
    DIM,
    ENCODER,
    IDENTITY,
    NOW,
    FakeEncoding,
    FakeOutbox,
    FakeSource,
    KafkaRecord,
    RecordingSensor,
    action_record,
    asynchronous,
    bad_record,
    item_delete,
    item_record,
    let_run,
    make_profile,
    profile_record,
    published,
    until,
    vector_of,
)

from encoders import EncodingFailedError, Templates
from store.interner import Interner
from store.item_vector import ITEM_OFFSET_HEADER, ItemVector
from store.profile import Fence, ProfileState
from store.table import Memory, Vocabulary
from streams.activity import Activities
from streams.batches import Inbound
from streams.catalogue import Catalogue, CatalogueFollower
from streams.decode import ActionDecoder, ItemDecoder, Limits
from streams.errors import PublishError, StreamsError
from streams.health import Health
from streams.partitions import OwnedPartitions
from streams.pipeline import Pipeline
from streams.preparing import Preparer
from streams.reading import ActionReader
from streams.rules import ActionRule, ActionRules, RatingScale
from streams.topics import ActionTopic, TopicNames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from streams.records import OutRecord

NAMES = TopicNames(actions=(ActionTopic("actions"), ActionTopic("orders", "json", "purchase")))
RULES = ActionRules(
    {
        "view": ActionRule(1.0, 0.5),
        "search": ActionRule(1.0, 0.5),
        "purchase": ActionRule(3.0, 1.0),
    },
    RatingScale(),
)
GENERATION = 7


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
        )

    def inbound(self, *records: KafkaRecord, generation: int = GENERATION) -> Inbound:
        """A fetched batch; its number goes to ``acknowledged`` when it is acknowledged."""
        number = self.batches
        self.batches += 1
        return Inbound(
            records[0].topic,
            records[0].partition,
            records,
            lambda: self.acknowledged.append(number),
            generation,
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


# Actions to profiles


@asynchronous
async def test_an_action_becomes_a_profile() -> None:
    rig = Rig(items=FakeSource([item_record("i1", "Alien")]))
    await rig.take(action_record("ann", item_id="i1", offset=3, partition=2, timestamp=NOW - 9))
    (record,) = rig.outbox.records("profiles")
    assert (record.topic, record.partition, record.key) == ("profiles", 2, b"ann")
    state = rig.state()
    np.testing.assert_allclose(state.array(), 0.5 * vector_of("Alien"), atol=1e-7)
    assert (state.encoder, state.dim, state.policy) == (ENCODER, DIM, IDENTITY.policy.identity)
    assert (state.partition, state.applied) == (2, {"actions": 3})
    assert (state.seen, state.last_ts, state.fresh_from) == (["i1"], NOW, NOW - 9)
    assert rig.acknowledged == [0]
    assert rig.sensor.actions == {"applied": 1}
    assert rig.sensor.batches == [1]


@asynchronous
async def test_one_record_a_user_and_micro_batch() -> None:
    rig = Rig()
    await rig.process(
        rig.inbound(search("ann", "a", offset=0), search("bob", "b", offset=1)),
        rig.inbound(search("ann", "c", offset=2), search("ann", "d", offset=3)),
        rig.inbound(search("cid", "e", partition=1)),
    )
    assert len(rig.outbox.published) == 1
    assert {user_id: len(found) for user_id, found in rig.states().items()} == {
        "ann": 1, "bob": 1, "cid": 1,
    }  # fmt: skip
    assert rig.state("ann").count == 3
    assert rig.state("ann").applied == {"actions": 3}
    assert rig.acknowledged == [0, 1, 2]
    assert rig.sensor.actions == {"applied": 5}


@asynchronous
async def test_batches_are_folded_in_the_order_they_came() -> None:
    texts = ["a", "b", "c", "a", "d"]
    together, apart = Rig(), Rig()
    records = [search(text=text, offset=n) for n, text in enumerate(texts)]
    await together.process(together.inbound(*records[:2]), together.inbound(*records[2:]))
    for record in records:
        await apart.take(record)
    last = apart.states()["ann"][-1]
    assert isinstance(last, ProfileState)
    assert together.state().vector == last.vector
    assert together.state().contributions == last.contributions


@asynchronous
async def test_a_text_is_encoded_with_all_others_of_the_micro_batch() -> None:
    rig = Rig()
    await rig.process(rig.inbound(search(text="a")), rig.inbound(search("bob", "b", partition=1)))
    assert rig.encoding.calls == [["a", "b"]]


@asynchronous
async def test_freshness_counts_from_the_oldest_action_of_the_micro_batch() -> None:
    rig = Rig()
    await rig.process(
        rig.inbound(search(timestamp=NOW - 500)), rig.inbound(search(offset=1, timestamp=NOW - 9))
    )
    assert rig.state().fresh_from == NOW - 500


@asynchronous
async def test_several_action_topics_feed_one_profile() -> None:
    rig = Rig(items=FakeSource([item_record("i1")]))
    bare = KafkaRecord(
        "orders", b"ann", b'{"user_id":"ann","ts":1750000000000,"item_id":"i1"}', offset=40
    )
    await rig.process(rig.inbound(search(offset=7)), rig.inbound(bare))
    state = rig.state()
    assert state.applied == {"actions": 7, "orders": 40}
    assert [one.action for one in state.contributions] == ["search", "purchase"]
    # the same partitions again: each topic has its own fence
    await rig.process(rig.inbound(search(offset=7)), rig.inbound(order(offset=41, item_id="i1")))
    newest = rig.states()["ann"][-1]
    assert isinstance(newest, ProfileState)
    assert newest.applied == {"actions": 7, "orders": 41}
    assert rig.sensor.actions == {"applied": 3, "fenced": 1}


@asynchronous
async def test_the_fold_goes_on_from_what_is_in_the_topic() -> None:
    rig = Rig(profiles={0: [profile_record("ann", make_profile(5))]})
    await rig.take(search(offset=5), search(offset=6))
    assert rig.state().count == 2
    assert rig.sensor.actions == {"fenced": 1, "applied": 1}
    assert rig.sensor.restored == [(0, 1)]


@asynchronous
async def test_what_was_applied_already_is_acknowledged_and_not_published() -> None:
    rig = Rig(profiles={0: [profile_record("ann", make_profile(5))]})
    await rig.take(search(offset=4), search(offset=5))
    assert rig.outbox.records("profiles") == []
    assert rig.acknowledged == [0]


@asynchronous
async def test_a_state_that_was_overtaken_is_published_again_at_once() -> None:
    overtaken = [profile_record("ann", make_profile(5)), profile_record("ann", make_profile(2))]
    rig = Rig(profiles={0: overtaken, 1: [profile_record("bob", make_profile(1, partition=1))]})
    await rig.pipeline.on_assigned(GENERATION, [TP("actions", 0), TP("actions", 1), TP("items", 3)])
    assert rig.states() == {"ann": [make_profile(5)]}
    assert sorted(rig.sensor.restored) == [(0, 1), (1, 1)]
    await rig.take(search("bob", offset=6, partition=1))
    assert list(rig.states()) == ["ann", "bob"]


@asynchronous
async def test_what_was_overtaken_is_published_by_the_first_batch_where_none_was_assigned() -> None:
    fence = Fence(partition=0, applied={"actions": 9}, forgotten_ts=NOW)
    rig = Rig(profiles={0: [profile_record("ann", fence), profile_record("ann", make_profile(2))]})
    await rig.take(search("bob", offset=10))
    assert rig.states()["ann"] == [fence]
    assert rig.state("bob").count == 1


# Forgetting


@asynchronous
async def test_forget_publishes_a_tombstone_with_its_fence() -> None:
    rig = Rig()
    await rig.take(search(offset=0), search("bob", offset=1))
    await rig.take(action_record("ann", "forget", offset=2, ts=NOW + 1))
    record = rig.outbox.published[1][0]
    assert (record.topic, record.partition, record.key) == ("profiles", 0, b"ann")
    assert record.value is None
    assert published(record) == Fence(partition=0, applied={"actions": 2}, forgotten_ts=NOW + 1)
    assert len(rig.outbox.published[1]) == 1
    assert rig.acknowledged == [0, 1]
    await rig.take(search(offset=3, ts=NOW + 1))
    assert rig.outbox.published[2] == []
    assert rig.sensor.actions == {"applied": 2, "forget": 1, "forgotten_user": 1}


@asynchronous
async def test_forgotten_and_back_is_one_state() -> None:
    rig = Rig()
    await rig.process(
        rig.inbound(search(text="a", offset=0), action_record(action="forget", offset=1)),
        rig.inbound(search(text="b", offset=2, ts=NOW + 1)),
    )
    state = rig.state()
    assert (state.count, state.forgotten_ts) == (1, NOW)
    np.testing.assert_allclose(state.array(), 0.5 * vector_of("b"), atol=1e-7)


@asynchronous
async def test_back_and_forgotten_is_one_tombstone() -> None:
    rig = Rig()
    await rig.process(
        rig.inbound(search(offset=0)), rig.inbound(action_record(action="forget", offset=1))
    )
    assert rig.states() == {"ann": [Fence(partition=0, applied={"actions": 1}, forgotten_ts=NOW)]}


# Items


def item_vectors(rig: Rig) -> list[tuple[bytes | None, ItemVector | None]]:
    return [
        (
            record.key,
            None if record.value is None else msgspec.msgpack.decode(record.value, type=ItemVector),
        )
        for record in rig.outbox.records("item-vectors")
    ]


@asynchronous
async def test_items_become_item_vectors_and_a_null_a_tombstone() -> None:
    rig = Rig()
    await rig.take(
        item_record("1", "Alien", categories=("horror",), description="In space", partition=3),
        item_delete("2", offset=1, partition=3),
        item_record("3", "Solaris", offset=2, partition=3),
    )
    (alien, deleted, solaris) = item_vectors(rig)
    assert alien == (
        b"1",
        ItemVector(
            encoder=ENCODER,
            dim=DIM,
            vector=vector_of("Alien. horror. In space").astype("<f4").tobytes(),
            title="Alien",
            categories=("horror",),
            source_offset=0,
        ),
    )
    assert deleted == (b"2", None)
    tombstone = rig.outbox.records("item-vectors")[1]
    assert tombstone.headers == ((ITEM_OFFSET_HEADER, b"1"),)
    assert solaris[1] is not None
    assert solaris[1].vector == vector_of("Solaris").astype("<f4").tobytes()
    assert solaris[1].source_offset == 2
    assert {record.partition for record in rig.outbox.records("item-vectors")} == {3}
    assert rig.sensor.items == {"published": 3}
    assert rig.acknowledged == [0]
    assert rig.states() == {}


@asynchronous
async def test_a_bad_item_is_a_dead_letter_and_the_others_are_not() -> None:
    rig = Rig(encoding=FakeEncoding(bad={"Cursed": EncodingFailedError("too odd")}))
    await rig.take(
        item_record("1"),
        bad_record(topic="items", offset=1),
        item_record("2", "Cursed", offset=2),
        item_delete("3", offset=3),
        item_record("4", offset=4),
    )
    assert [key for key, _ in item_vectors(rig)] == [b"1", b"3", b"4"]
    assert rig.letters() == [("malformed", 1), ("encoder", 2)]


@asynchronous
async def test_items_restore_no_profiles() -> None:
    rig = Rig()
    await rig.take(item_record("1", partition=5))
    assert rig.sensor.restored == []


@asynchronous
async def test_items_and_actions_share_a_micro_batch() -> None:
    rig = Rig(items=FakeSource([item_record("1", "Alien")]))
    await rig.process(
        rig.inbound(item_record("1", "Alien")),
        rig.inbound(action_record(item_id="1")),
        rig.inbound(item_record("2", "Solaris", offset=1)),
    )
    assert [key for key, _ in item_vectors(rig)] == [b"1", b"2"]
    np.testing.assert_allclose(rig.state().array(), 0.5 * vector_of("Alien"), atol=1e-7)
    assert sorted(rig.acknowledged) == [0, 1, 2]


# Dead letters


def headers_of(record: OutRecord) -> Mapping[str, str]:
    return {name: value.decode() for name, value in record.headers}


@asynchronous
async def test_a_dead_letter_is_the_original_and_six_headers() -> None:
    rig = Rig()
    bad = bad_record(offset=12, partition=3)
    await rig.take(bad)
    (letter,) = rig.outbox.records("actions-dead-letter")
    assert (letter.key, letter.value, letter.partition) == (bad.key, bad.value, 3)
    headers = dict(headers_of(letter))
    assert "cannot be read" in headers.pop("reason")
    assert headers == {
        "error": "malformed",
        "source-topic": "actions",
        "source-partition": "3",
        "source-offset": "12",
        "time": str(NOW + 5),
    }
    assert letter.may_shorten
    assert rig.acknowledged == [0]
    assert rig.sensor.dead_letters == ["malformed"]


@asynchronous
async def test_a_dead_letter_keeps_a_missing_key_and_value() -> None:
    rig = Rig()
    await rig.take(KafkaRecord("orders", None, None))
    (letter,) = rig.outbox.records("actions-dead-letter")
    assert (letter.key, letter.value) == (None, None)
    assert headers_of(letter)["source-topic"] == "orders"


@asynchronous
async def test_poison_among_good_records_changes_nothing_for_them() -> None:
    rig = Rig()
    await rig.take(
        bad_record(offset=0),
        search(text="a", offset=1),
        search(text="", offset=2),
        action_record(action="stare", offset=3),
        search("bob", "b", offset=4),
    )
    assert rig.letters() == [("malformed", 0), ("no_text", 2), ("unknown_action", 3)]
    assert rig.state("ann").count == rig.state("bob").count == 1
    np.testing.assert_allclose(rig.state("bob").array(), 0.5 * vector_of("b"), atol=1e-7)


@asynchronous
async def test_a_micro_batch_of_many_partitions_is_shared_out_among_them() -> None:
    """It is read as one; each action and each letter goes to the partition it came from."""
    rig = Rig(encoding=FakeEncoding(bad={"cursed": EncodingFailedError("too odd")}))
    users = {0: "ann", 1: "bob", 2: "cid"}
    batches = [
        rig.inbound(
            *(
                search(users[partition], text, partition=partition, offset=first + n)
                for n, text in enumerate(texts)
            )
        )
        for partition, first, texts in [
            (1, 0, ["a", "", "cursed"]),
            (0, 7, ["a"]),
            (1, 3, ["b", ""]),
            (2, 5, ["cursed", "b", "c"]),
        ]
    ]
    await rig.process(*batches)
    letters = {
        (int(letter["source-partition"]), int(letter["source-offset"]), letter["error"])
        for letter in map(headers_of, rig.outbox.records("actions-dead-letter"))
    }
    assert letters == {
        (1, 1, "no_text"), (1, 2, "encoder"), (1, 4, "no_text"), (2, 5, "encoder"),
    }  # fmt: skip
    assert {one.partition for one in rig.outbox.records("profiles")} == {0, 1, 2}
    for user, texts, last in [("ann", "a", 7), ("bob", "ab", 3), ("cid", "bc", 7)]:
        state = rig.state(user)
        assert (state.count, state.applied) == (len(texts), {"actions": last})
    assert sorted(rig.acknowledged) == [0, 1, 2, 3]


@asynchronous
async def test_an_encoder_s_error_dead_letters_the_actions_of_that_text_only() -> None:
    rig = Rig(encoding=FakeEncoding(bad={"cursed": EncodingFailedError("too odd")}))
    await rig.process(
        rig.inbound(
            search(text="a", offset=0),
            search(text="cursed", offset=1),
            action_record(action="forget", user_id="cid", offset=2),
            search(text="b", offset=3),
        ),
        rig.inbound(search("bob", "cursed", offset=4), search("bob", "c", offset=5)),
    )
    assert rig.letters() == [("encoder", 1), ("encoder", 4)]
    reasons = [headers_of(one)["reason"] for one in rig.outbox.records("actions-dead-letter")]
    assert reasons == ["the encoder failed: too odd"] * 2
    assert (rig.state("ann").count, rig.state("bob").count) == (2, 1)
    np.testing.assert_allclose(rig.state("bob").array(), 0.5 * vector_of("c"), atol=1e-7)
    assert isinstance(rig.states()["cid"][0], Fence)
    assert len(rig.encoding.calls) == 1


# The catalogue


@asynchronous
async def test_an_unknown_item_refreshes_the_catalogue_once_a_batch() -> None:
    rig = Rig(items=FakeSource([item_record("new")]))
    await rig.take(
        action_record(item_id="new", offset=0),
        action_record(item_id="gone", offset=1),
        action_record(item_id="lost", offset=2),
    )
    assert rig.items.reads == 1
    assert rig.letters() == [("unknown_item", 1), ("unknown_item", 2)]
    assert rig.state().count == 1


@asynchronous
async def test_known_items_refresh_nothing() -> None:
    rig = Rig(items=FakeSource([item_record("1")]))
    await rig.take(action_record(item_id="1"))
    await rig.take(action_record(item_id="1", offset=1), search(offset=2), bad_record(offset=3))
    assert rig.items.reads == 1


# An encoder that fails


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; none is waited for."""
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)
        await let_run(1)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return asked


def outage() -> EncodingFailedError:
    return EncodingFailedError("out of memory", retriable=True)


@asynchronous
async def test_an_outage_of_the_encoder_is_waited_out(pauses: list[float]) -> None:
    rig = Rig(encoding=FakeEncoding(outages=[outage() for _ in range(8)]))
    await rig.take(search())
    assert rig.letters() == []
    assert rig.state().count == 1
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


@asynchronous
async def test_an_outage_is_waited_out_for_items_too(pauses: list[float]) -> None:
    rig = Rig(encoding=FakeEncoding(outages=[outage()]))
    await rig.take(item_record("1"))
    assert [key for key, _ in item_vectors(rig)] == [b"1"]
    assert len(pauses) == 1


@asynchronous
async def test_a_bad_text_in_an_outage_is_a_dead_letter_after_it(pauses: list[float]) -> None:
    bad = {"cursed": EncodingFailedError("too odd")}
    rig = Rig(encoding=FakeEncoding(bad=dict(bad), outages=[outage()]))
    await rig.take(search(text="cursed"), search(offset=1))
    assert rig.letters() == [("encoder", 0)]
    assert len(pauses) == 1


@asynchronous
async def test_an_outage_that_lasts_ends_the_pipeline(pauses: list[float]) -> None:
    rig = Rig(encoding=FakeEncoding(outages=[outage()]), retry_seconds=-1)
    with pytest.raises(EncodingFailedError, match="out of memory"):
        await rig.take(search())
    assert rig.outbox.published == []
    assert rig.acknowledged == []
    assert pauses == []


# Acknowledging


@asynchronous
async def test_a_batch_is_acknowledged_when_it_was_published_and_not_before() -> None:
    rig = Rig()
    rig.outbox.gate.clear()
    async with rig.running():
        await rig.pipeline.put(rig.inbound(search(), bad_record(offset=1)))
        await until(lambda: rig.outbox.waiting)
        await let_run()
        assert rig.acknowledged == []
        rig.outbox.gate.set()
        await until(lambda: rig.acknowledged)
        assert len(rig.outbox.published) == 1
        assert rig.acknowledged == [0]


@asynchronous
async def test_nothing_is_acknowledged_when_publishing_fails() -> None:
    rig = Rig()
    rig.outbox.error = PublishError("no broker")
    async with rig.running() as task:
        await rig.pipeline.put(rig.inbound(search()))
        await rig.pipeline.put(rig.inbound(item_record("1")))
        await asyncio.wait([task])
        error = task.exception()
        assert isinstance(error, ExceptionGroup)
        assert error.subgroup(PublishError) is not None
    assert rig.acknowledged == []


@asynchronous
async def test_a_restore_that_fails_ends_the_pipeline() -> None:
    rig = Rig(profiles={0: [profile_record("ann", make_profile(encoder="other"))]})
    async with rig.running() as task:
        await rig.pipeline.put(rig.inbound(search()))
        await asyncio.wait([task])
        assert isinstance(task.exception(), ExceptionGroup)
    assert rig.acknowledged == []
    assert rig.outbox.published == []


# The stages and their bounds


@asynchronous
async def test_a_full_micro_batch_is_prepared_while_one_is_published() -> None:
    rig = Rig(batch_actions=1)
    rig.outbox.gate.clear()
    async with rig.running():
        await rig.pipeline.put(rig.inbound(search(text="a")))
        await until(lambda: rig.outbox.waiting)
        await rig.pipeline.put(rig.inbound(search(text="b", offset=1)))
        await until(lambda: len(rig.encoding.calls) == 2)
        assert rig.outbox.published == []
        rig.outbox.gate.set()
        await until(lambda: rig.acknowledged == [0, 1])
    newest = rig.states()["ann"][-1]
    assert isinstance(newest, ProfileState)
    assert newest.count == 2


@asynchronous
async def test_a_micro_batch_takes_what_is_there_up_to_its_size() -> None:
    rig = Rig(batch_actions=4)
    rig.outbox.gate.clear()
    batches = [
        rig.inbound(*(search(text=f"{n}.{k}", offset=2 * n + k) for k in range(2)))
        for n in range(7)
    ]
    async with rig.running():
        # Two micro-batches are on their way; four actions wait, and a batch more is being put.
        putting = asyncio.create_task(put_all(rig, batches))
        await until(lambda: rig.outbox.waiting)
        rig.outbox.gate.set()
        await until(lambda: len(rig.acknowledged) == 7)
        await putting
    sizes = [len(call) for call in rig.encoding.calls]
    assert sum(sizes) == 14
    assert max(sizes) == 4
    assert rig.acknowledged == list(range(7))


@asynchronous
async def test_put_waits_while_the_pipeline_is_full() -> None:
    rig = Rig(batch_actions=1)
    rig.outbox.gate.clear()
    taken = 0

    async def produce() -> None:
        nonlocal taken
        for offset in range(50):
            await rig.pipeline.put(rig.inbound(search(text=str(offset), offset=offset)))
            taken += 1

    async with rig.running():
        producer = asyncio.create_task(produce())
        await let_run()
        # 1 is published, 1 is folded and waits for it, 1 waits in the inbox
        assert taken == 3
        assert len(rig.encoding.calls) == 2
        rig.outbox.gate.set()
        await producer
        await until(lambda: len(rig.acknowledged) == 50)
    assert rig.acknowledged == list(range(50))
    newest = rig.states()["ann"][-1]
    assert isinstance(newest, ProfileState)
    assert newest.count == 50


async def put_all(rig: Rig, batches: Iterable[Inbound]) -> None:
    for batch in batches:
        await rig.pipeline.put(batch)


# Rebalances


@asynchronous
async def test_dropped_batches_leave_their_place_to_others() -> None:
    rig = Rig(batch_actions=1)
    await rig.pipeline.on_assigned(1, [TP("actions", 0)])
    await rig.pipeline.on_revoked(1)
    old = [rig.inbound(search("old", offset=n), generation=1) for n in range(5)]
    async with rig.running():
        await put_all(rig, [*old, rig.inbound(search("new", offset=5), generation=2)])
        await until(lambda: rig.acknowledged == [5])
    assert set(rig.states()) == {"new"}


@asynchronous
async def test_batches_of_a_generation_that_was_revoked_are_dropped() -> None:
    rig = Rig()
    await rig.pipeline.on_assigned(1, [TP("actions", 0)])
    await rig.pipeline.on_revoked(1)
    async with rig.running():
        await rig.pipeline.put(rig.inbound(search("old"), generation=1))
        await rig.pipeline.put(rig.inbound(search("new", offset=1), generation=2))
        await until(lambda: rig.acknowledged)
        await let_run()
    assert list(rig.states()) == ["new"]
    assert rig.acknowledged == [1]


@asynchronous
async def test_what_was_prepared_before_a_revocation_is_dropped() -> None:
    rig = Rig()
    mixed = [
        rig.inbound(search("old"), bad_record(offset=1), generation=1),
        rig.inbound(item_record("1"), generation=1),
        rig.inbound(search("new", offset=2), generation=2),
    ]
    prepared = await rig.preparer.prepare(mixed)
    await rig.pipeline.on_revoked(1)
    folded = await rig.pipeline.fold(prepared)
    assert folded is not None
    await rig.pipeline.publish(folded)
    assert [record.key for record in rig.outbox.published[0]] == [b"new"]
    assert rig.acknowledged == [2]
    assert rig.sensor.dead_letters == []


@asynchronous
async def test_a_revocation_waits_for_what_is_being_published_then_gives_all_up() -> None:
    rig = Rig()
    rig.outbox.gate.clear()
    async with rig.running():
        await rig.pipeline.put(rig.inbound(search()))
        await until(lambda: rig.outbox.waiting)
        revoked = asyncio.create_task(rig.pipeline.on_revoked(GENERATION))
        await let_run()
        assert not revoked.done()
        assert "ann" in rig.owned.table(0)
        rig.outbox.gate.set()
        await revoked
        assert rig.acknowledged == [0]
        with pytest.raises(KeyError):
            rig.owned.table(0)


@asynchronous
async def test_a_partition_that_comes_back_is_restored_from_the_topic() -> None:
    rig = Rig()
    await rig.take(search(offset=0))
    await rig.pipeline.on_revoked(GENERATION)
    # meanwhile another worker
    rig.profiles[0] = [profile_record("ann", make_profile(8, count=9))]
    await rig.pipeline.on_assigned(GENERATION + 1, [TP("actions", 0)])
    await rig.process(rig.inbound(search(offset=8), search(offset=9), generation=GENERATION + 1))
    newest = rig.states()["ann"][-1]
    assert isinstance(newest, ProfileState)
    assert (newest.count, newest.applied) == (10, {"actions": 9})


@asynchronous
async def test_after_drain_nothing_more_is_published() -> None:
    rig = Rig()
    rig.outbox.gate.clear()
    async with rig.running():
        await rig.pipeline.put(rig.inbound(search()))
        await until(lambda: rig.outbox.waiting)
        drained = asyncio.create_task(rig.pipeline.drain())
        await let_run()
        assert not drained.done()
        await rig.pipeline.put(rig.inbound(search("bob", offset=1)))
        rig.outbox.gate.set()
        await drained
        await let_run()
    assert rig.acknowledged == [0]
    assert list(rig.states()) == ["ann"]


@asynchronous
async def test_a_stray_cancellation_is_an_error_and_no_end() -> None:
    rig = Rig()
    rig.outbox.error = asyncio.CancelledError()  # type: ignore[assignment] # what a client lets out
    async with rig.running() as task:
        await rig.pipeline.put(rig.inbound(search()))
        await until(task.done)
    (error,) = task.exception().exceptions  # type: ignore[union-attr]
    assert isinstance(error, StreamsError)
    assert rig.acknowledged == []


@asynchronous
async def test_one_is_folded_while_another_is_published_and_never_published_before_it() -> None:
    rig = Rig(batch_actions=1)
    rig.outbox.gate.clear()
    async with rig.running():
        for offset, text in enumerate("abc"):
            await rig.pipeline.put(rig.inbound(search(text=text, offset=offset)))
        await until(lambda: rig.sensor.actions.get("applied") == 2)
        await let_run()
        assert rig.outbox.waiting == 1
        rig.outbox.gate.set()
        await until(lambda: len(rig.acknowledged) == 3)
    versions = [state.applied["actions"] for state in rig.states()["ann"] if state]
    assert versions == [0, 1, 2]
    assert rig.acknowledged == [0, 1, 2]


@asynchronous
async def test_whoever_waits_for_publications_does_not_wait_for_those_that_never_come() -> None:
    rig = Rig(batch_actions=1)
    rig.outbox.gate.clear()
    async with rig.running() as task:
        for offset in range(3):
            await rig.pipeline.put(rig.inbound(search(text=str(offset), offset=offset)))
        await until(lambda: rig.outbox.waiting)
        await let_run()
        revoking = asyncio.create_task(rig.pipeline.on_revoked(GENERATION))
        rig.outbox.error = PublishError("no broker")
        rig.outbox.gate.set()
        await until(task.done)
        await revoking
    assert isinstance(task.exception(), BaseExceptionGroup)
    assert rig.acknowledged == []
