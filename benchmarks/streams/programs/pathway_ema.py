"""Pathway: a stateful reducer keeps each user's moving average of ready vectors.

JSON, since Pathway parses it in Rust; MessagePack would need a Python function for each action.
"""

import numpy as np
import pathway as pw
from meter import Meter, arguments

K = 0.9
given = arguments()
meter = Meter(given["progress"])
vectors = np.load(given["vectors"])


class Action(pw.Schema):
    user_id: str
    item_id: str


actions = pw.io.kafka.read(
    {
        "bootstrap.servers": given["bootstrap"],
        "group.id": given["group"],
        "auto.offset.reset": "earliest",
    },
    topic=given["topic"],
    format="json",
    schema=Action,
    autocommit_duration_ms=100,
)


@pw.reducers.stateful_many
def moving_average(profile: np.ndarray | None, rows: list) -> np.ndarray:
    profile = np.zeros(vectors.shape[1], np.float32) if profile is None else profile
    for (item_id,), count in rows:
        profile = K * profile + (1 - K) * vectors[int(item_id)]
        meter.add(count)
    return profile


profiles = actions.groupby(pw.this.user_id).reduce(
    pw.this.user_id, profile=moving_average(pw.this.item_id)
)
pw.io.null.write(profiles)
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
