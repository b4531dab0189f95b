"""The retrieval service's parts, joined."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from store.follower import Follower
from store.indexes.factory import make_index
from store.metrics import PrometheusSensor
from store.receipt import ForgetReceipt
from store.service import ServiceSettings, create_app
from store.state_scan import warm_up
from store.view import RetrievalView
from streams.publisher import ActionPublisher
from streams.tail import TopicTail
from streams.topics import check_topics
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

    import numpy as np
    from fastapi import FastAPI
    from numpy.typing import NDArray

    from streams.security import Security
    from streams.topic_names import ActionTopic
    from tidemark.settings import Settings

__all__ = ["build_retrieval"]


def build_retrieval(settings: Settings) -> tuple[FastAPI, Callable[[], None]]:
    """The retrieval service, and what to call when it has stopped.

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

    text_of = build_query(settings, build_redactor(settings))

    async def encode(text: str) -> NDArray[np.float32]:
        encoded = await encoding.encode([text_of(text)])
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
