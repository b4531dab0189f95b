"""What a worker tells of its work; by default to nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BatchFigures", "Lag", "Sensor"]


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """A micro-batch that is published.

    Attributes:
        actions: in it.
        fill_seconds: from the arrival of its first record to its being taken.
        prepare_seconds: decoding, weighing, rendering and encoding.
        encode_seconds: of these, waiting for the encoder.
        fold_seconds: folding, and writing down what is to be published.
        publish_seconds: until the broker had all of it.
    """

    actions: int
    fill_seconds: float
    prepare_seconds: float
    encode_seconds: float
    fold_seconds: float
    publish_seconds: float


@dataclass(frozen=True, slots=True)
class Lag:
    """What there is to do of one partition: records, and the age of the oldest in seconds."""

    records: int
    seconds: float


class Sensor:
    """Override what is of interest. Seconds, and counts."""

    def on_actions(self, action: str, outcome: str, count: int) -> None:
        """Actions of a kind came to this; see `store.fold.OUTCOMES`."""

    def on_items(self, outcome: str, count: int) -> None:
        """Items were published, deleted ones too."""

    def on_dead_letter(self, reason: str) -> None:
        """A message was dead-lettered, for this `RejectReason`."""

    def on_batch(self, figures: BatchFigures) -> None:
        """A micro-batch was published."""

    def on_commit(self, seconds: float, *, ok: bool) -> None:
        """Offsets were committed, or could not be."""

    def on_assigned(self, partitions: int) -> None:
        """After a rebalance the worker owns so many partitions, items' included."""

    def on_revoked(self) -> None:
        """A rebalance begins: the worker owns no partition."""

    def on_lag(self, lag: Mapping[tuple[str, int], Lag]) -> None:
        """What there is to do, by topic and partition: of all that are owned."""

    def on_snapshot(self, seconds: float | None) -> None:
        """A partition's snapshot was written in so many seconds; None: it could not be."""

    def on_overtaken(self, profiles: int) -> None:
        """Late writes of another worker overtook profiles, which are published again."""

    def on_restored(self, partition: int, profiles: int, seconds: float) -> None:
        """A partition's profiles were read back."""
