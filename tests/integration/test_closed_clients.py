"""What is stopped while its broker stands still, or is cancelled meanwhile, does not go on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams import closing
from streams.brokers import ChildBroker, start_embedded
from streams.outbox import KafkaOutbox
from streams.records import OutRecord
from streams.tail import TopicTail

TOPIC = "things"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ChildBroker]:
    with start_embedded(tmp_path) as broker:
        yield broker


async def with_topic(broker: ChildBroker) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    await admin.close()


def going_on() -> set[str]:
    here = asyncio.current_task()
    return {repr(task) for task in asyncio.all_tasks() if task is not here}


def test_an_outbox_that_was_stopped_publishes_nothing_more(
    broker: ChildBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "_STOP_SECONDS", 0.3)

    async def main() -> None:
        await with_topic(broker)
        outbox = KafkaOutbox(broker.bootstrap)
        await outbox.start()
        os.kill(broker.process.pid, signal.SIGSTOP)
        try:
            record = OutRecord(topic=TOPIC, partition=0, key=b"k", value=b"late")
            publishing = asyncio.create_task(outbox.publish([record]))
            await asyncio.wait([publishing], timeout=0.3)
            publishing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await publishing
            await outbox.stop()
            assert going_on() == set()
        finally:
            os.kill(broker.process.pid, signal.SIGCONT)
        tail = TopicTail(broker.bootstrap, {TOPIC: None})
        await tail.start()
        found = await tail.read_to_end()
        await tail.stop()
        assert found == []

    asyncio.run(main())


def test_a_reader_whose_stop_is_cancelled_reads_no_further(broker: ChildBroker) -> None:
    async def main() -> None:
        await with_topic(broker)
        for steps in range(1, 10):
            tail = TopicTail(broker.bootstrap, {TOPIC: None})
            await tail.start()
            await tail.poll()
            stopping = asyncio.create_task(tail.stop())
            for _ in range(steps):
                await asyncio.sleep(0)
            stopping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await stopping
            assert going_on() == set(), steps

    asyncio.run(main())
