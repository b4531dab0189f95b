"""Prometheus metrics as looks: of a registry in this process, or of the text another one serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from store.dashboard.figures import Labels, Look

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry, Metric

__all__ = ["look_at_registry", "look_at_text"]

#: What the page shows begins so. The rest is not parsed: that costs the most.
_SHOWN = ("tidemark_", "process_resident_memory_bytes")
_SAID = ("# TYPE tidemark_", "# HELP tidemark_", "# TYPE process_resident_memory_bytes", *_SHOWN)


def look_at_text(text: str, at: float) -> Look:
    """What a process' ``/metrics`` says.

    Args:
        text: in Prometheus' text format.
        at: when it was asked, seconds.

    Raises:
        ValueError: it is not in that format.
    """
    lines = "\n".join(line for line in text.split("\n") if line.startswith(_SAID))
    return _look(text_string_to_metric_families(lines + "\n"), at)


def look_at_registry(registry: CollectorRegistry, at: float) -> Look:
    """What this process' own metrics say."""
    return _look((one for one in registry.collect() if one.name.startswith(_SHOWN)), at)


def _look(metrics: Iterable[Metric], at: float) -> Look:
    families: set[str] = set()
    samples: dict[str, dict[Labels, float]] = {}
    for metric in metrics:
        if metric.name.endswith("_created"):
            continue  # when a series began, which the text has as metrics of their own
        # The registry and the text name counters differently.
        families.add(metric.name.removesuffix("_total"))
        for sample in metric.samples:
            if not sample.name.endswith("_created"):
                labels = tuple(sorted(sample.labels.items()))
                samples.setdefault(sample.name, {})[labels] = sample.value
    return Look(at, frozenset(families), samples)
