"""Stock Faust: take a batch, encode it, average, replace the users' vectors in FAISS."""

import sys

import faust
import msgspec
from freshening import Freshening
from meter import Meter, arguments

given = arguments()
meter = Meter(given["progress"], step=1)
profiles = Freshening(given["model"], given["texts"])
decode = msgspec.msgpack.Decoder().decode
app = faust.App(
    given["group"],
    broker=f"kafka://{given['bootstrap']}",
    datadir=given["folder"],
    web_enabled=False,
    topic_disable_leader=True,
    stream_wait_empty=False,
    consumer_auto_offset_reset="earliest",
    broker_max_poll_interval=600.0,  # a batch takes the model seconds
)
topic = app.topic(given["topic"], key_serializer="raw", value_serializer="raw")


@app.agent(topic)
async def freshen(actions):
    async for batch in actions.take(given["batch"], within=0.5):
        decoded = [decode(value) for value in batch]
        profiles.update([(int(one["user_id"]), one["item_id"]) for one in decoded])
        meter.add(len(batch))


sys.argv = ["faust", "worker", "--loglevel", "warn"]
app.main()
