"""The composition root: real objects from settings. Nothing else reads them."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from encoders import EncoderService, Templates, VectorCache, load_encoder
from store.interner import Interner
from store.policies import Policy
from store.receipt import ForgetReceipt
from store.table import Identity, Memory, Vocabulary
from store.warm_up import warm_up
from streams.activity import Activities, WatchedEncoding
from streams.app import GroupSettings, build_app
from streams.catalogue import Catalogue, CatalogueFollower
from streams.decode import ActionDecoder, ItemDecoder, Limits
from streams.guard import ProfileGuard
from streams.lineage import require_same_lineage
from streams.metrics import PrometheusSensor
from streams.monitor import Monitor
from streams.outbox import KafkaOutbox
from streams.partitions import OwnedPartitions
from streams.peek import TopicPeek
from streams.pipeline import Pipeline
from streams.preparing import Preparer
from streams.publisher import ActionPublisher
from streams.reading import ActionReader
from streams.record_batch import warm_up as warm_up_reading
from streams.rules import ActionRule, ActionRules, RatingScale
from streams.scan import warm_up as warm_up_scan
from streams.snapshots import LocalSnapshots, Snapshotter
from streams.tail import PartitionTail, TopicTail
from streams.topics import ActionTopic, TopicNames, check_topics, identify_profiles
from streams.watchdog import Watchdog
from streams.worker import Service, Worker
from streams.written_batch import warm_up as warm_up_writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from fastapi import FastAPI
    from numpy.typing import NDArray

    from encoders import TextEncoder
    from streams.health import Health
    from streams.security import Security
    from tidemark.settings import Settings

__all__ = [
    "action_rules",
    "build_encoding",
    "build_retrieval",
    "build_worker",
    "now_ms",
    "topic_names",
]


def now_ms() -> int:
    """The wall clock, milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def topic_names(settings: Settings) -> TopicNames:
    """What each topic is called."""
    topics = settings.topics
    return TopicNames(
        actions=tuple(
            ActionTopic(one.name, one.format, one.default_action) for one in topics.actions
        ),
        items=topics.items,
        profiles=topics.profiles,
        item_vectors=topics.item_vectors,
        dead_letters=topics.dead_letters,
    )


def action_rules(settings: Settings) -> ActionRules:
    """How much each kind of action counts."""
    return ActionRules(
        {name: ActionRule(**rule.model_dump()) for name, rule in settings.actions.items()},
        RatingScale(**settings.ratings.model_dump()),
    )


def build_encoding(
    settings: Settings, wrap: Callable[[TextEncoder], TextEncoder] | None = None
) -> EncoderService:
    """The encoder with its thread and cache.

    Args:
        settings: of everything.
        wrap: put around the encoder, for tests that have it fail.

    Raises:
        EncoderError: the model cannot be loaded.
    """
    encoder = settings.encoder
    loaded = load_encoder(
        encoder.model,
        dim=encoder.dim,
        device=encoder.device,
        threads=encoder.threads,
        max_tokens=encoder.max_tokens,
        batch_tokens=encoder.batch_tokens,
    )
    return EncoderService(
        loaded if wrap is None else wrap(loaded),
        VectorCache(encoder.cache_mebibytes * 1024 * 1024),
    )


def _limits(settings: Settings) -> Limits:
    limits = settings.limits
    return Limits(
        message_bytes=limits.message_bytes,
        text_chars=limits.text_chars,
        id_chars=limits.id_chars,
        context_entries=limits.context_entries,
        categories=limits.categories,
        clock_skew_ms=int(limits.clock_skew_seconds * 1000),
    )


def _require_lineage(
    settings: Settings, names: TopicNames, encoder: str, policy: str | None = None
) -> None:
    tail = TopicTail(
        settings.kafka.bootstrap,
        {names.profiles: None, names.item_vectors: None},
        security=settings.kafka.security.security(),
    )
    asyncio.run(
        require_same_lineage(
            tail,
            profiles=names.profiles,
            item_vectors=names.item_vectors,
            encoder=encoder,
            policy=policy,
        )
    )


def build_worker(
    settings: Settings,
    registry: CollectorRegistry,
    folder: Path,
    health: Health,
    *,
    wrap_encoder: Callable[[TextEncoder], TextEncoder] | None = None,
    clock: Callable[[], int] = now_ms,
) -> tuple[Worker, EncoderService]:
    """A worker, and the encoder to close after it.

    Args:
        settings: of everything.
        registry: for its metrics.
        folder: for what Faust writes.
        health: what it says of itself.
        wrap_encoder: put around the encoder, for tests that have it fail.
        clock: milliseconds since the epoch.

    Raises:
        StreamsError: no broker, or its topics are not as needed.
        EncoderError: the model cannot be loaded.
        StoreError: the policy's parameters are wrong, or the topics were written by another
            encoder or policy.
    """
    names = topic_names(settings)
    bootstrap, security = settings.kafka.bootstrap, settings.kafka.security.security()
    policy = Policy(**settings.policy.model_dump())
    check_topics(bootstrap, names, security=security)
    encoding = build_encoding(settings, wrap_encoder)
    _require_lineage(settings, names, encoding.encoder_id, policy.identity)
    warm_up_writing(warm_up(encoding.dim))
    warm_up_scan()
    warm_up_reading()
    sensor = PrometheusSensor(registry, encoding.stats, health)
    activities = Activities(time.monotonic)
    activities.count_also(lambda: encoding.progress)
    limits = _limits(settings)
    item_decoder = ItemDecoder(limits)
    vocabulary = Vocabulary(actions=Interner(), items=Interner())
    catalogue = Catalogue(Templates(settings.encoder.templates), vocabulary.items)
    follower = CatalogueFollower(
        TopicTail(bootstrap, {names.items: None}, security=security), item_decoder, catalogue
    )
    identity = Identity(encoding.encoder_id, encoding.dim, policy)
    memory = Memory(**settings.memory.model_dump())
    snapshots = None
    if settings.worker.snapshot_seconds:
        snapshots = LocalSnapshots(
            folder / "snapshots",
            identify_profiles(bootstrap, names, security=security),
            identity,
            memory,
            vocabulary,
            clock,
            sensor,
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
        topic.name: ActionDecoder(topic.format, limits, default_action=topic.default_action)
        for topic in names.actions
    }
    preparer = Preparer(
        names=names,
        reader=ActionReader(decoders, rules, catalogue, vocabulary, clock),
        item_decoder=item_decoder,
        catalogue=catalogue,
        follower=follower,
        encoding=WatchedEncoding(encoding, activities),
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
    )
    services: list[Service] = [monitor, guard]
    if snapshots is not None:
        services.append(
            Snapshotter(snapshots, owned, pipeline.settled, settings.worker.snapshot_seconds)
        )
    worker = Worker(app, pipeline, follower, outbox, services, snapshots, health, stall, bootstrap)
    return worker, encoding


def build_retrieval(settings: Settings) -> tuple[FastAPI, Callable[[], None]]:
    """The retrieval service, and what to call when it has stopped.

    Raises:
        StreamsError: no broker, or its topics are not as needed.
        EncoderError: the model cannot be loaded.
        StoreError: the index cannot be made, or the topics were written by another encoder.
    """
    # FastAPI and FAISS: what only this process needs.
    from store.follower import Follower  # noqa: PLC0415
    from store.indexes.factory import make_index  # noqa: PLC0415
    from store.metrics import PrometheusSensor as RetrievalSensor  # noqa: PLC0415
    from store.service import ServiceSettings, create_app  # noqa: PLC0415
    from store.state_scan import warm_up as warm_up_scan_of_states  # noqa: PLC0415
    from store.view import RetrievalView  # noqa: PLC0415

    names = topic_names(settings)
    bootstrap, security = settings.kafka.bootstrap, settings.kafka.security.security()
    check_topics(bootstrap, names, security=security)
    encoding = build_encoding(settings)
    _require_lineage(settings, names, encoding.encoder_id)
    warm_up_scan_of_states()
    registry = CollectorRegistry()
    sensor = RetrievalSensor(registry)
    owner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="index")
    view = RetrievalView(
        encoding.dim,
        encoding.encoder_id,
        lambda dim: make_index(settings.retrieval.index, dim),
        sensor=sensor,
    )
    follower = Follower(
        TopicTail(
            bootstrap,
            {names.profiles: None, names.item_vectors: None},
            poll_seconds=0.05,
            security=security,
        ),
        view,
        owner,
        profiles_topic=names.profiles,
        item_vectors_topic=names.item_vectors,
        max_lag=settings.retrieval.max_lag_records,
        sensor=sensor,
    )
    forgetting = _Forgetting(bootstrap, names.actions[0], security)

    async def encode(text: str) -> NDArray[np.float32]:
        encoded = await encoding.encode([text])
        if encoded.errors:
            raise next(iter(encoded.errors.values()))
        vector: NDArray[np.float32] = encoded.vectors[encoded.index[0]]
        return vector

    def close() -> None:
        owner.shutdown()
        forgetting.close()
        encoding.close()

    app = create_app(
        follower=follower,
        view=view,
        owner=owner,
        encode=encode,
        forget=forgetting.forget,
        registry=registry,
        sensor=sensor,
        settings=ServiceSettings(max_id_chars=settings.limits.id_chars),
    )
    return app, close


class _Forgetting:
    """Publishes the API's forgets; connects at the first one."""

    def __init__(self, bootstrap: str, topic: ActionTopic, security: Security) -> None:
        self._bootstrap = bootstrap
        self._security = security
        self._topic = topic
        self._connecting = asyncio.Lock()
        self._publisher: ActionPublisher | None = None

    async def forget(self, user_id: str) -> ForgetReceipt:
        async with self._connecting:
            if self._publisher is None:
                self._publisher = await asyncio.to_thread(
                    ActionPublisher,
                    self._bootstrap,
                    self._topic.name,
                    wire=self._topic.format,
                    security=self._security,
                )
        requested = now_ms()
        sent = await asyncio.to_thread(self._publisher.forget, user_id)
        return ForgetReceipt(
            user_id=user_id,
            topic=sent.topic,
            partition=sent.partition,
            offset=sent.offset,
            requested_at=requested,
        )

    def close(self) -> None:
        if self._publisher is not None:
            self._publisher.close()
