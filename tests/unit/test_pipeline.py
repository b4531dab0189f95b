"""The pipeline: what is published for what came in, and when it is acknowledged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
from pipeline_rig import TP, Rig, item_vectors, order, search
from streams_fakes import (
    DIM,
    ENCODER,
    IDENTITY,
    NOW,
    FakeEncoding,
    FakeSource,
    KafkaRecord,
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

from encoders import EncodingFailedError
from store.item_vector import ITEM_OFFSET_HEADER, ItemVector
from store.profile import Fence, ProfileState
from streams.errors import PublishError

if TYPE_CHECKING:
    pass


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
    await rig.pipeline.on_assigned([TP("actions", 0), TP("actions", 1), TP("items", 3)])
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


@asynchronous
async def test_items_become_item_vectors_and_a_null_a_tombstone() -> None:
    rig = Rig()
    await rig.take(
        item_record("1", "Alien", categories=("horror",), description="In space", partition=3),
        item_delete("2", offset=1, partition=3),
        item_record(
            "3",
            "Solaris",
            offset=2,
            partition=3,
            attributes={"lang": "ru", "year": 1972, "new": True, "stars": 4.5},
        ),
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
    as_text = {"lang": "ru", "year": "1972", "new": "true", "stars": "4.5"}
    assert solaris[1].attributes == as_text
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
