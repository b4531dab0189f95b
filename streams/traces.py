"""Which actions somebody follows, by the header ``traceparent`` that their producers gave them.

The header is W3C's (https://www.w3.org/TR/trace-context/). It is looked for in a chunk's bytes, as
the reading of records leaves headers out: nobody reads those of the others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from streams.chunk import RecordChunk
from streams.records import OutPairs, OutRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from store.batch import Pairs
    from streams.batches import Inbound
    from streams.errors import RejectedError

__all__ = [
    "TRACEPARENT", "OpenTraces", "Stages", "TracedAction", "Traces", "traced_actions",
    "with_headers",
]  # fmt: skip

TRACEPARENT = "traceparent"
#: The name and the value, each with its length before it, as a zigzag number.
_HEADER = re.compile(rb"\x16traceparent\x6e([0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class TracedAction:
    """An action that somebody follows.

    Attributes:
        topic, partition, offset: of its record.
        key: of its record: the user.
        arrived: when it was fetched, seconds of `time.perf_counter`.
        parent: the header's value.
    """

    topic: str
    partition: int
    offset: int
    key: bytes
    arrived: float
    parent: str


@dataclass(frozen=True, slots=True)
class Stages:
    """When a micro-batch went through each, ``(begun, ended)`` seconds of `time.perf_counter`."""

    prepare: tuple[float, float]
    fold: tuple[float, float]
    publish: tuple[float, float]


class OpenTraces(Protocol):
    """The actions of a micro-batch that are followed."""

    @property
    def headers(self) -> Mapping[tuple[int, bytes], bytes]:
        """By partition and user the value of ``traceparent`` for the profile's record."""
        ...

    def end(self, stages: Stages, rejected: Mapping[tuple[str, int, int], RejectedError]) -> None:
        """The micro-batch is published; those at these topics, partitions and offsets failed."""
        ...


class Traces(Protocol):
    """Follows actions through a worker (`tidemark.tracing`)."""

    def begin(self, number: int, actions: Sequence[TracedAction]) -> OpenTraces:
        """Actions of the micro-batch with this number are about to be folded."""
        ...


def traced_actions(batches: Sequence[Inbound]) -> Iterator[TracedAction]:
    """Those of the batches whose records carry the header."""
    for batch in batches:
        if not isinstance(batch.records, RecordChunk):
            continue
        buffer, spans = batch.records.buffer, batch.records.spans
        for found in _HEADER.finditer(buffer.data):
            place = int(np.searchsorted(spans.ends, found.start(), side="right"))
            # Else it is of a record that was not asked for, or a user's words.
            if place < len(spans.ends) and found.start() >= max(
                spans.key_ends[place], spans.value_ends[place]
            ):
                record = batch.records[place]
                yield TracedAction(
                    batch.topic, batch.partition, record.offset, record.key or b"",
                    batch.arrived, found[1].decode(),
                )  # fmt: skip


def with_headers(
    out: OutPairs, headers: Mapping[tuple[int, bytes], bytes]
) -> Iterator[OutPairs | OutRecord]:
    """The same records in the same order, those of followed users with their header."""
    begin = 0
    for place, (key, value) in enumerate(out.pairs.listed()):
        header = headers.get((out.partition, key))
        if header is None:
            continue
        if place > begin:
            yield out._replace(pairs=_part(out.pairs, begin, place))
        yield OutRecord(out.topic, out.partition, key, value, ((TRACEPARENT, header),))
        begin = place + 1
    count = (len(out.pairs.bounds) - 1) // 2
    if count > begin:
        yield out._replace(pairs=_part(out.pairs, begin, count))


def _part(pairs: Pairs, begin: int, end: int) -> Pairs:
    return pairs._replace(bounds=pairs.bounds[2 * begin : 2 * end + 1])
