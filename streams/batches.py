"""What goes into the pipeline, and what it needs of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from streams.decode import RawRecord

__all__ = ["EncodedTexts", "Inbound", "TextEncoding", "TopicPartition"]


class EncodedTexts(Protocol):
    """``vectors (m, dim) float32``; ``index`` a row for each text, or -1; ``errors`` by text."""

    @property
    def vectors(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def index(self) -> NDArray[np.int32]: ...  # noqa: D102
    @property
    def errors(self) -> Mapping[str, Exception]: ...  # noqa: D102


class TextEncoding(Protocol):
    """Encodes in a thread of its own (`encoders.service.EncoderService`)."""

    @property
    def encoder_id(self) -> str: ...  # noqa: D102
    async def encode(self, texts: Sequence[str]) -> EncodedTexts: ...  # noqa: D102


class TopicPartition(Protocol):
    """One partition of a topic."""

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> int: ...  # noqa: D102


@dataclass(slots=True)
class Inbound:
    """A fetched batch on its way through the pipeline.

    Attributes:
        topic, partition: where it is from.
        records: at least one, in offset order.
        acknowledge: lets its offsets be committed.
        era: between two revocations, counted from the start of the worker, in which it was
            fetched. (A group's generations start over where its brokers lost it.)
        size: bytes that it keeps in memory.
        arrived: when, in seconds of a monotonic clock.
    """

    topic: str
    partition: int
    records: Sequence[RawRecord]
    acknowledge: Callable[[], object]
    era: int
    size: int
    arrived: float = 0.0
