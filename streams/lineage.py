"""Whether the topics' vectors may be continued or searched by this process: asked at its start.

A worker would find out when it restores a partition, and the retrieval service when the records
come; by then the one has disturbed its group, and the other looks alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from store.errors import CorruptRecordError, EncoderMismatchError
from store.item_vector import ItemVector
from store.profile import decode_profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.record import Record

__all__ = ["LineageSource", "require_same_lineage"]

_item_vectors = msgspec.msgpack.Decoder(ItemVector)


class LineageSource(Protocol):
    """Reads both topics from their beginning (`streams.tail.TopicTail`)."""

    async def start(self) -> None: ...  # noqa: D102
    async def stop(self) -> None: ...  # noqa: D102
    async def poll(self) -> Sequence[Record]: ...  # noqa: D102
    def lag(self) -> int | None: ...  # noqa: D102


async def require_same_lineage(
    source: LineageSource,
    *,
    profiles: str,
    item_vectors: str,
    encoder: str,
    policy: str | None = None,
) -> None:
    """Look at the first record of each topic; a topic is never written by two.

    Args:
        source: started and stopped here.
        profiles: the name of that topic.
        item_vectors: the name of that topic.
        encoder: the ``encoder_id`` in use.
        policy: identity of the one that is folded by; None where this process does not fold.

    Raises:
        EncoderMismatchError: names both, and what mends it.
        StreamsError: the topics cannot be read.
    """
    await source.start()
    unseen = {profiles, item_vectors}
    try:
        while unseen:
            for record in await source.poll():
                if record.topic not in unseen or record.value is None:
                    continue
                made_by = _made_by(record.value, is_profile=record.topic == profiles)
                if made_by is None:
                    continue
                unseen.discard(record.topic)
                _compare_encoder(record.topic, made_by[0], encoder)
                if policy is not None and made_by[1] is not None:
                    _compare_policy(record.topic, made_by[1], policy)
            if source.lag() == 0:
                return
    finally:
        await source.stop()


def _made_by(value: bytes, *, is_profile: bool) -> tuple[str, str | None] | None:
    """Encoder and policy. None for what cannot be read: who needs the record will say so."""
    try:
        if is_profile:
            state = decode_profile(value)
            return state.encoder, state.policy
        return _item_vectors.decode(value).encoder, None
    except (CorruptRecordError, msgspec.MsgspecError):
        return None


def _compare_encoder(topic: str, made_by: str, encoder: str) -> None:
    if made_by != encoder:
        raise EncoderMismatchError(
            f"topic {topic} was written with encoder {made_by!r}, this process runs {encoder!r}, "
            "and their vectors cannot be mixed: set encoder.model, or encoder.precision where "
            "only the last part differs, to what it was written with, "
            "or name new topics by topics.profiles and topics.item_vectors and create them with: "
            "tidemark topics create"
        )


def _compare_policy(topic: str, made_by: str, policy: str) -> None:
    if made_by != policy:
        raise EncoderMismatchError(
            f"topic {topic} was folded by {made_by}, this worker folds by {policy}: set policy.* "
            "to what it was folded by, or name a new topic by topics.profiles and create it with: "
            "tidemark topics create"
        )
