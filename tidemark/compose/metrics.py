"""The metrics that the worker and the retrieval service have in common."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import Gauge, GCCollector, ProcessCollector

from encoders.device_use import use_of
from encoders.metrics import EncoderCollector
from tidemark import __version__

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from encoders import EncoderService

__all__ = ["add_common_metrics"]


def add_common_metrics(
    registry: CollectorRegistry, process: str, encoding: EncoderService, policy: str
) -> None:
    """The process, its version, its encoder and the encoder's device.

    Args:
        registry: what ``/metrics`` shows.
        process: ``worker`` or ``retrieval``.
        encoding: of this process.
        policy: how profiles are updated.
    """
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    Gauge(
        "tidemark_build_info",
        "What runs: always 1.",
        ["process", "version", "python", "encoder_id", "policy"],
        registry=registry,
    ).labels(process, __version__, platform.python_version(), encoding.encoder_id, policy).set(1)
    device = use_of(getattr(encoding.encoder, "device", "cpu"))
    registry.register(EncoderCollector(encoding.stats, device))
