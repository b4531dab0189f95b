"""What the retrieval side reports of itself; `store.metrics` makes Prometheus metrics of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Sensor", "SwitchedSensor"]


class Sensor:
    """Told what happens, and does nothing: override what is of interest.

    Called from the owner thread and from the event loop; must not block.
    """

    def on_freshness(self, seconds: NDArray[np.float64]) -> None:
        """Profiles became retrievable so long after their oldest new action was published."""

    def on_records(self, topic: str, outcome: str, count: int) -> None:
        """Records were ``applied``, or skipped as ``stale``, ``corrupt`` or ``foreign``."""

    def on_lag(self, records: int) -> None:
        """The follower is this many records behind."""

    def on_index_size(self, index: str, vectors: int) -> None:
        """An index, ``profiles`` or ``items``, now holds this many vectors."""

    def on_search(self, index: str, seconds: float) -> None:
        """One search of an index took so long, whatever the number of queries in it."""

    def on_recall(self, index: str, share: float) -> None:
        """Of the true best so much is found, as probed lately."""

    def on_drift(self, drift: NDArray[np.float64]) -> None:
        """Profiles turned by so much: 1 - cos of the version before, of some that were updated."""

    def on_trial(self, hits: Mapping[str, bool]) -> None:
        """By ranking whether it had an item among its best before a user took to it."""

    def on_snapshot(self, seconds: float | None) -> None:
        """A snapshot was written in so long, or could not be (None)."""

    def on_request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered; ``route`` is the template, not the path."""


class SwitchedSensor(Sensor):
    """Passes on what it hears while it is on: of two that report the same, one is on.

    Args:
        sensor: told what happens.
        on: at first.
    """

    def __init__(self, sensor: Sensor, *, on: bool) -> None:
        self._sensor = sensor
        self._silent = Sensor()
        self.on = on

    @property
    def _heard(self) -> Sensor:
        return self._sensor if self.on else self._silent

    def on_freshness(self, seconds: NDArray[np.float64]) -> None:  # noqa: D102 # see Sensor
        self._heard.on_freshness(seconds)

    def on_records(self, topic: str, outcome: str, count: int) -> None:  # noqa: D102
        self._heard.on_records(topic, outcome, count)

    def on_lag(self, records: int) -> None:  # noqa: D102
        self._heard.on_lag(records)

    def on_index_size(self, index: str, vectors: int) -> None:  # noqa: D102
        self._heard.on_index_size(index, vectors)

    def on_search(self, index: str, seconds: float) -> None:  # noqa: D102
        self._heard.on_search(index, seconds)

    def on_recall(self, index: str, share: float) -> None:  # noqa: D102
        self._heard.on_recall(index, share)

    def on_drift(self, drift: NDArray[np.float64]) -> None:  # noqa: D102
        self._heard.on_drift(drift)

    def on_trial(self, hits: Mapping[str, bool]) -> None:  # noqa: D102
        self._heard.on_trial(hits)

    def on_snapshot(self, seconds: float | None) -> None:  # noqa: D102
        self._heard.on_snapshot(seconds)

    def on_request(self, route: str, status: int, seconds: float) -> None:  # noqa: D102
        self._heard.on_request(route, status, seconds)
