"""The retrieval service's parts, joined."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry

from store.follower import Follower
from store.indexes.factory import make_index
from store.indexes.milvus_target import MilvusTarget
from store.metrics import PrometheusSensor
from store.owner import IndexOwner
from store.receipt import ForgetReceipt
from store.service import ServiceSettings, create_app
from store.state_scan import warm_up
from store.tokens import Token
from store.view import RetrievalView
from store.view_snapshots import ViewSnapshots
from streams.publisher import ActionPublisher
from streams.tail import TopicTail
from streams.topics import check_topics, identify
from tidemark.compose.parts import (
    build_encoding,
    build_query,
    build_redactor,
    now_ms,
    require_lineage,
    topic_names,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from fastapi import FastAPI
    from numpy.typing import NDArray

    from store.indexes.protocol import VectorIndex
    from streams.security import Security
    from streams.topic_names import ActionTopic
    from tidemark.settings import Settings

__all__ = ["build_retrieval"]


def build_retrieval(settings: Settings, folder: Path) -> tuple[FastAPI, Callable[[], None]]:
    """The retrieval service, and what to call when it has stopped.

    Args:
        settings: of everything.
        folder: for snapshots.

    Raises:
        StreamsError: no broker, or its topics are not as needed.
        EncoderError: the model cannot be loaded.
        StoreError: the index cannot be made, or the topics were written by another encoder.
    """
    names = topic_names(settings)
    bootstrap, security = settings.kafka.bootstrap, settings.kafka.security.security()
    check_topics(bootstrap, names, security=security)
    encoding = build_encoding(settings)
    require_lineage(settings, names, encoding.encoder_id)
    warm_up()
    registry = CollectorRegistry()
    sensor = PrometheusSensor(registry)
    owner = IndexOwner()
    wanted = settings.retrieval

    def make_view() -> RetrievalView:
        return RetrievalView(
            encoding.dim,
            encoding.encoder_id,
            lambda dim, name: _make_index(settings, dim, name),
            sensor=sensor,
        )

    begin: dict[tuple[str, int], int] = {}
    view, snapshots = make_view(), None
    if wanted.snapshot_seconds:
        snapshots = ViewSnapshots(
            folder / "retrieval.tmv",
            [
                identify(bootstrap, topic, security=security)
                for topic in (names.profiles, names.item_vectors)
            ],
            now_ms,
            clock_skew_ms=int(settings.limits.clock_skew_seconds * 1000),
            sensor=sensor,
        )
        view, begin = snapshots.load(make_view)
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
    )
    forgetting = _Forgetting(bootstrap, names.actions[0], security)

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
        forgetting.close()
        encoding.close()

    app = create_app(
        follower=follower,
        view=view,
        owner=owner.questions,
        encode=encode,
        forget=forgetting.forget,
        registry=registry,
        sensor=sensor,
        settings=_service_settings(settings),
    )
    return app, close


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
