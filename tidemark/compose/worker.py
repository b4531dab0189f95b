"""The worker's parts, joined."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from encoders import Templates
from store.interner import Interner
from store.table import Identity, Memory, Vocabulary
from store.warm_up import warm_up
from streams.activity import Activities, WatchedEncoding
from streams.app import GroupSettings, build_app
from streams.catalogue import Catalogue, CatalogueFollower
from streams.decode import ActionDecoder, ItemDecoder
from streams.errors import RejectReason
from streams.guard import ProfileGuard
from streams.metrics import PrometheusSensor, WorkerCollector
from streams.monitor import Monitor
from streams.outbox import KafkaOutbox
from streams.partitions import OwnedPartitions
from streams.peek import TopicPeek
from streams.pipeline import Pipeline
from streams.preparing import Preparer
from streams.reading import ActionReader
from streams.record_batch import warm_up as warm_up_reading
from streams.scan import warm_up as warm_up_scan
from streams.snapshots import LocalSnapshots, Snapshotter
from streams.sources import require_sources
from streams.tail import PartitionTail, TopicTail
from streams.topics import check_topics, identify
from streams.watchdog import Watchdog
from streams.worker import Service, Worker
from streams.written_batch import warm_up as warm_up_writing
from tidemark.compose.metrics import add_common_metrics
from tidemark.compose.parts import (
    action_rules,
    build_encoding,
    build_feeling,
    build_redactor,
    build_wording,
    limits,
    now_ms,
    require_lineage,
    topic_names,
)
from tidemark.tracing import ActionTraces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opentelemetry.trace import Tracer
    from prometheus_client import CollectorRegistry

    from encoders import EncoderService, TextEncoder
    from store.table import ProfileTable
    from streams.health import Health
    from tidemark.settings import Settings

__all__ = ["build_worker"]


def build_worker(
    settings: Settings,
    registry: CollectorRegistry,
    folder: Path,
    health: Health,
    *,
    wrap_encoder: Callable[[TextEncoder], TextEncoder] | None = None,
    clock: Callable[[], int] = now_ms,
    tracer: Tracer | None = None,
) -> tuple[Worker, EncoderService]:
    """A worker, and the encoder to close after it.

    Args:
        settings: of everything.
        registry: for its metrics.
        folder: for snapshots, cached vectors and what Faust writes.
        health: what it says of itself.
        wrap_encoder: put around the encoder, for tests that have it fail.
        clock: milliseconds since the epoch.
        tracer: of the actions that are to be followed; None: none are.

    Raises:
        StreamsError: no broker, or its topics are not as needed.
        EncoderError: the model cannot be loaded.
        StoreError: the policy's parameters are wrong, or the topics were written by another
            encoder or policy.
    """
    names = topic_names(settings)
    bootstrap, security = settings.kafka.bootstrap, settings.kafka.security.security()
    policy = settings.policy.policy()
    check_topics(bootstrap, names, security=security)
    encoding = build_encoding(settings, folder / "vectors", wrap_encoder)
    require_lineage(settings, names, encoding.encoder_id, policy.identity)
    warm_up_writing(warm_up(encoding.dim))
    warm_up_scan()
    warm_up_reading()
    redactor = build_redactor(settings)
    sensor = PrometheusSensor(registry, list(RejectReason))
    add_common_metrics(registry, "worker", lambda: encoding, policy.identity)
    activities = Activities(time.monotonic)
    activities.count_also(lambda: encoding.progress)
    bounds = limits(settings)
    item_decoder = ItemDecoder(bounds)
    vocabulary = Vocabulary(actions=Interner(), items=Interner())
    catalogue = Catalogue(
        Templates(settings.encoder.templates), vocabulary.items, build_wording(settings, redactor)
    )
    follower = CatalogueFollower(
        TopicTail(bootstrap, {names.items: None}, security=security), item_decoder, catalogue
    )
    identity = Identity(encoding.encoder_id, encoding.dim, policy)
    memory = Memory(**settings.memory.model_dump())
    robustness = settings.robustness.robustness()
    snapshots = None
    if settings.worker.snapshot_seconds:
        snapshots = LocalSnapshots(
            folder / "snapshots",
            identify(bootstrap, names.profiles, security=security),
            identity,
            memory,
            vocabulary,
            clock,
            sensor,
            clock_skew_ms=bounds.clock_skew_ms,
            robustness=robustness,
        )

    async def verify(table: ProfileTable) -> None:
        await require_sources(
            table,
            [topic.name for topic in names.actions],
            lambda topic: PartitionTail(bootstrap, topic, table.partition, security=security),
        )

    owned = OwnedPartitions(
        lambda partition: PartitionTail(bootstrap, names.profiles, partition, security=security),
        identity,
        memory,
        vocabulary,
        sensor,
        health=health,
        activities=activities,
        snapshots=snapshots,
        verify=verify,
        robustness=robustness,
    )

    registry.register(
        WorkerCollector(
            health,
            lambda: sum(len(table) for table, _ in owned.watched().values()),
            lambda: redactor.found,
        )
    )

    def on_acknowledged(topic: str, partition: int, first: int, count: int) -> None:
        if topic == names.profiles:
            owned.on_acknowledged(partition, first, count)

    outbox = KafkaOutbox(
        bootstrap,
        on_acknowledged=on_acknowledged,
        activities=activities,
        retry_seconds=settings.kafka.retry_seconds,
        security=security,
    )
    rules = action_rules(settings)
    decoders = {
        topic.name: ActionDecoder(topic.format, bounds, default_action=topic.default_action)
        for topic in names.actions
    }
    preparer = Preparer(
        names=names,
        reader=ActionReader(decoders, rules, catalogue, vocabulary, clock),
        item_decoder=item_decoder,
        catalogue=catalogue,
        follower=follower,
        encoding=WatchedEncoding(encoding, activities),
        feeling=build_feeling(settings, encoding.encoder),
        retry_seconds=settings.kafka.retry_seconds,
    )
    pipeline = Pipeline(
        names=names,
        preparer=preparer,
        owned=owned,
        outbox=outbox,
        sensor=sensor,
        clock=clock,
        batch_actions=settings.worker.batch_actions,
        traces=None if tracer is None else ActionTraces(tracer),
    )
    app = build_app(
        GroupSettings(
            group=settings.kafka.group,
            bootstrap=bootstrap,
            poll_records=settings.kafka.poll_records,
            commit_seconds=settings.kafka.commit_seconds,
            session_seconds=settings.kafka.session_seconds,
            security=security,
        ),
        [*(topic.name for topic in names.actions), names.items],
        pipeline,
        health,
        folder,
        sensor,
    )
    guard = ProfileGuard(
        names.profiles,
        owned,
        TopicPeek(bootstrap, security=security),
        pipeline.publish_changes,
        lambda: activities.since("publish"),
        sensor,
        time.monotonic,
        unavailable=(KafkaError, TimeoutError),
    )
    stall = settings.worker.stall_seconds, settings.worker.stall_exit_seconds
    monitor = Monitor(
        lambda: app.consumer,
        TopicPeek(bootstrap, security=security),
        activities,
        health,
        Watchdog(*stall),
        time.monotonic,
        interval=min(1.0, stall[0] / 4),
        sensor=sensor,
        now_ms=clock,
    )
    services: list[Service] = [monitor, guard]
    if snapshots is not None:
        services.append(
            Snapshotter(snapshots, owned, pipeline.settled, settings.worker.snapshot_seconds)
        )
    worker = Worker(app, pipeline, follower, outbox, services, snapshots, health, stall, bootstrap)
    return worker, encoding
