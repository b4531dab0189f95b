"""The retrieval side's Prometheus metrics, in base units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["PrometheusSensor"]

_FRESHNESS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class PrometheusSensor:
    """A `store.sensor.Sensor` whose metrics are in the registry given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._freshness = Histogram(
            "tidemark_freshness_seconds",
            "From the publishing of an action to its user's profile being retrievable.",
            buckets=_FRESHNESS_BUCKETS,
            registry=registry,
        )
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
        self._records = Counter(
            "tidemark_follower_records_total",
            "Records read, by what became of them.",
            ["topic", "outcome"],
            registry=registry,
        )

    def on_freshness(self, seconds: float) -> None:
        """See `store.sensor.Sensor`."""
        self._freshness.observe(seconds)

    def on_record(self, topic: str, outcome: str) -> None:
        """See `store.sensor.Sensor`."""
        self._records.labels(topic, outcome).inc()

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
