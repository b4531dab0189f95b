"""The retrieval side's Prometheus metrics, in base units."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from store.sensor import Sensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from prometheus_client import CollectorRegistry

    from store.generations import Generations
    from store.ranking.learner import Learner

__all__ = ["PrometheusSensor", "ServiceCollector"]

_FRESHNESS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SEARCH_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)
_DRIFT_BUCKETS = (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 2)
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


class PrometheusSensor(Sensor):
    """A `store.sensor.Sensor` whose metrics are in a registry.

    Args:
        registry: what ``/metrics`` shows.
        slo_seconds: an action retrievable so soon after its publishing counts as fresh.
        objective: the share of profiles that is to be.
    """

    def __init__(
        self, registry: CollectorRegistry, *, slo_seconds: float = 1.0, objective: float = 0.99
    ) -> None:
        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"tidemark_{name}", words, labels, registry=registry)

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(f"tidemark_{name}", words, labels, registry=registry)

        def timed(name: str, words: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(
                f"tidemark_{name}_seconds", words, labels, buckets=buckets, registry=registry
            )

        self._freshness = _BulkHistogram(
            "tidemark_freshness_seconds",
            "From the publishing of an action to its user's profile being retrievable.",
            sorted({*_FRESHNESS_BUCKETS, slo_seconds}),
        )
        registry.register(self._freshness)
        self._slo_seconds = slo_seconds
        fresh = counter(
            "freshness_profiles",
            "Profiles that became retrievable, by whether it was soon enough.",
            "within_slo",
        )
        self._fresh, self._stale = fresh.labels("true"), fresh.labels("false")
        gauge("freshness_slo_seconds", "How soon that is.").set(slo_seconds)
        gauge("freshness_objective_ratio", "Share of the profiles that is to be.").set(objective)
        self._requests = counter("retrieval_requests", "Requests answered.", "route", "status")
        self._request_seconds = timed(
            "retrieval_request", "Time to answer a request.", _REQUEST_BUCKETS, "route"
        )
        self._search_seconds = timed(
            "index_search", "One search of an index, of up to 16 queries.", _SEARCH_BUCKETS, "index"
        )
        self._lag = gauge("follower_lag_records", "Records that the follower has not read yet.")
        self._vectors = gauge("index_vectors", "Vectors held.", "index")
        self._recall = gauge(
            "index_recall",
            "Share of the true best 100 that a search finds, as probed lately.",
            "index",
        )
        self._snapshot_seconds = timed(
            "retrieval_snapshot", "Writing a snapshot of what is held.", _SNAPSHOT_BUCKETS
        )
        self._snapshot_failures = counter(
            "retrieval_snapshot_failures", "Snapshots that could not be written."
        )
        self._records = counter(
            "follower_records", "Records read, by what became of them.", "topic", "outcome"
        )
        self._drift = _BulkHistogram(
            "tidemark_profile_drift",
            "1 - cos of a profile and its version before, of a sample.",
            _DRIFT_BUCKETS,
        )
        registry.register(self._drift)
        self._trials = counter(
            "online_recall_trials",
            "Liked, unseen items of a sample of actions, asked of the profile before it.",
        )
        self._hits = counter(
            "online_recall_hits", "Of these, items among the best ten of a ranking.", "ranking"
        )

    def on_freshness(self, seconds: NDArray[np.float64]) -> None:  # noqa: D102 # see Sensor
        self._freshness.observe(seconds)
        fresh = int((seconds <= self._slo_seconds).sum())
        self._fresh.inc(fresh)
        self._stale.inc(len(seconds) - fresh)

    def on_records(self, topic: str, outcome: str, count: int) -> None:  # noqa: D102
        self._records.labels(topic, outcome).inc(count)

    def on_lag(self, records: int) -> None:  # noqa: D102
        self._lag.set(records)

    def on_index_size(self, index: str, vectors: int) -> None:  # noqa: D102
        self._vectors.labels(index).set(vectors)

    def on_search(self, index: str, seconds: float) -> None:  # noqa: D102
        self._search_seconds.labels(index).observe(seconds)

    def on_request(self, route: str, status: int, seconds: float) -> None:  # noqa: D102
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def on_recall(self, index: str, share: float) -> None:  # noqa: D102
        self._recall.labels(index).set(share)

    def on_drift(self, drift: NDArray[np.float64]) -> None:  # noqa: D102
        self._drift.observe(drift)

    def on_trial(self, hits: Mapping[str, bool]) -> None:  # noqa: D102
        self._trials.inc()
        for ranking, hit in hits.items():
            self._hits.labels(ranking).inc(hit)

    def on_snapshot(self, seconds: float | None) -> None:  # noqa: D102
        if seconds is None:
            self._snapshot_failures.inc()
        else:
            self._snapshot_seconds.observe(seconds)


class ServiceCollector(Collector):
    """Whether the service can be asked, and of which generations; read at each scrape."""

    def __init__(self, generations: Generations) -> None:
        self._generations = generations

    def collect(self) -> Iterable[Metric]:
        """The state at this moment."""
        serving, upcoming = self._generations.serving, self._generations.upcoming
        for name, words, value in (
            ("ready", "Whether the service has read its topics, as /readyz says.",
             serving.follower.ready().ok),
            ("follower_healthy", "Whether records are being followed right now.",
             serving.follower.health().ok),
        ):  # fmt: skip
            yield GaugeMetricFamily(f"tidemark_{name}", words, float(value))
        yield CounterMetricFamily(
            "tidemark_generation_swaps", "Times that a next generation took over.",
            self._generations.swaps,
        )  # fmt: skip
        known = GaugeMetricFamily(
            "tidemark_generation_info",
            "The generations that are followed: always 1.",
            labels=["generation", "encoder_id", "role"],
        )
        for one, role in ((serving, "serving"), (upcoming, "upcoming")):
            if one is not None:
                known.add_metric([one.name, one.view.encoder_id, role], 1)
        yield known
        if serving.view.learner is not None:
            yield from _of_ranking(serving.view.learner)


def _of_ranking(learner: Learner) -> Iterable[Metric]:
    """What the learned blend rests on, and how it weighs its features."""
    yield CounterMetricFamily(
        "tidemark_ranking_choices_counted",
        "Items that users came to and had not seen, that the ranking counted.",
        learner.counted,
    )
    yield CounterMetricFamily(
        "tidemark_ranking_choices_learned", "Of these, choices that its weights were learned from.",
        learner.learned,
    )  # fmt: skip
    weights = GaugeMetricFamily(
        "tidemark_ranking_weight",
        "Weight of a feature in the learned blend, at any moment: without what contexts add.",
        labels=["feature"],
    )
    for feature, by_context in learner.weights().items():
        weights.add_metric([feature], by_context["always"])
    yield weights
