"""The Faust app: it fetches, keeps the group membership and commits; the pipeline does the rest."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import faust
from aiokafka.errors import KafkaError
from faust.transport.drivers import TRANSPORTS

from streams.batches import Inbound
from streams.errors import StreamsError, TopicMismatchError
from streams.security import PLAINTEXT
from streams.sensor import Sensor

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from streams.batches import TopicPartition
    from streams.health import Health
    from streams.security import Security

__all__ = ["GroupSettings", "Intake", "build_app", "require_all_topics", "run_app"]

logger = logging.getLogger(__name__)

# Also found by the entry point of the installed package; this serves a source tree.
TRANSPORTS.aliases["tidemark"] = "streams.transport:Transport"

_STOP_SECONDS = 6.0
_CHECK_SECONDS = 0.5
#: Batches, not records: what the stream holds of each partition before it is paused.
_BUFFERED_BATCHES = 4


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """How a worker takes part in its consumer group.

    Attributes:
        group: name of the consumer group.
        bootstrap: ``host:port`` of brokers, separated by commas.
        poll_records: most records of a partition that are handed over at once.
        commit_seconds: how often offsets are committed.
        session_seconds: a worker silent for so long loses its partitions.
        security: of the connections.
    """

    group: str
    bootstrap: str
    poll_records: int = 8_000
    commit_seconds: float = 0.5
    session_seconds: float = 10.0
    security: Security = PLAINTEXT


class Intake(Protocol):
    """What the app hands its batches to, and tells of its partitions; see `streams.pipeline`."""

    async def put(self, inbound: Inbound) -> None: ...  # noqa: D102
    async def on_assigned(self, assigned: Collection[TopicPartition]) -> None: ...  # noqa: D102
    async def on_revoked(self, era: int) -> None: ...  # noqa: D102
    def fail(self, error: Exception) -> None: ...  # noqa: D102


def build_app(
    settings: GroupSettings,
    topics: Sequence[str],
    pipeline: Intake,
    health: Health,
    folder: Path,
    sensor: Sensor | None = None,
) -> faust.App:
    """An app whose agents hand every fetched batch of the topics to the pipeline.

    Args:
        settings: of the group.
        topics: the action topics and the items; all with the same number of partitions.
        pipeline: is told of assignments and acknowledges each batch when it is durable.
        health: is told whether the worker serves.
        folder: Faust writes a folder of its own there.
        sensor: is told of commits.
    """
    datadir = folder / "faust"
    try:
        datadir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StreamsError(
            f"the state folder {folder} cannot be used: {error.strerror}; name another with --state"
        ) from error
    app = faust.App(
        settings.group,
        broker=";".join(f"tidemark://{address}" for address in settings.bootstrap.split(",")),
        broker_credentials=_credentials(settings.security),
        datadir=str(datadir),
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        # The fence makes reading again harmless, so a rebalance does not wait for what is
        # buffered; what is being published is waited for below.
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        stream_buffer_maxsize=_BUFFERED_BATCHES,
        processing_guarantee="at_least_once",
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 * 1024 * 1024,
        broker_max_poll_records=settings.poll_records,
        broker_commit_interval=settings.commit_seconds,
        broker_session_timeout=settings.session_seconds,
        broker_heartbeat_interval=settings.session_seconds / 5,
        # A retry after a broker's fall must not cost the membership.
        broker_max_poll_interval=600.0,
        table_standby_replicas=0,
    )

    app.on_commit = (sensor or Sensor()).on_commit  # `streams.transport.Consumer` calls it
    for topic in topics:
        app.agent(
            app.topic(topic, key_serializer="raw", value_serializer="raw"),
            name=f"tidemark-{topic}",
            concurrency=1,
        )(_agent(pipeline))

    async def on_assigned(_: Any, assigned: Any, **__: Any) -> None:
        logger.info("partitions assigned: %s", _named(assigned))
        try:
            require_all_topics(assigned, topics)
        except StreamsError as error:
            pipeline.fail(error)
            return
        await pipeline.on_assigned(assigned)
        health.on_serving()

    async def on_revoked(_: Any, revoked: Any, **__: Any) -> None:
        logger.info("partitions revoked: %s", _named(revoked))
        health.on_phase("joining the consumer group")
        await pipeline.on_revoked(app.consumer.era)
        # So that the next owner starts where this one ended; without it the fence would skip.
        await app.consumer.commit()

    app.on_partitions_assigned.connect(on_assigned, weak=False)
    app.on_partitions_revoked.connect(on_revoked, weak=False)
    return app


def require_all_topics(assigned: Collection[TopicPartition], topics: Collection[str]) -> None:
    """Each topic must be assigned with the same partitions, as `RangePartitionAssignor` does.

    One that was deleted, or of which the group's leader does not know, would be assigned to nobody,
    and nothing of it consumed: every worker alive and well.

    Raises:
        TopicMismatchError: names the topic that lacks partitions.
    """
    found = {topic: {one.partition for one in assigned if one.topic == topic} for topic in topics}
    expected = set().union(*found.values())
    for topic, partitions in found.items():
        if missing := sorted(expected - partitions):
            raise TopicMismatchError(
                f"partitions {missing} of topic {topic} were assigned to nobody, those of other "
                "topics were: it was deleted or has fewer partitions. The worker ends; see what "
                "there is with: tidemark topics check"
            )


def _credentials(security: Security) -> Any:
    """As Faust takes them; it gives them to its consumer and to its producer."""
    context = security.ssl_context()
    if security.sasl:
        return faust.SASLCredentials(
            username=security.username,
            password=security.password,
            mechanism=security.mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


def _agent(pipeline: Intake) -> Any:
    async def consume(stream: Any) -> None:
        # noack: the batch is acknowledged when its effects are durable, by the pipeline. Faust's
        # own ways acknowledge in a finally, also when the body was cancelled.
        async for event in stream.noack().events():
            message = event.message
            await pipeline.put(
                Inbound(
                    topic=message.topic,
                    partition=message.partition,
                    records=message.value.records,
                    acknowledge=event.ack,
                    era=message.value.era,
                    size=message.value.records.size,
                    arrived=time.perf_counter(),
                )
            )

    return consume


def _named(partitions: Any) -> str:
    return ", ".join(sorted(f"{tp.topic}-{tp.partition}" for tp in partitions)) or "none"


async def run_app(app: faust.App, stopping: asyncio.Event) -> None:
    """Run until ``stopping`` is set.

    Raises:
        StreamsError: the broker refuses the membership in the group.
        Exception: what the app crashed with.
    """
    # Faust's start waits for the first assignment, which may never come.
    starting = asyncio.create_task(app.start())
    try:
        while not stopping.is_set():
            if starting.done():
                starting.result()
            if app.crash_reason is not None:
                raise app.crash_reason
            try:
                app.consumer.check_group()
            except KafkaError as error:
                raise StreamsError(
                    f"the worker cannot take part in the group {app.conf.id!r}: {error!r}"
                ) from error
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), _CHECK_SECONDS)
    finally:
        starting.cancel()
        try:
            await asyncio.wait_for(app.stop(), _STOP_SECONDS)
        except TimeoutError:
            # Without a broker Faust waits for it. What is durable is; the rest is read again.
            logger.warning("Faust did not stop within %.0f s; leaving", _STOP_SECONDS)
