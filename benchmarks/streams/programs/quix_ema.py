"""Quix Streams: a stateful apply keeps each user's moving average of ready vectors.

State in RocksDB with a changelog topic, as it comes; kept as bytes, which spares the JSON that Quix
would make of a list of 384 numbers.
"""

import logging

import msgspec
import numpy as np
from meter import Meter, arguments
from quixstreams import Application

K = np.float32(0.9)
logging.disable(logging.INFO)
given = arguments()
meter = Meter(given["progress"])
vectors = np.load(given["vectors"])
decode = msgspec.msgpack.Decoder().decode

app = Application(
    broker_address=given["bootstrap"],
    consumer_group=given["group"],
    auto_offset_reset="earliest",
    state_dir=given["folder"],
)
topic = app.topic(given["topic"], key_deserializer="str", value_deserializer="bytes")


def update(value, state):
    vector = vectors[int(decode(value)["item_id"])]
    held = state.get_bytes("profile")
    profile = (1 - K) * vector
    if held is not None:
        profile += K * np.frombuffer(held, np.float32)
    state.set_bytes("profile", profile.tobytes())
    meter.add()


actions = app.dataframe(topic)
actions = actions.apply(update, stateful=True)
app.run()
