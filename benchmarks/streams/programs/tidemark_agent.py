"""Tidemark's Faust app with an empty body: the transport driver and the whole-batch hand-over."""

import asyncio
from pathlib import Path

from meter import Meter, arguments

from streams.app import GroupSettings, build_app, run_app
from streams.health import Health
from tidemark.settings import KafkaSettings

given = arguments()
meter = Meter(given["progress"])


class EmptyPipeline:
    """Acknowledges at once."""

    async def put(self, inbound):
        meter.add(len(inbound.records))
        inbound.acknowledge()

    async def on_assigned(self, assigned):
        pass

    async def on_revoked(self, era):
        pass

    def fail(self, error):
        raise error


app = build_app(
    GroupSettings(
        group=given["group"],
        bootstrap=given["bootstrap"],
        poll_records=KafkaSettings().poll_records,
    ),
    [given["topic"]],
    EmptyPipeline(),
    Health(),
    Path(given["folder"]),
)
asyncio.run(run_app(app, asyncio.Event()))
