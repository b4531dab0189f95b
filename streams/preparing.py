"""The first stage of the pipeline: fetched batches become columns of actions and their vectors.

A micro-batch's actions of one topic are read in one go, whatever partitions and fetches they came
from: what costs Python time is paid per micro-batch and per distinct text, not per fetch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec

from store.item_vector import ITEM_OFFSET_HEADER, ItemVector
from streams.batch_id import batch_id
from streams.chunk import RecordChunk
from streams.errors import RejectedError
from streams.reading import encoder_rejection, with_feeling, with_vectors
from streams.records import OutRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from store.batch import ActionBatch
    from streams.batches import EncodedTexts, Inbound, TextEncoding
    from streams.catalogue import Catalogue, CatalogueFollower
    from streams.decode import ItemDecoder, RawRecord
    from streams.reading import ActionReader, Feeling
    from streams.schema import Scalar
    from streams.topic_names import TopicNames

__all__ = ["Part", "Prepared", "Preparer"]

logger = logging.getLogger(__name__)

_item_vector_encoder = msgspec.msgpack.Encoder()


@dataclass(slots=True)
class Part:
    """What a micro-batch has of one partition, fetched in one era.

    Attributes:
        topic, partition, era: see `Inbound`.
        fetched: what it is of, in offset order.
        actions: to fold; None for items.
        rejected: records that cannot be processed, in offset order.
        ready: records to publish that need no state.
    """

    topic: str
    partition: int
    era: int
    fetched: list[Inbound] = field(default_factory=list)
    actions: ActionBatch | None = None
    rejected: list[tuple[RawRecord, RejectedError]] = field(default_factory=list)
    ready: list[OutRecord] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(batch.records) for batch in self.fetched)

    def acknowledge(self) -> None:
        """All its effects are durable."""
        for batch in self.fetched:
            batch.acknowledge()


@dataclass(slots=True)
class Prepared:
    """A micro-batch that may be folded.

    Attributes:
        number: counted from the start of the worker.
        parts: of it.
        vectors: ``(m, dim) float32``, of its texts.
        begun: when the preparation began, seconds of `time.perf_counter`.
        fill_seconds: from the arrival of its first record to its being taken.
        seconds: what the preparation took.
        encode_seconds: of these, waiting for the encoder.
    """

    number: int
    parts: list[Part]
    vectors: NDArray[np.float32]
    begun: float
    fill_seconds: float
    seconds: float
    encode_seconds: float


class Preparer:
    """See the module.

    Args:
        names: topics.
        reader: reads actions.
        item_decoder: reads items.
        catalogue, follower: all items; refreshed before an item is called unknown.
        encoding: texts to vectors.
        retry_seconds: how long an encoder that fails on every text is tried again.
        feeling: reads users' words where a rule asks for it; None where nothing does.
    """

    def __init__(
        self,
        *,
        names: TopicNames,
        reader: ActionReader,
        item_decoder: ItemDecoder,
        catalogue: Catalogue,
        follower: CatalogueFollower,
        encoding: TextEncoding,
        retry_seconds: float = 120.0,
        feeling: Feeling | None = None,
    ) -> None:
        self._feeling = feeling
        self._names = names
        self._reader = reader
        self._item_decoder = item_decoder
        self._catalogue = catalogue
        self._follower = follower
        self._encoding = encoding
        self._retry_seconds = retry_seconds
        self._number = 0
        self._encode_seconds = 0.0  # of the micro-batch that is being prepared

    async def prepare(self, batches: Sequence[Inbound]) -> Prepared:
        """Decode, weigh, render and encode a micro-batch.

        Raises:
            EncoderError: the encoder itself fails, for longer than it is tried again.
        """
        self._number += 1
        batch_id.set(self._number)
        started = time.perf_counter()
        filled = started - min(batch.arrived for batch in batches)
        self._encode_seconds = 0.0
        parts = _parts_of(batches)
        wholes = [
            _Whole([part for part in parts if part.topic == topic])
            for topic in dict.fromkeys(part.topic for part in parts)
            if topic != self._names.items
        ]
        decoded = [self._reader.decode(whole.topic, whole.records) for whole in wholes]
        if any(one.names_unknown_item for one in decoded):
            await self._follower.refresh()
        readings = [self._reader.read(one) for one in decoded]
        for part in parts:
            if part.topic == self._names.items:
                await self._prepare_items(part)
        encoded = await self._encode([text for reading in readings for text in reading.texts])
        begin = 0
        for whole, reading in zip(wholes, readings, strict=True):
            end = begin + len(reading.texts)
            failed = with_vectors(reading, encoded.index[begin:end], encoded)
            if self._feeling is not None:
                with_feeling(reading, encoded.vectors, self._feeling)
            whole.share_out(reading.batch, [*reading.rejected, *failed])
            begin = end
        seconds = time.perf_counter() - started
        return Prepared(
            self._number, parts, encoded.vectors, started, filled, seconds, self._encode_seconds
        )

    async def _prepare_items(self, part: Part) -> None:
        """Encode items; their records need no state and are ready to publish."""
        items = []
        for record in (record for batch in part.fetched for record in batch.records):
            try:
                items.append((record, self._item_decoder.decode(record)))
            except RejectedError as error:
                part.rejected.append((record, error))
        texts = [self._catalogue.item_text(item) for _, item in items if item is not None]
        encoded = await self._encode(texts)
        rows = iter(zip(texts, encoded.index.tolist(), strict=True))
        for record, item in items:
            value = None
            headers: tuple[tuple[str, bytes], ...] = ()
            if item is None:
                headers = ((ITEM_OFFSET_HEADER, b"%d" % record.offset),)
            else:
                text, row = next(rows)
                if row < 0:
                    part.rejected.append((record, encoder_rejection(encoded, text)))
                    continue
                vector = encoded.vectors[row]
                value = _item_vector_encoder.encode(
                    ItemVector(
                        encoder=self._encoding.encoder_id,
                        dim=len(vector),
                        vector=vector.astype("<f4").tobytes(),
                        title=item.title,
                        categories=item.categories,
                        source_offset=record.offset,
                        attributes=_as_strings(item.attributes),
                    )
                )
            part.ready.append(
                OutRecord(self._names.item_vectors, part.partition, record.key, value, headers)
            )

    async def _encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Encode; while the encoder itself fails, and no text is to blame, wait and try again."""
        deadline = time.monotonic() + self._retry_seconds
        pause = 0.2
        while True:
            begun = time.perf_counter()
            encoded = await self._encoding.encode(texts)
            self._encode_seconds += time.perf_counter() - begun
            retriable = [e for e in encoded.errors.values() if getattr(e, "retriable", False)]
            if not retriable:
                return encoded
            if time.monotonic() > deadline:
                raise retriable[0]
            logger.warning(
                "the encoder failed, trying again in %.1f s: texts=%d error=%s",
                pause, len(retriable), retriable[0],
            )  # fmt: skip
            await asyncio.sleep(pause)
            pause = min(2 * pause, 10.0)


class _Whole:
    """All that a micro-batch has of one topic of actions, part after part."""

    def __init__(self, parts: list[Part]) -> None:
        self.topic = parts[0].topic
        self.records = RecordChunk.joined(
            [batch.records for part in parts for batch in part.fetched]
        )
        self._parts = parts
        self._begins = [0, *accumulate(map(len, parts))]

    def share_out(self, batch: ActionBatch, rejected: Sequence[tuple[int, RejectedError]]) -> None:
        """Give every part its actions, and its rejected records of those at these places."""
        for number, part in enumerate(self._parts):
            part.actions = batch.between(*self._begins[number : number + 2])
        for place, error in sorted(rejected, key=_place):
            part = self._parts[bisect_right(self._begins, place) - 1]
            part.rejected.append((self.records[place], error))


def _as_strings(attributes: Mapping[str, Scalar] | None) -> dict[str, str] | None:
    """Numbers and truth as JSON writes them: ``42``, ``true``."""
    if not attributes:
        return None
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in attributes.items()
    }


def _place(rejected: tuple[int, RejectedError]) -> int:
    return rejected[0]


def _parts_of(batches: Sequence[Inbound]) -> list[Part]:
    parts: dict[tuple[str, int, int], Part] = {}
    for batch in batches:
        place = batch.topic, batch.partition, batch.era
        parts.setdefault(place, Part(*place)).fetched.append(batch)
    return list(parts.values())
