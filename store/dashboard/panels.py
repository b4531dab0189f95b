"""What the page shows, of the metrics of the workers and of this service.

Pure. ``values`` go into the charts, by series; tables are lists of rows. What no process reports is
None, or absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.dashboard.figures import Window

__all__ = [
    "STAGES",
    "absent",
    "device_rows",
    "index_rows",
    "lag_rows",
    "service_values",
    "worker_figures",
    "worker_values",
]  # fmt: skip

Values = dict[str, float | None]
#: What becomes of a micro-batch, in this order.
STAGES = ("prepare", "encode", "fold", "publish", "commit")
INDEXES = ("items", "profiles")
#: What series are made of.
_WORKERS = {
    "actions": "tidemark_actions_total",
    "letters": "tidemark_dead_letters_total",
    "lag.records": "tidemark_consumer_lag_records",
    "lag.seconds": "tidemark_consumer_lag_seconds",
    "batch.actions": "tidemark_batch_actions",
    "batch.fill": "tidemark_batch_fill_seconds",
    **{f"stage.{stage}": f"tidemark_{stage}_seconds" for stage in STAGES},
    "encoder.tokens": "tidemark_tokens_total",
    "encoder.texts": "tidemark_texts_encoded_total",
    "encoder.padding": "tidemark_padding_tokens_total",
    "encoder.hits": "tidemark_cache_hits_total",
    "encoder.busy": "tidemark_encoder_busy_seconds_total",
    "device.utilization": "tidemark_device_utilization_ratio",
    "device.memory": "tidemark_device_memory_bytes",
    "profiles.held": "tidemark_profiles",
    "drift.p50": "tidemark_profile_drift",
}
_SERVICE = {
    "freshness": "tidemark_freshness_seconds",
    "requests": "tidemark_retrieval_requests_total",
    "search": "tidemark_index_search_seconds",
    "index.recall": "tidemark_index_recall",
    "quality": "tidemark_online_recall_trials_total",
}


def worker_values(fast: Window, slow: Window) -> Values:
    """The series of all workers together.

    Args:
        fast: of some seconds, for rates.
        slow: of more, for quantiles, which need many values.
    """
    values: Values = {
        # of every outcome; some are no work, such as what was applied before
        "actions": fast.rate("tidemark_actions_total"),
        "actions.applied": fast.rate("tidemark_actions_total", outcome="applied"),
        "letters": fast.rate("tidemark_dead_letters_total"),
        "lag.records": _of_partitions(fast, "records"),
        "lag.seconds": fast.highest("tidemark_consumer_lag_seconds"),
        "batch.actions": slow.mean("tidemark_batch_actions"),
        "encoder.tokens": fast.rate("tidemark_tokens_total"),
        "encoder.texts": fast.rate("tidemark_texts_encoded_total"),
        "encoder.padding": slow.share("tidemark_padding_tokens_total", "tidemark_tokens_total"),
        "encoder.hits": slow.share("tidemark_cache_hits_total", "tidemark_cache_misses_total"),
        "encoder.busy": fast.rate("tidemark_encoder_busy_seconds_total"),
        "device.utilization": fast.highest("tidemark_device_utilization_ratio"),
        "device.memory": fast.total("tidemark_device_memory_bytes"),
        "profiles.held": fast.total("tidemark_profiles"),
        "drift.p50": slow.quantile("tidemark_profile_drift", 0.5),
    }
    for outcome, rate in (fast.rates("tidemark_actions_total", "outcome") or {}).items():
        values[f"actions.{outcome}"] = rate
    for reason, rate in (fast.rates("tidemark_dead_letters_total", "reason") or {}).items():
        values[f"letters.{reason}"] = rate
    for name, metric in (
        ("batch.fill", "tidemark_batch_fill_seconds"),
        *((f"stage.{stage}", f"tidemark_{stage}_seconds") for stage in STAGES),
    ):
        values[f"{name}.p50"] = slow.quantile(metric, 0.5)
        values[f"{name}.p99"] = slow.quantile(metric, 0.99)
    return values


def service_values(fast: Window, slow: Window) -> Values:
    """The series of this service."""
    values: Values = {
        "freshness.rate": fast.rate("tidemark_freshness_seconds_count"),
        "freshness.p50": slow.quantile("tidemark_freshness_seconds", 0.5),
        "freshness.p99": slow.quantile("tidemark_freshness_seconds", 0.99),
        "requests": fast.rate("tidemark_retrieval_requests_total"),
        "requests.p50": slow.quantile("tidemark_retrieval_request_seconds", 0.5),
        "requests.p99": slow.quantile("tidemark_retrieval_request_seconds", 0.99),
    }
    for index in INDEXES:
        values[f"search.{index}.p50"] = slow.quantile(
            "tidemark_index_search_seconds", 0.5, index=index
        )
        values[f"search.{index}.p99"] = slow.quantile(
            "tidemark_index_search_seconds", 0.99, index=index
        )
    return values


def absent(workers: Window, service: Window) -> list[str]:
    """Series whose metric nobody reports: not to be taken for those that have no value now."""
    return [
        series
        for window, metrics in ((workers, _WORKERS), (service, _SERVICE))
        for series, metric in metrics.items()
        if not window.reported(metric)
    ]


def lag_rows(now: Window) -> list[dict[str, Any]]:
    """By topic and partition how far behind the worker is that owns it."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for key, metric in (
        ("records", "tidemark_consumer_lag_records"),
        ("seconds", "tidemark_consumer_lag_seconds"),
    ):
        for worker, labels, value in now.readings(metric):
            place = labels.get("topic", ""), int(labels.get("partition", "-1"))
            row = rows.setdefault(
                place, {"topic": place[0], "partition": place[1], "records": None, "seconds": None}
            )
            row["worker"] = worker
            row[key] = value
    return [rows[place] for place in sorted(rows)]


def device_rows(now: Window) -> list[dict[str, Any]]:
    """By worker and device how much of it is used."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for key, metric in (
        ("utilization", "tidemark_device_utilization_ratio"),
        ("memory", "tidemark_device_memory_bytes"),
        ("limit", "tidemark_device_memory_limit_bytes"),
    ):
        for worker, labels, value in now.readings(metric):
            device = labels.get("device", "")
            row = rows.setdefault((worker, device), {"worker": worker, "device": device})
            row[key] = value
    return [rows[place] for place in sorted(rows)]


def worker_figures(fast: Window, worker: str) -> dict[str, Any]:
    """A worker's row in the table of workers."""
    own = fast.among({worker})
    read = own.total("tidemark_restoring_read_records")
    expected = own.total("tidemark_restoring_expected_records")
    build = next((one.labels for one in own.readings("tidemark_build_info")), {})
    return {
        "partitions": own.total("tidemark_assigned_partitions"),
        "rate": own.rate("tidemark_actions_total", outcome="applied"),
        "lag": _of_partitions(own, "records"),
        "lag_seconds": own.highest("tidemark_consumer_lag_seconds"),
        "profiles": own.total("tidemark_profiles"),
        "restoring": [read, expected] if expected else None,
        "stalled": own.total("tidemark_stalled_seconds"),
        "memory": own.total("process_resident_memory_bytes"),
        "version": build.get("version"),
        "encoder_id": build.get("encoder_id"),
    }


def index_rows(now: Window, slow: Window, kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """The indexes of this service; ``kinds`` by name, as `RetrievalView.kinds`."""
    rows = []
    for name, kind in kinds.items():
        row: dict[str, Any] = {"index": name, "kind": kind}
        for key, metric in (
            ("vectors", "tidemark_index_vectors"),
            ("recall", "tidemark_index_recall"),
        ):
            row[key] = next(
                (one.value for one in now.readings(metric) if one.labels.get("index") == name),
                None,
            )
        row["p50"] = slow.quantile("tidemark_index_search_seconds", 0.5, index=name)
        row["p99"] = slow.quantile("tidemark_index_search_seconds", 0.99, index=name)
        rows.append(row)
    return rows


def _of_partitions(window: Window, unit: str) -> float | None:
    """0 only where a partition says so: a worker without partitions says nothing."""
    readings = window.readings(f"tidemark_consumer_lag_{unit}")
    return sum(one.value for one in readings) if readings else None
