"""The retrieval side's Prometheus metrics, in base units."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from prometheus_client import CollectorRegistry

__all__ = ["PrometheusSensor"]

_FRESHNESS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SNAPSHOT_BUCKETS = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class _BulkHistogram(Collector):
    """A histogram that takes thousands of values at once; prometheus_client's takes one by one."""

    def __init__(self, name: str, documentation: str, buckets: Sequence[float]) -> None:
        self._name, self._documentation = name, documentation
        self._bounds = np.array(buckets)
        self._counts = np.zeros(len(buckets) + 1, np.int64)
        self._sum = 0.0
        self._lock = Lock()

    def observe(self, values: NDArray[np.float64]) -> None:
        """Count ``(n,)`` values."""
        # A bound belongs to its bucket: "le".
        places = np.searchsorted(self._bounds, values, side="left")
        counts = np.bincount(places, minlength=len(self._counts))
        with self._lock:
            self._counts += counts
            self._sum += float(values.sum())

    def describe(self) -> list[Metric]:
        """What there is to collect, without values."""
        return [HistogramMetricFamily(self._name, self._documentation)]

    def collect(self) -> list[Metric]:
        """The counts at this moment."""
        with self._lock:
            counts, total = np.cumsum(self._counts).tolist(), self._sum
        bounds = [*map(floatToGoString, self._bounds.tolist()), "+Inf"]
        family = HistogramMetricFamily(self._name, self._documentation)
        family.add_metric([], list(zip(bounds, counts, strict=True)), total)
        return [family]


class PrometheusSensor:
    """A `store.sensor.Sensor` whose metrics are in the registry given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._freshness = _BulkHistogram(
            "tidemark_freshness_seconds",
            "From the publishing of an action to its user's profile being retrievable.",
            _FRESHNESS_BUCKETS,
        )
        registry.register(self._freshness)
        self._requests = Counter(
            "tidemark_retrieval_requests_total",
            "Requests answered.",
            ["route", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "tidemark_retrieval_request_seconds",
            "Time to answer a request.",
            ["route"],
            buckets=_REQUEST_BUCKETS,
            registry=registry,
        )
        self._lag = Gauge(
            "tidemark_follower_lag_records",
            "Records that the follower has not read yet.",
            registry=registry,
        )
        self._vectors = Gauge(
            "tidemark_index_vectors", "Vectors held.", ["index"], registry=registry
        )
        self._recall = Gauge(
            "tidemark_index_recall",
            "Share of the true best 100 that a search finds, as probed lately.",
            ["index"],
            registry=registry,
        )
        self._snapshot_seconds = Histogram(
            "tidemark_retrieval_snapshot_seconds",
            "Writing a snapshot of what is held.",
            buckets=_SNAPSHOT_BUCKETS,
            registry=registry,
        )
        self._snapshot_failures = Counter(
            "tidemark_retrieval_snapshot_failures_total",
            "Snapshots that could not be written.",
            registry=registry,
        )
        self._records = Counter(
            "tidemark_follower_records_total",
            "Records read, by what became of them.",
            ["topic", "outcome"],
            registry=registry,
        )

    def on_freshness(self, seconds: NDArray[np.float64]) -> None:
        """See `store.sensor.Sensor`."""
        self._freshness.observe(seconds)

    def on_records(self, topic: str, outcome: str, count: int) -> None:
        """See `store.sensor.Sensor`."""
        self._records.labels(topic, outcome).inc(count)

    def on_lag(self, records: int) -> None:
        """See `store.sensor.Sensor`."""
        self._lag.set(records)

    def on_index_size(self, index: str, vectors: int) -> None:
        """See `store.sensor.Sensor`."""
        self._vectors.labels(index).set(vectors)

    def on_request(self, route: str, status: int, seconds: float) -> None:
        """See `store.sensor.Sensor`."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def on_recall(self, index: str, share: float) -> None:
        """See `store.sensor.Sensor`."""
        self._recall.labels(index).set(share)

    def on_snapshot(self, seconds: float | None) -> None:
        """See `store.sensor.Sensor`."""
        if seconds is None:
            self._snapshot_failures.inc()
        else:
            self._snapshot_seconds.observe(seconds)
