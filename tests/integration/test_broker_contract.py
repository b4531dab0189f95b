"""What we build on holds on every broker: reading to the end, committing, codecs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgpack
import numpy as np
import pytest
from kafka import KafkaProducer
from system_helpers import (
    PARTITIONS,
    Deployment,
    ProfilesProbe,
    assert_same_profiles,
    reference_profiles,
)

from store.batch import Pairs
from streams.app import GroupSettings, build_app, run_app
from streams.batches import Inbound
from streams.health import Health
from streams.outbox import KafkaOutbox
from streams.records import OutPairs, OutRecord
from streams.schema import Action, Item
from streams.tail import TopicTail
from streams.topic_names import ActionTopic

pytestmark = pytest.mark.integration

ITEMS = [Item(item_id=f"i{n}", title=f"Film number {n}", categories=("Drama",)) for n in range(20)]


def ratings(count: int, users: int = 5) -> list[Action]:
    return [
        Action(user_id=f"user{n % users}", action="rate", ts=1_700_000_000_000 + n,
               item_id=f"i{n % 20}", rating=float(1 + n % 5))
        for n in range(count)
    ]  # fmt: skip


def test_a_tail_reads_to_the_very_end(deployment: Deployment) -> None:
    """Also where ListOffsets names the base of the last batch, as the embedded broker does."""

    async def main() -> None:
        topic = deployment.names.profiles
        outbox = KafkaOutbox(deployment.bootstrap)
        await outbox.start()
        for size in (512, 1, 77):
            await outbox.publish([OutRecord(topic, 0, b"%d" % n, b"v" * 100) for n in range(size)])
        tail = TopicTail(deployment.bootstrap, {topic: None})
        await tail.start()
        assert tail.lag() is None
        assert len(await tail.read_to_end()) == 512 + 1 + 77
        assert tail.lag() == 0
        one = TopicTail(deployment.bootstrap, {topic: [1]})
        await one.start()
        assert await one.read_to_end() == []
        await outbox.publish([OutRecord(topic, 1, b"k", None, (("h", b"1"),))])
        (tombstone,) = await one.read_to_end()
        assert (tombstone.key, tombstone.value, list(tombstone.headers)) == (
            b"k", None, [("h", b"1")],
        )  # fmt: skip
        await asyncio.gather(tail.stop(), one.stop(), outbox.stop())

    asyncio.run(main())


def test_what_is_published_in_columns_is_read_as_it_was(deployment: Deployment) -> None:
    """The broker checks the batches that we write ourselves."""

    async def main() -> None:
        topic = deployment.names.profiles
        parts = [part for n in range(3_000) for part in (b"user-%d" % n, b"%d" % n * (n % 700))]
        pairs = Pairs(np.frombuffer(b"".join(parts), np.uint8), np.cumsum([0, *map(len, parts)]))
        outbox = KafkaOutbox(deployment.bootstrap)
        await outbox.start()
        await outbox.publish([OutPairs(topic, 0, pairs), OutRecord(topic, 0, b"last", b"v")])
        tail = TopicTail(deployment.bootstrap, {topic: [0]})
        await tail.start()
        found = await tail.read_to_end()
        assert [(one.key, one.value) for one in found[:-1]] == pairs.listed()
        assert found[-1].key == b"last"
        assert [one.offset for one in found] == list(range(3_001))
        assert all(abs(one.timestamp - 1000 * time.time()) < 60_000 for one in found)
        await asyncio.gather(tail.stop(), outbox.stop())

    asyncio.run(main())


def test_reading_to_the_end_ends_while_the_topic_grows(deployment: Deployment) -> None:
    async def main() -> None:
        outbox = KafkaOutbox(deployment.bootstrap)
        await outbox.start()
        topic = deployment.names.items
        growing = True

        async def grow() -> int:
            number = 0
            while growing:
                await outbox.publish([OutRecord(topic, number % PARTITIONS, b"%d" % number, b"v")])
                number += 1
            return number

        writer = asyncio.create_task(grow())
        tail = TopicTail(deployment.bootstrap, {topic: None})
        await tail.start()
        sizes = []
        for _ in range(3):
            await outbox.publish([OutRecord(topic, 0, b"marker", b"v")])
            found = await asyncio.wait_for(tail.read_to_end(), 20)
            assert b"marker" in {record.key for record in found}
            sizes.append(len(found))
        growing = False
        written = await writer
        sizes.append(len(await tail.read_to_end()))
        assert sum(sizes) == written + 3
        await asyncio.gather(tail.stop(), outbox.stop())

    asyncio.run(main())


class RecordingPipeline:
    """In the pipeline's place behind the Faust app: keeps batches, acknowledges on demand."""

    def __init__(self) -> None:
        self.batches: list[Inbound] = []

    async def put(self, inbound: Inbound) -> None:
        self.batches.append(inbound)

    async def on_assigned(self, assigned: object) -> None:
        pass

    async def on_revoked(self, era: int) -> None:
        pass

    def fail(self, error: Exception) -> None:
        raise error

    def offsets(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {number: [] for number in range(PARTITIONS)}
        for batch in self.batches:
            found[batch.partition] += [record.offset for record in batch.records]
        return found


def test_the_transport_hands_over_batches_and_commits_what_is_acknowledged(
    deployment: Deployment, tmp_path: Path
) -> None:
    """The first run acknowledges half of each partition's batches: the second reads the rest."""
    topic = deployment.names.actions[0].name
    total = 2_000
    with deployment.actions() as publisher:
        for action in ratings(total, users=50):
            publisher.publish_action(action)

    async def consume(keep: int) -> RecordingPipeline:
        pipeline = RecordingPipeline()
        settings = GroupSettings(
            group=deployment.group, bootstrap=deployment.bootstrap, poll_records=100,
            session_seconds=6.0, commit_seconds=0.1,
        )  # fmt: skip
        app = build_app(settings, [topic], pipeline, Health(), tmp_path)
        stopping = asyncio.Event()
        running = asyncio.create_task(run_app(app, stopping))
        deadline = time.monotonic() + 60
        while sum(len(batch.records) for batch in pipeline.batches) < total - keep:
            assert time.monotonic() < deadline
            assert not running.done()
            await asyncio.sleep(0.02)
        if keep == 0:
            # Backwards: a commit must wait for the batches before it all the same.
            for number in range(PARTITIONS):
                mine = [batch for batch in pipeline.batches if batch.partition == number]
                for batch in reversed(mine[: len(mine) // 2]):
                    batch.acknowledge()
                mine[-1].acknowledge()  # after a gap: must not be committed
        await app.consumer.commit()
        stopping.set()
        await running
        return pipeline

    async def main() -> None:
        first = await consume(0)
        for offsets in first.offsets().values():
            assert offsets == list(range(len(offsets)))
        assert max(len(batch.records) for batch in first.batches) > 1
        half = {
            number: [b for b in first.batches if b.partition == number]
            for number in range(PARTITIONS)
        }
        committed = {
            number: sum(len(batch.records) for batch in mine[: len(mine) // 2])
            for number, mine in half.items()
        }
        second = await consume(sum(committed.values()))
        for number, offsets in second.offsets().items():
            assert offsets[0] == committed[number]
            assert offsets == list(range(committed[number], len(first.offsets()[number])))

    asyncio.run(main())


def test_a_restore_longer_than_the_session_costs_no_membership(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Else it would begin anew, again and again."""
    topic, session = deployment.names.actions[0].name, 6.0
    with deployment.actions() as publisher:
        for action in ratings(200, users=50):
            publisher.publish_action(action)

    class Restoring(RecordingPipeline):
        assigned = restored = revoked = 0

        async def on_assigned(self, assigned: object) -> None:  # noqa: ARG002 # not asked for
            self.assigned += 1
            await asyncio.sleep(session + 3)  # as a restore does, longer than the broker waits
            self.restored += 1

        async def on_revoked(self, era: int) -> None:  # noqa: ARG002
            self.revoked += 1

    async def main() -> None:
        pipeline = Restoring()
        settings = GroupSettings(deployment.group, deployment.bootstrap, session_seconds=session)
        app = build_app(settings, [topic], pipeline, Health(), tmp_path)
        stopping = asyncio.Event()
        running = asyncio.create_task(run_app(app, stopping))
        deadline = time.monotonic() + 60
        while not pipeline.restored or len(pipeline.batches) < PARTITIONS:
            assert time.monotonic() < deadline
            assert not running.done()
            await asyncio.sleep(0.02)
        for batch in pipeline.batches:
            batch.acknowledge()
        assert await app.consumer.commit()
        # The revocation is that of the start, of nothing.
        assert (pipeline.assigned, pipeline.restored, pipeline.revoked) == (1, 1, 1)
        stopping.set()
        await running

    asyncio.run(main())


def test_every_codec_is_read(deployment: Deployment) -> None:
    deployment.publish_items(ITEMS)
    log = ratings(400)
    for number, codec in enumerate(("gzip", "snappy", "lz4", "zstd")):
        producer = KafkaProducer(
            bootstrap_servers=deployment.bootstrap, compression_type=codec, linger_ms=50
        )
        for action in log[number * 100 : (number + 1) * 100]:
            fields = {
                name: value
                for name in action.__struct_fields__
                if (value := getattr(action, name)) is not None
            }
            producer.send(
                deployment.names.actions[0].name,
                key=action.user_id.encode(),
                value=msgpack.packb(fields),
            )
        producer.flush()
        producer.close()

    async def main() -> None:
        async with ProfilesProbe(deployment.bootstrap, deployment.names.profiles) as probe:
            with deployment.worker() as worker:
                await probe.wait_applied(len(log), worker.check)
            assert_same_profiles(probe.states(), reference_profiles(ITEMS, log))

    asyncio.run(main())


def test_several_action_topics_of_two_formats(bootstrap: str, tmp_path: Path) -> None:
    """A user's actions come from two topics: one MessagePack, one JSON with a default action."""
    deployment = Deployment(
        bootstrap, tmp_path,
        [ActionTopic("clicks"), ActionTopic("ratings", "json", default_action="rate")],
    )  # fmt: skip
    deployment.publish_items(ITEMS)
    log = ratings(300)
    # Order between topics is not promised; all of an item's vectors in one profile commute only
    # where the users differ, so each user rates in one topic and one rates in both, the same item.
    both = [replace_user(action, "both", "i3") for action in log[:40]]
    with deployment.actions(0) as clicks, deployment.actions(1) as rated:
        for number, action in enumerate(log):
            (clicks if action.user_id in {"user0", "user1"} else rated).publish_action(action)
            if number < len(both):
                (clicks if number % 2 else rated).publish_action(both[number])

    async def main() -> None:
        async with ProfilesProbe(deployment.bootstrap, deployment.names.profiles) as probe:
            with deployment.worker() as worker:
                await probe.wait_applied(len(log) + len(both), worker.check)
            states = probe.states()
            shared = states.pop("both")
            assert shared.count == len(both)
            assert sorted(shared.applied) == sorted(
                topic.name for topic in deployment.names.actions
            )
            assert_same_profiles(states, reference_profiles(ITEMS, log))

    asyncio.run(main())


def replace_user(action: Action, user_id: str, item_id: str) -> Action:
    return Action(
        user_id=user_id, action=action.action, ts=action.ts, item_id=item_id, rating=action.rating
    )
