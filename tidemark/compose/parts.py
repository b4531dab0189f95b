"""What more than one process or command is made of."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from encoders import CacheError, DiskCache, EncoderService, VectorCache, load_encoder
from streams.decode import Limits
from streams.lineage import require_same_lineage
from streams.rules import ActionRule, ActionRules, RatingScale
from streams.tail import TopicTail
from streams.topic_names import ActionTopic, TopicNames

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from encoders import TextEncoder
    from tidemark.encoder_settings import EncoderSettings
    from tidemark.settings import Settings

__all__ = [
    "action_rules",
    "build_encoding",
    "limits",
    "now_ms",
    "require_lineage",
    "topic_names",
]


logger = logging.getLogger(__name__)

_MEBIBYTE = 1024 * 1024


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
    settings: Settings,
    folder: Path | None = None,
    wrap: Callable[[TextEncoder], TextEncoder] | None = None,
) -> EncoderService:
    """The encoder with its threads and caches.

    Args:
        settings: of everything.
        folder: for the cache on disk, unless the settings name another; None for none.
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
        precision=encoder.precision,
        prompt=encoder.prompt,
        prompt_name=encoder.prompt_name,
        truncate_dim=encoder.truncate_dim,
    )
    return EncoderService(
        loaded if wrap is None else wrap(loaded),
        VectorCache(encoder.cache_mebibytes * _MEBIBYTE),
        _disk_cache(encoder, folder, loaded),
    )


def _disk_cache(
    settings: EncoderSettings, folder: Path | None, encoder: TextEncoder
) -> DiskCache | None:
    folder = settings.disk_cache or folder
    if folder is None or not settings.disk_cache_mebibytes:
        return None
    size = settings.disk_cache_mebibytes * _MEBIBYTE
    try:
        return DiskCache(folder, size, encoder.encoder_id, encoder.dim)
    except CacheError as error:
        # On a full disk, say: texts are encoded again then, and nothing is lost.
        logger.warning("%s; going on without it", error)
        return None


def limits(settings: Settings) -> Limits:
    """Bounds on messages."""
    given = settings.limits
    return Limits(
        message_bytes=given.message_bytes,
        text_chars=given.text_chars,
        id_chars=given.id_chars,
        context_entries=given.context_entries,
        categories=given.categories,
        clock_skew_ms=int(given.clock_skew_seconds * 1000),
    )


def require_lineage(
    settings: Settings, names: TopicNames, encoder: str, policy: str | None = None
) -> None:
    """Refuse topics that another encoder or policy wrote.

    Raises:
        StreamsError: the broker cannot be asked.
        StoreError: they were; says what differs.
    """
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
