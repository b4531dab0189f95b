"""A stock Faust agent that takes batches and does nothing with them."""

import sys

import faust
from meter import Meter, arguments

given = arguments()
meter = Meter(given["progress"])
app = faust.App(
    given["group"],
    broker=f"kafka://{given['bootstrap']}",
    datadir=given["folder"],
    web_enabled=False,
    topic_disable_leader=True,
    stream_wait_empty=False,
    consumer_auto_offset_reset="earliest",
)
topic = app.topic(given["topic"], key_serializer="raw", value_serializer="raw")


@app.agent(topic)
async def read(actions):
    async for batch in actions.take(1000, within=1.0):
        meter.add(len(batch))


sys.argv = ["faust", "worker", "--loglevel", "warn"]
app.main()
