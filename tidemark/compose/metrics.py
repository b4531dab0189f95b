"""The metrics that the worker and the retrieval service have in common."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import GCCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from encoders.device_use import use_of
from encoders.metrics import EncoderCollector
from tidemark import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import CollectorRegistry

    from encoders import EncoderService

__all__ = ["add_common_metrics"]


def add_common_metrics(
    registry: CollectorRegistry,
    process: str,
    encoding: Callable[[], EncoderService],
    policy: str,
) -> None:
    """The process, its version, its encoder and the encoder's device.

    Args:
        registry: what ``/metrics`` shows.
        process: ``worker`` or ``retrieval``.
        encoding: of this process, as it is at a scrape.
        policy: how profiles are updated.
    """
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(_BuildInfo(process, encoding, policy))
    device = use_of(getattr(encoding().encoder, "device", "cpu"))
    registry.register(EncoderCollector(lambda: encoding().stats(), device))


class _BuildInfo(Collector):
    def __init__(self, process: str, encoding: Callable[[], EncoderService], policy: str) -> None:
        self._process, self._encoding, self._policy = process, encoding, policy

    def collect(self) -> Iterable[GaugeMetricFamily]:
        labels = {
            "process": self._process,
            "version": __version__,
            "python": platform.python_version(),
            "encoder_id": self._encoding().encoder_id,
            "policy": self._policy,
        }
        info = GaugeMetricFamily("tidemark_build_info", "What runs: always 1.", labels=[*labels])
        info.add_metric([*labels.values()], 1)
        yield info
