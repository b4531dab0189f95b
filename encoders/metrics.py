"""What Prometheus is told of an encoder: its service's counters, and the device it runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from encoders.device_use import DeviceUse
    from encoders.service import ServiceStats

__all__ = ["EncoderCollector"]


class EncoderCollector(Collector):
    """Read at each scrape.

    Args:
        stats: the service's counters.
        device: what it runs on.
    """

    def __init__(self, stats: Callable[[], ServiceStats], device: DeviceUse) -> None:
        self._stats = stats
        self._device = device

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The counts at this moment."""
        counted = self._stats()
        for name, help_text, value in (
            ("texts_requested", "Texts asked of the encoder; an item's text once a micro-batch.",
             counted.texts_requested),
            ("texts_encoded", "Texts that the model encoded.", counted.texts_encoded),
            ("texts_merged", "Texts that were being encoded for another call already.",
             counted.texts_merged),
            ("texts_cut", "Texts that were longer than the encoder reads.", counted.texts_cut),
            ("tokens", "Tokens of the texts that the model encoded.", counted.tokens),
            ("padding_tokens", "Tokens computed beside these, to fill up batches.",
             counted.padding_tokens),
            ("cache_hits", "Distinct texts of a call found in the cache.", counted.cache_hits),
            ("cache_misses", "Distinct texts of a call not found in the cache.",
             counted.cache_misses),
            ("cache_evictions", "Texts that left the cache in memory.", counted.evictions),
            ("disk_cache_hits", "Of the misses, texts found in the cache on disk.",
             counted.disk_hits),
            ("disk_cache_misses", "Of the misses, texts not found there either.",
             counted.disk_misses),
            ("disk_cache_evictions", "Texts that this process took from the cache on disk.",
             counted.disk_evictions),
            ("disk_cache_failures", "Reads and writes of the cache on disk that failed.",
             counted.disk_failures),
            ("encode_failures", "Texts that the encoder failed on.", counted.failures),
            ("encoder_busy_seconds", "Time in the encoder; calls may overlap.",
             counted.encode_seconds),
        ):  # fmt: skip
            yield CounterMetricFamily(f"tidemark_{name}", help_text, value)
        used = self._device.read()
        for name, help_text, figure in (
            ("utilization_ratio", "Share of its time in use, on a CPU by this process.",
             used.utilization),
            ("memory_bytes", "Memory in use: on a CPU by this process, on a GPU by all.",
             used.memory_bytes),
            ("memory_limit_bytes", "Memory that there is.", used.memory_limit_bytes),
        ):  # fmt: skip
            family = GaugeMetricFamily(f"tidemark_device_{name}", help_text, labels=["device"])
            if figure is not None:
                family.add_metric([used.device], figure)
            yield family
