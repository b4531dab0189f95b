"""What a worker tells of its work; by default to nobody."""

from __future__ import annotations

__all__ = ["Sensor"]


class Sensor:
    """Override what is of interest. Seconds, and counts."""

    def on_actions(self, outcome: str, count: int) -> None:
        """Actions were applied, fenced, duplicate, forgotten_user or forget."""

    def on_items(self, outcome: str, count: int) -> None:
        """Items were encoded or deleted."""

    def on_dead_letter(self, error: str) -> None:
        """A message was dead-lettered, for this `RejectReason`."""

    def on_batch(self, actions: int, encode_seconds: float, apply_seconds: float) -> None:
        """A micro-batch was decoded and encoded, then folded and published."""

    def on_assigned(self, partitions: int) -> None:
        """The worker owns so many partitions now, items' included."""

    def on_snapshot(self, seconds: float | None) -> None:
        """A partition's snapshot was written in so many seconds; None: it could not be."""

    def on_overtaken(self, profiles: int) -> None:
        """Late writes of another worker overtook profiles, which are published again."""

    def on_restored(self, partition: int, profiles: int, seconds: float) -> None:
        """A partition's profiles were read back."""
