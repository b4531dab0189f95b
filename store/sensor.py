"""What the retrieval side reports of itself; `store.metrics` makes Prometheus metrics of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NullSensor", "Sensor", "SwitchedSensor"]


class Sensor(Protocol):
    """Told what happens. Called from the owner thread and from the event loop; must not block."""

    def on_freshness(self, seconds: NDArray[np.float64]) -> None:
        """Profiles became retrievable so long after their oldest new action was published."""
        ...

    def on_records(self, topic: str, outcome: str, count: int) -> None:
        """Records were ``applied``, or skipped as ``stale``, ``corrupt`` or ``foreign``."""
        ...

    def on_lag(self, records: int) -> None:
        """The follower is this many records behind."""
        ...

    def on_index_size(self, index: str, vectors: int) -> None:
        """An index, ``profiles`` or ``items``, now holds this many vectors."""
        ...

    def on_recall(self, index: str, share: float) -> None:
        """Of the true best so much is found, as probed lately."""
        ...

    def on_snapshot(self, seconds: float | None) -> None:
        """A snapshot was written in so long, or could not be (None)."""
        ...

    def on_request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered; ``route`` is the template, not the path."""
        ...


class NullSensor:
    """Hears and does nothing."""

    def on_freshness(self, seconds: NDArray[np.float64]) -> None:
        """See `Sensor`."""

    def on_records(self, topic: str, outcome: str, count: int) -> None:
        """See `Sensor`."""

    def on_lag(self, records: int) -> None:
        """See `Sensor`."""

    def on_index_size(self, index: str, vectors: int) -> None:
        """See `Sensor`."""

    def on_request(self, route: str, status: int, seconds: float) -> None:
        """See `Sensor`."""

    def on_recall(self, index: str, share: float) -> None:
        """See `Sensor`."""

    def on_snapshot(self, seconds: float | None) -> None:
        """See `Sensor`."""


class SwitchedSensor:
    """Passes on what it hears while it is on: of two that report the same, one is on.

    Args:
        sensor: told what happens.
        on: at first.
    """

    def __init__(self, sensor: Sensor, *, on: bool) -> None:
        self._sensor = sensor
        self.on = on

    def on_freshness(self, seconds: NDArray[np.float64]) -> None:
        """See `Sensor`."""
        if self.on:
            self._sensor.on_freshness(seconds)

    def on_records(self, topic: str, outcome: str, count: int) -> None:
        """See `Sensor`."""
        if self.on:
            self._sensor.on_records(topic, outcome, count)

    def on_lag(self, records: int) -> None:
        """See `Sensor`."""
        if self.on:
            self._sensor.on_lag(records)

    def on_index_size(self, index: str, vectors: int) -> None:
        """See `Sensor`."""
        if self.on:
            self._sensor.on_index_size(index, vectors)

    def on_recall(self, index: str, share: float) -> None:
        """See `Sensor`."""
        if self.on:
            self._sensor.on_recall(index, share)

    def on_snapshot(self, seconds: float | None) -> None:
        """See `Sensor`."""
        if self.on:
            self._sensor.on_snapshot(seconds)

    def on_request(self, route: str, status: int, seconds: float) -> None:
        """See `Sensor`."""
        if self.on:
            self._sensor.on_request(route, status, seconds)
