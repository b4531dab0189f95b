"""The worker's metrics for Prometheus, in base units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from streams.sensor import Sensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import CollectorRegistry

    from streams.health import Health
    from streams.sensor import BatchFigures, Lag

__all__ = ["PrometheusSensor", "WorkerCollector"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_SIZES = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536)


class PrometheusSensor(Sensor):
    """Counts into a registry.

    Args:
        registry: what ``/metrics`` shows.
        reasons: why messages may be dead-lettered: a counter is there before the first is.
    """

    def __init__(self, registry: CollectorRegistry, reasons: Iterable[str] = ()) -> None:
        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"tidemark_{name}", words, labels, registry=registry)

        def timed(name: str, words: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
            return Histogram(f"tidemark_{name}_seconds", words, buckets=buckets, registry=registry)

        self._actions = counter(
            "actions", "Actions, by type and by what became of them.", "type", "outcome"
        )
        self._items = counter("items", "Items of the catalogue, by what became of them.", "outcome")
        self._dead_letters = counter(
            "dead_letters", "Messages that could not be processed, by reason.", "reason"
        )
        for reason in reasons:
            self._dead_letters.labels(reason)
        self._batch = Histogram(
            "tidemark_batch_actions", "Actions in a micro-batch.", buckets=_SIZES, registry=registry
        )
        self._fill = timed(
            "batch_fill", "From the arrival of a micro-batch's first record to its being taken."
        )
        self._prepare = timed("prepare", "Decoding, rendering and encoding a micro-batch.")
        self._encode = timed("encode", "Of this, waiting for the encoder.")
        self._fold = timed("fold", "Folding a micro-batch into the profiles.")
        self._publish = timed("publish", "Publishing a micro-batch, until it is acknowledged.")
        self._commit = timed("commit", "Committing offsets.")
        self._commit_failures = counter(
            "commit_failures", "Commits that the broker did not take, or not within 30 s."
        )
        self._assigned = Gauge(
            "tidemark_assigned_partitions", "Partitions owned, items' included.", registry=registry
        )
        self._rebalances = counter(
            "rebalances", "Times that the group's partitions were handed out anew."
        )
        self._restored = counter("restored_profiles", "Profiles read back on assignment.")
        self._restore = timed("restore", "Reading back a partition's profiles.", _LONG)
        self._snapshot = timed("snapshot", "Writing a partition's snapshot.")
        self._snapshot_failures = counter(
            "snapshot_failures", "Snapshots that could not be written."
        )
        self._overtaken = counter(
            "overtaken_profiles",
            "Profiles published again since another worker's late write came after the newest.",
        )
        self._lag = _LagCollector()
        registry.register(self._lag)

    def on_actions(self, action: str, outcome: str, count: int) -> None:  # noqa: D102 # see Sensor
        self._actions.labels(action, outcome).inc(count)

    def on_items(self, outcome: str, count: int) -> None:  # noqa: D102
        self._items.labels(outcome).inc(count)

    def on_dead_letter(self, reason: str) -> None:  # noqa: D102
        self._dead_letters.labels(reason).inc()

    def on_batch(self, figures: BatchFigures) -> None:  # noqa: D102
        self._batch.observe(figures.actions)
        self._fill.observe(figures.fill_seconds)
        self._prepare.observe(figures.prepare_seconds)
        self._encode.observe(figures.encode_seconds)
        self._fold.observe(figures.fold_seconds)
        self._publish.observe(figures.publish_seconds)

    def on_commit(self, seconds: float, *, ok: bool) -> None:  # noqa: D102
        if ok:
            self._commit.observe(seconds)
        else:
            self._commit_failures.inc()

    def on_assigned(self, partitions: int) -> None:  # noqa: D102
        self._rebalances.inc()
        self._assigned.set(partitions)

    def on_revoked(self) -> None:  # noqa: D102
        self._assigned.set(0)

    def on_lag(self, lag: Mapping[tuple[str, int], Lag]) -> None:  # noqa: D102
        self._lag.lag = lag

    def on_snapshot(self, seconds: float | None) -> None:  # noqa: D102
        if seconds is None:
            self._snapshot_failures.inc()
        else:
            self._snapshot.observe(seconds)

    def on_overtaken(self, profiles: int) -> None:  # noqa: D102
        self._overtaken.inc(profiles)

    def on_restored(self, partition: int, profiles: int, seconds: float) -> None:  # noqa: D102
        del partition  # a label each would grow with the topic
        self._restored.inc(profiles)
        self._restore.observe(seconds)


class _LagCollector(Collector):
    """Of the partitions that are owned now: one that was given up is another worker's to tell."""

    def __init__(self) -> None:
        self.lag: Mapping[tuple[str, int], Lag] = {}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        labels = ["topic", "partition"]
        records = GaugeMetricFamily(
            "tidemark_consumer_lag_records",
            "Records of an owned partition whose effects are not durable.", labels=labels,
        )  # fmt: skip
        seconds = GaugeMetricFamily(
            "tidemark_consumer_lag_seconds",
            "Age of the oldest of these; 0 where there is none.", labels=labels,
        )  # fmt: skip
        for (topic, partition), one in self.lag.items():
            records.add_metric([topic, str(partition)], one.records)
            seconds.add_metric([topic, str(partition)], one.seconds)
        return records, seconds


class WorkerCollector(Collector):
    """What others count themselves, read at each scrape.

    Args:
        health: knows what stands still and what is being restored.
        profiles: how many are held.
        redacted: how often each kind of personal data was taken out of users' words.
    """

    def __init__(
        self,
        health: Health,
        profiles: Callable[[], int],
        redacted: Callable[[], Mapping[str, int]],
    ) -> None:
        self._health = health
        self._profiles = profiles
        self._redacted = redacted

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        """The figures at this moment."""
        read, expected = self._health.restoring
        for name, words, value in (
            ("stalled_seconds", "How long there was something to do and nothing advanced.",
             self._health.stalled_seconds),
            ("restoring_read_records", "Records read by the restores that run now.", read),
            ("restoring_expected_records", "Records to read by the restores that run now, about.",
             expected),
            ("profiles", "Profiles of the owned partitions.", self._profiles()),
        ):  # fmt: skip
            yield GaugeMetricFamily(f"tidemark_{name}", words, value)
        redactions = CounterMetricFamily(
            "tidemark_redactions", "Taken out of users' words, by kind.", labels=["kind"]
        )
        for kind, count in self._redacted().items():
            redactions.add_metric([kind], count)
        yield redactions
