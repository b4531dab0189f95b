"""The worker's metrics for Prometheus, in base units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from streams.sensor import Sensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client import CollectorRegistry

    from streams.health import Health

__all__ = ["EncoderStats", "PrometheusSensor"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384)


class EncoderStats(Protocol):
    """Counters of the encoder's service (`encoders.service.ServiceStats`)."""

    @property
    def texts_requested(self) -> int: ...  # noqa: D102
    @property
    def texts_encoded(self) -> int: ...  # noqa: D102
    @property
    def texts_merged(self) -> int: ...  # noqa: D102
    @property
    def texts_cut(self) -> int: ...  # noqa: D102
    @property
    def evictions(self) -> int: ...  # noqa: D102
    @property
    def disk_hits(self) -> int: ...  # noqa: D102
    @property
    def disk_misses(self) -> int: ...  # noqa: D102
    @property
    def disk_evictions(self) -> int: ...  # noqa: D102
    @property
    def disk_failures(self) -> int: ...  # noqa: D102
    @property
    def cache_hits(self) -> int: ...  # noqa: D102
    @property
    def cache_misses(self) -> int: ...  # noqa: D102
    @property
    def failures(self) -> int: ...  # noqa: D102
    @property
    def encode_seconds(self) -> float: ...  # noqa: D102


class PrometheusSensor(Sensor):
    """Counts into a registry.

    Args:
        registry: what ``/metrics`` shows.
        encoder: reads the encoder's counters, at each scrape.
        health: knows, at each scrape, what stands still and what is being restored.
        redacted: how often each kind of personal data was taken out of users' words.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        encoder: Callable[[], EncoderStats],
        health: Health,
        redacted: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._actions = Counter(
            "tidemark_actions", "Actions, by what became of them.", ["outcome"], registry=registry
        )
        self._items = Counter(
            "tidemark_items", "Items of the catalogue, by what became of them.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self._dead_letters = Counter(
            "tidemark_dead_letters", "Messages that could not be processed, by reason.", ["error"],
            registry=registry,
        )  # fmt: skip
        self._batch = Histogram(
            "tidemark_batch_actions", "Actions in a micro-batch.", buckets=_SIZES, registry=registry
        )
        self._prepare = Histogram(
            "tidemark_prepare_seconds", "Decoding and encoding a micro-batch.", buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._apply = Histogram(
            "tidemark_apply_seconds", "Folding and publishing a micro-batch.", buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._assigned = Gauge(
            "tidemark_assigned_partitions", "Partitions owned, items' included.", registry=registry
        )
        self._restored = Counter(
            "tidemark_restored_profiles", "Profiles read back on assignment.", registry=registry
        )
        self._restore = Histogram(
            "tidemark_restore_seconds", "Reading back a partition's profiles.", buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._snapshot = Histogram(
            "tidemark_snapshot_seconds", "Writing a partition's snapshot.", buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._snapshot_failures = Counter(
            "tidemark_snapshot_failures", "Snapshots that could not be written.", registry=registry
        )
        self._overtaken = Counter(
            "tidemark_overtaken_profiles",
            "Profiles published again since another worker's late write came after the newest.",
            registry=registry,
        )
        for name, help_text, read in (
            ("stalled_seconds", "How long there was something to do and nothing advanced.",
             lambda: health.stalled_seconds),
            ("restoring_read_records", "Records read by the restores that run now.",
             lambda: health.restoring[0]),
            ("restoring_expected_records", "Records to read by the restores that run now, about.",
             lambda: health.restoring[1]),
        ):  # fmt: skip
            Gauge(f"tidemark_{name}", help_text, registry=registry).set_function(read)
        registry.register(_EncoderCounters(encoder, redacted))

    def on_actions(self, outcome: str, count: int) -> None:  # noqa: D102 # see Sensor
        self._actions.labels(outcome).inc(count)

    def on_items(self, outcome: str, count: int) -> None:  # noqa: D102
        self._items.labels(outcome).inc(count)

    def on_dead_letter(self, error: str) -> None:  # noqa: D102
        self._dead_letters.labels(error).inc()

    def on_batch(self, actions: int, encode_seconds: float, apply_seconds: float) -> None:  # noqa: D102
        self._batch.observe(actions)
        self._prepare.observe(encode_seconds)
        self._apply.observe(apply_seconds)

    def on_assigned(self, partitions: int) -> None:  # noqa: D102
        self._assigned.set(partitions)

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


class _EncoderCounters(Collector):
    """What the encoder's service and the redactor count themselves, read at each scrape."""

    def __init__(
        self, encoder: Callable[[], EncoderStats], redacted: Callable[[], Mapping[str, int]]
    ) -> None:
        self._encoder = encoder
        self._redacted = redacted

    def collect(self) -> Iterator[CounterMetricFamily]:
        counted = self._encoder()
        for name, help_text, value in (
            ("texts_requested", "Texts asked of the encoder; an item's text once a micro-batch.",
             counted.texts_requested),
            ("texts_encoded", "Texts that the model encoded.", counted.texts_encoded),
            ("texts_merged", "Texts that were being encoded for another call already.",
             counted.texts_merged),
            ("texts_cut", "Texts that were longer than the encoder reads.", counted.texts_cut),
            ("cache_hits", "Distinct texts of a call found in the cache.", counted.cache_hits),
            ("cache_misses", "Distinct texts of a call not found in the cache.",
             counted.cache_misses),
            ("cache_evictions", "Texts that left the cache in memory.", counted.evictions),
            ("disk_cache_hits", "Of the misses, texts found in the cache on disk.",
             counted.disk_hits),
            ("disk_cache_misses", "Of the misses, texts not found there either.",
             counted.disk_misses),
            ("disk_cache_evictions", "Texts that this worker took from the cache on disk.",
             counted.disk_evictions),
            ("disk_cache_failures", "Reads and writes of the cache on disk that failed.",
             counted.disk_failures),
            ("encode_failures", "Texts that the encoder failed on.", counted.failures),
            ("encode_seconds", "Time in the encoder.", counted.encode_seconds),
        ):  # fmt: skip
            yield CounterMetricFamily(f"tidemark_{name}", help_text, value)
        redactions = CounterMetricFamily(
            "tidemark_redactions", "Taken out of users' words, by kind.", labels=["kind"]
        )
        for kind, count in self._redacted().items():
            redactions.add_metric([kind], count)
        yield redactions
