"""Quix Streams: a batching sink encodes what a checkpoint holds, averages, and updates FAISS."""

import logging

import msgspec
from freshening import Freshening
from meter import Meter, arguments
from quixstreams import Application
from quixstreams.sinks import BatchingSink

logging.disable(logging.INFO)
given = arguments()
meter = Meter(given["progress"], step=1)
profiles = Freshening(given["model"], given["texts"])
decode = msgspec.msgpack.Decoder().decode


class FreshenProfiles(BatchingSink):
    def write(self, batch):
        for some in batch.iter_chunks(given["batch"]):
            decoded = [decode(one.value) for one in some]
            profiles.update([(int(one["user_id"]), one["item_id"]) for one in decoded])
            meter.add(len(decoded))


app = Application(
    broker_address=given["bootstrap"],
    consumer_group=given["group"],
    auto_offset_reset="earliest",
    state_dir=given["folder"],
    commit_every=given["batch"],
    consumer_extra_config={"max.poll.interval.ms": 600_000},
)
topic = app.topic(given["topic"], key_deserializer="str", value_deserializer="bytes")
app.dataframe(topic).sink(FreshenProfiles())
app.run()
