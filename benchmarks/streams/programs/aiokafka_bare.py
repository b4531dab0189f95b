"""aiokafka without a framework: fetch and count."""

import asyncio

from aiokafka import AIOKafkaConsumer
from meter import Meter, arguments

given = arguments()
meter = Meter(given["progress"])


async def main():
    consumer = AIOKafkaConsumer(
        given["topic"],
        bootstrap_servers=given["bootstrap"],
        group_id=given["group"],
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    while True:
        for records in (await consumer.getmany(timeout_ms=500, max_records=20_000)).values():
            meter.add(len(records))


asyncio.run(main())
