"""What more than one process or command is made of."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from encoders import (
    CacheError,
    DiskCache,
    EncoderService,
    SentimentError,
    Templates,
    VectorCache,
    default_head,
    load_encoder,
    load_head,
)
from encoders.redaction import Redactor
from streams.decode import Limits
from streams.lineage import require_same_lineage
from streams.reading import Feeling
from streams.rules import ActionRule, ActionRules, RatingScale
from streams.tail import TopicTail
from streams.topic_names import ActionTopic, TopicNames
from streams.wording import Wording
from tidemark.encoder_settings import EncoderSettings
from tidemark.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from encoders import TextEncoder
    from tidemark.settings import Settings

__all__ = [
    "action_rules",
    "build_encoder",
    "build_encoding",
    "build_feeling",
    "build_query",
    "build_redactor",
    "build_wording",
    "limits",
    "now_ms",
    "require_lineage",
    "topic_names",
]


logger = logging.getLogger(__name__)

_MEBIBYTE = 1024 * 1024
_DEFAULT = EncoderSettings()


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
    """How much each kind of action counts.

    Raises:
        PolicyError: the model of the policy cannot be read.
    """
    return ActionRules(
        {name: ActionRule(**rule.model_dump()) for name, rule in settings.actions.items()},
        RatingScale(**settings.ratings.model_dump(exclude={"words"})),
        settings.policy.policy().influence,
    )


def build_encoder(settings: EncoderSettings) -> TextEncoder:
    """The encoder alone.

    Raises:
        EncoderError: the model cannot be loaded.
    """
    return load_encoder(
        **settings.model_dump(
            exclude={"cache_mebibytes", "disk_cache_mebibytes", "disk_cache", "templates"}
        )
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
    loaded = build_encoder(settings.encoder)
    return EncoderService(
        loaded if wrap is None else wrap(loaded),
        VectorCache(settings.encoder.cache_mebibytes * _MEBIBYTE),
        _disk_cache(settings.encoder, folder, loaded),
    )


def build_wording(settings: Settings, redactor: Redactor) -> Wording:
    """What an action's text says, cleared of what looks like personal data."""
    return Wording(
        redactor.redact,
        settings.ratings.words,
        settings.ratings.low,
        settings.ratings.high,
    )


def build_redactor(settings: Settings) -> Redactor:
    """Clears users' words.

    Raises:
        SettingsError: a region is not known.
    """
    try:
        return Redactor(settings.redaction.kinds, settings.redaction.phone_regions)
    except ValueError as error:
        raise SettingsError(f"redaction: {error}") from error


def build_query(settings: Settings, redactor: Redactor) -> Callable[[str], str]:
    """What turns a query's words into the text that is encoded, as of an action ``search``."""
    templates = Templates(settings.encoder.templates)

    def text_of(words: str) -> str:
        said = redactor.redact(words)
        return templates.render("search", {"action": "search", "text": said}) or said

    return text_of


def build_feeling(settings: Settings, encoder: TextEncoder) -> Feeling | None:
    """What reads the feeling of users' words; None where the settings or the encoder have none.

    Raises:
        SentimentError: a head is named that cannot be read, or is for another encoder.
        PolicyError: the model of the policy cannot be read.
    """
    wanted = settings.sentiment.head
    if wanted == "none":
        return None
    head = default_head() if wanted == "auto" else load_head(Path(wanted))
    if head.fits(encoder.encoder_id):
        # The hashing encoder has no vocabulary.
        reads: Callable[[str], bool] = getattr(encoder, "knows", bool)
        influence = settings.policy.policy().influence
        weigh = None if influence is None else influence.of_feelings
        return Feeling(head.score, settings.sentiment.worst, reads, weigh)
    if wanted != "auto":
        raise SentimentError(
            f"the sentiment head {wanted} is for the encoder {head.encoder_id}, this process runs "
            f"{encoder.encoder_id}; train one with: tidemark sentiment train"
        )
    felt = sorted(name for name, rule in settings.actions.items() if rule.felt)
    if felt:
        logger.warning(
            "no sentiment head comes along for the encoder %s (%s): %s without a rating counts by "
            "its strength, whatever its words say; train one with tidemark sentiment train, or "
            'say so with sentiment.head = "none"',
            encoder.encoder_id, _what_differs(settings.encoder), ", ".join(felt),
        )  # fmt: skip
    return None


def _what_differs(settings: EncoderSettings) -> str:
    """The settings that make vectors other than the default head reads."""
    names = ("model", "prompt", "prompt_name", "truncate_dim")
    changed = [name for name in names if getattr(settings, name) != getattr(_DEFAULT, name)]
    return (
        ", ".join(f"encoder.{name} = {json.dumps(getattr(settings, name))}" for name in changed)
        or "its folder has changed"
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
