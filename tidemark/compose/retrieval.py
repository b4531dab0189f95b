"""The retrieval service's parts, joined."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry

from encoders.hashing import HashingEncoder
from store.dashboard.parts import DashboardParts
from store.follower import Follower
from store.generations import Generation, Generations
from store.indexes.factory import make_index
from store.indexes.milvus_target import MilvusTarget
from store.item_popularity import EXTRA
from store.metrics import PrometheusSensor, ServiceCollector
from store.owner import IndexOwner
from store.ranking.learner import Learner
from store.ranking.sampling import CHANGES_AT_ONCE, LEARNED_FIRST
from store.ranking.warm_up import warm_up as warm_up_ranking
from store.ranking.words import WORDS
from store.receipt import ForgetReceipt
from store.record import OUTCOMES
from store.sensor import SwitchedSensor
from store.service import ServiceSettings, create_app
from store.state_scan import warm_up
from store.tokens import Token
from store.view import RetrievalView
from store.view_snapshots import ViewSnapshots
from streams.progress import WorkerProgress
from streams.publisher import ActionPublisher
from streams.tail import TopicTail
from streams.topics import check_topics, identify
from tidemark.compose.letters import LetterTail
from tidemark.compose.metrics import add_common_metrics
from tidemark.compose.parts import (
    build_encoding,
    build_query,
    build_redactor,
    now_ms,
    require_lineage,
    topic_names,
)
from tidemark.compose.sequence import build_sequence
from tidemark.errors import SettingsError
from tidemark.ranker_file import load_ranker
from tidemark.tracing import index_traces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from fastapi import FastAPI
    from numpy.typing import NDArray
    from opentelemetry.trace import Tracer

    from encoders import EncoderService
    from store.indexes.protocol import VectorIndex
    from streams.security import Security
    from streams.topic_names import ActionTopic
    from tidemark.settings import Settings

__all__ = ["build_learner", "build_retrieval", "require_apart"]


def build_retrieval(
    settings: Settings,
    folder: Path,
    upcoming: Settings | None = None,
    *,
    tracer: Tracer | None = None,
    on_restoring: Callable[[int, int], None] = lambda *_: None,
) -> tuple[FastAPI, Callable[[], None]]:
    """The retrieval service, and what to call when it has stopped.

    Args:
        settings: of everything.
        folder: for snapshots.
        upcoming: of the generation that is to answer once it has caught up.
        tracer: of the actions that are to be followed; None: none are.
        on_restoring: told, until all is read, how much was of the snapshot or the topics, and of
            about how much.

    Raises:
        StreamsError: no broker, or its topics are not as needed.
        EncoderError: a model cannot be loaded.
        StoreError: an index cannot be made, or the topics were written by another encoder.
        SettingsError: both generations would write to the same place, or the sequence model is of
            another encoder or policy.
        SequenceError: the sequence model cannot be read.
    """
    if upcoming is not None:
        require_apart(settings, upcoming)
    warm_up()
    registry = CollectorRegistry()
    wanted = settings.retrieval
    sensor = PrometheusSensor(
        registry, slo_seconds=wanted.freshness_slo_seconds, objective=wanted.freshness_objective
    )
    names = topic_names(settings)
    bootstrap, security = settings.kafka.bootstrap, settings.kafka.security.security()
    encodings: dict[str, EncoderService] = {}

    def build(
        of: Settings, *, on: bool, told: Callable[[int, int], None] = lambda *_: None
    ) -> Generation:
        # Counters are there before the first record is: Prometheus sees no rise in one that begins.
        for topic in (of.topics.profiles, of.topics.item_vectors):
            for outcome in OUTCOMES:
                sensor.on_records(topic, outcome, 0)
        switched = SwitchedSensor(sensor, on=on)
        generation, encoding = _build_generation(of, folder, switched, tracer, told)
        encodings[generation.name] = encoding
        return generation

    serving = build(settings, on=True, told=on_restoring)
    if upcoming is None:
        generations = Generations(serving)
    else:
        other = topic_names(upcoming)
        generations = Generations(
            serving,
            build(upcoming, on=False),
            WorkerProgress(
                upcoming.kafka.bootstrap,
                upcoming.kafka.group,
                read=[*(topic.name for topic in other.actions), other.items],
                written=[other.profiles, other.item_vectors],
                security=upcoming.kafka.security.security(),
            ),
        )
    registry.register(ServiceCollector(generations))
    add_common_metrics(
        registry,
        "retrieval",
        lambda: encodings[generations.serving.name],
        settings.policy.policy().identity,
    )
    forgetting = _Forgetting(bootstrap, names.actions[0], security)

    def close() -> None:
        generations.close()
        forgetting.close()

    app = create_app(
        generations=generations,
        forget=forgetting.forget,
        registry=registry,
        sensor=sensor,
        settings=_service_settings(settings),
        dashboard=DashboardParts(
            workers=settings.dashboard.workers,
            refresh_seconds=settings.dashboard.refresh_seconds,
            letters=LetterTail(bootstrap, names.dead_letters, security),
        ),
    )
    return app, close


def _build_generation(
    settings: Settings,
    folder: Path,
    sensor: SwitchedSensor,
    tracer: Tracer | None,
    on_restoring: Callable[[int, int], None],
) -> tuple[Generation, EncoderService]:
    names = topic_names(settings)
    bootstrap, security = settings.kafka.bootstrap, settings.kafka.security.security()
    check_topics(bootstrap, names, security=security)
    encoding = build_encoding(settings)
    require_lineage(settings, names, encoding.encoder_id)
    sequence = build_sequence(settings, encoding.encoder_id)
    owner = IndexOwner(sensor.on_search)
    wanted = settings.retrieval
    ranker = None if wanted.ranker is None else load_ranker(wanted.ranker)

    def make_view() -> RetrievalView:
        return RetrievalView(
            encoding.dim,
            encoding.encoder_id,
            lambda dim, name: _make_index(settings, dim, name),
            sensor=sensor,
            # there a search is a call over the network, in the path of the writes
            watched_per_second=1.0 if wanted.index == "milvus" else 2.0,
            learner=build_learner(settings, encoding.dim),
            counted_per_second=settings.ranking.counted_per_second,
            learned_per_second=settings.ranking.learned_per_second,
            learned_first=LEARNED_FIRST,
            learned_at_once=CHANGES_AT_ONCE,
            ranker=ranker,
            rank=wanted.rank or ("blend" if settings.ranking.enabled else "nearest"),
            sequence=sequence,
            mean_removal=wanted.mean_removal,
            whitening=wanted.whitening,
        )

    begin: dict[tuple[str, int], int] = {}
    # First, as it refuses a ranker that does not fit: compiling may take half a minute.
    view, snapshots = make_view(), None
    if settings.ranking.enabled:
        warm_up_ranking(encoding.dim)
    if wanted.snapshot_seconds:
        snapshots = ViewSnapshots(
            # Two generations never share that topic.
            folder / f"{names.profiles}.tmv",
            [
                identify(bootstrap, topic, security=security)
                for topic in (names.profiles, names.item_vectors)
            ],
            now_ms,
            clock_skew_ms=int(settings.limits.clock_skew_seconds * 1000),
            sensor=sensor,
        )
        view, begin = snapshots.load(make_view, on_restoring)
    follower = Follower(
        TopicTail(
            bootstrap,
            {names.profiles: None, names.item_vectors: None},
            poll_seconds=0.05,
            security=security,
            begin=begin,
        ),
        view,
        owner,
        profiles_topic=names.profiles,
        item_vectors_topic=names.item_vectors,
        max_lag=wanted.max_lag_records,
        sensor=sensor,
        snapshots=snapshots,
        snapshot_seconds=wanted.snapshot_seconds,
        on_retrievable=None if tracer is None else index_traces(tracer),
        on_restoring=on_restoring,
    )
    text_of = build_query(settings, build_redactor(settings))

    async def encode(text: str) -> NDArray[np.float32]:
        encoded = await encoding.encode([text_of(text)])
        if encoded.errors:
            raise next(iter(encoded.errors.values()))
        vector: NDArray[np.float32] = encoded.vectors[encoded.index[0]]
        return vector

    def close() -> None:
        owner.shutdown()
        view.close()
        encoding.close()

    generation = Generation(names.profiles, view, follower, owner.questions, encode, sensor, close)
    return generation, encoding


def build_learner(settings: Settings, dim: int) -> Learner | None:
    """What learns how to rank items with vectors of this length; None where nothing is to."""
    if not settings.ranking.enabled:
        return None
    return Learner(dim, partners=settings.ranking.partners, words=HashingEncoder(WORDS))


def require_apart(settings: Settings, upcoming: Settings) -> None:
    """Refuse a next generation that would not be one of its own.

    Raises:
        SettingsError: says which settings are to differ, or to be the same.
    """
    here, there = settings.topics, upcoming.topics
    taken = {here.profiles, here.item_vectors, here.dead_letters, here.items}
    for name, wanted, others in (
        ("topics.profiles", there.profiles, taken),
        ("topics.item_vectors", there.item_vectors, taken),
        ("topics.dead_letters", there.dead_letters, taken),
        ("kafka.group", upcoming.kafka.group, {settings.kafka.group}),
    ):
        if wanted in others:
            raise SettingsError(
                f"{name} of the next generation is {wanted!r}, which the settings of the one that "
                "answers name too: it is to read and write on its own, so name another there"
            )
    for name, one, other in (
        ("kafka.bootstrap", settings.kafka.bootstrap, upcoming.kafka.bootstrap),
        ("topics.items", here.items, there.items),
        ("topics.actions", here.actions, there.actions),
    ):
        if one != other:
            raise SettingsError(
                f"{name} differs in the settings and in those of the next generation, which is to "
                f"be made of the same actions and items: expected {one!r} in both"
            )
    both = settings.retrieval, upcoming.retrieval
    if all(one.index == "milvus" for one in both) and (
        both[0].milvus_uri == both[1].milvus_uri and both[0].milvus_prefix == both[1].milvus_prefix
    ):
        raise SettingsError(
            f"retrieval.milvus_prefix is {both[0].milvus_prefix!r} for both generations, whose "
            "collections would be the same: name another in the next one's settings"
        )


def _make_index(settings: Settings, dim: int, name: Literal["items", "profiles"]) -> VectorIndex:
    wanted = settings.retrieval
    milvus = None
    if wanted.index == "milvus" and wanted.milvus_uri is not None:
        token = wanted.milvus_token
        milvus = MilvusTarget(
            uri=wanted.milvus_uri,
            token="" if token is None else token.get_secret_value(),
            prefix=wanted.milvus_prefix,
            kind=wanted.milvus_kind,
            timeout=wanted.milvus_timeout_seconds,
        )
    return make_index(
        wanted.index,
        dim,
        precision=wanted.precision,
        growth="sketch" if name == "profiles" else "hnsw",
        above=wanted.accelerate_above,
        leading=dim - EXTRA if name == "items" else None,
        name=name,
        milvus=milvus,
    )


def _service_settings(settings: Settings) -> ServiceSettings:
    retrieval = settings.retrieval
    return ServiceSettings(
        max_id_chars=settings.limits.id_chars,
        request_seconds=retrieval.request_seconds,
        max_waiting=retrieval.max_waiting,
        tokens=tuple(
            Token(one.sha256, frozenset(one.scopes), one.name) for one in retrieval.tokens
        ),
    )


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
