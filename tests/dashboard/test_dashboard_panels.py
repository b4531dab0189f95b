"""From metrics as they are served to what the page shows."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from store.dashboard.exposition import look_at_registry, look_at_text
from store.dashboard.figures import Look, Window
from store.dashboard.panels import (
    absent,
    device_rows,
    index_rows,
    lag_rows,
    service_values,
    worker_figures,
    worker_values,
)
from store.dashboard.promises import Promises


class Metrics:
    """Some of a worker's and of the service's, by their names."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        named: dict[str, Any] = {"registry": registry}
        self.actions = Counter("tidemark_actions", "-", ["type", "outcome"], **named)
        self.letters = Counter("tidemark_dead_letters", "-", ["reason"], **named)
        self.lag = Gauge("tidemark_consumer_lag_records", "-", ["topic", "partition"], **named)
        self.oldest = Gauge("tidemark_consumer_lag_seconds", "-", ["topic", "partition"], **named)
        self.batch = Histogram("tidemark_batch_actions", "-", buckets=(1, 10, 100), **named)
        self.fold = Histogram("tidemark_fold_seconds", "-", buckets=(0.1, 1), **named)
        self.device = Gauge("tidemark_device_memory_bytes", "-", ["device"], **named)
        self.info = Gauge("tidemark_build_info", "-", ["version", "encoder_id"], **named)
        self.elsewhere = Gauge("python_other", "-", **named)

    def look(self, at: float) -> Look:
        return look_at_text(generate_latest(self.registry).decode(), at)


def test_the_text_and_the_registry_say_the_same() -> None:
    metrics = Metrics()
    metrics.actions.labels("view", "applied").inc(3)
    metrics.batch.observe(7)
    from_text, from_registry = metrics.look(1.0), look_at_registry(metrics.registry, 1.0)
    assert from_text == from_registry
    assert from_text.reports("tidemark_actions_total")
    assert from_text.reports("tidemark_dead_letters_total")  # which has no sample yet
    assert not any("python" in name or "_created" in name for name in from_text.samples)


def test_what_is_no_metrics_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        look_at_text("tidemark_actions_total{a=b} x\n", 0.0)
    assert look_at_text("<html>of something else</html>", 0.0).samples == {}


def test_values_of_workers() -> None:
    metrics = Metrics()
    before = metrics.look(0.0)
    metrics.actions.labels("view", "applied").inc(20)
    metrics.actions.labels("click", "applied").inc(10)
    metrics.actions.labels("click", "duplicate").inc(5)
    metrics.lag.labels("actions", "0").set(4)
    metrics.lag.labels("actions", "1").set(6)
    metrics.oldest.labels("actions", "1").set(2.5)
    for _ in range(10):
        metrics.batch.observe(30)
        metrics.fold.observe(0.05)
    window = Window({"w": (before, metrics.look(5.0))})
    values = worker_values(window, window)
    assert values["actions"] == 7
    assert values["actions.applied"] == 6
    assert values["actions.duplicate"] == 1
    assert values["letters"] == 0
    assert values["lag.records"] == 10
    assert values["lag.seconds"] == 2.5
    assert values["batch.actions"] == 30
    assert values["stage.fold.p50"] == pytest.approx(0.05)
    assert values["stage.publish.p50"] is None
    assert values["encoder.tokens"] is None
    missing = absent(window, window)
    assert "actions" not in missing
    assert "letters" not in missing
    assert {"stage.publish", "encoder.tokens", "freshness", "quality"} <= set(missing)
    assert lag_rows(window) == [
        {"topic": "actions", "partition": 0, "records": 4, "seconds": None, "worker": "w"},
        {"topic": "actions", "partition": 1, "records": 6, "seconds": 2.5, "worker": "w"},
    ]


def test_a_row_of_a_worker_says_what_is_not_reported() -> None:
    metrics = Metrics()
    before = metrics.look(0)
    metrics.info.labels("1.2", "e").set(1)
    metrics.device.labels("cpu").set(100)
    metrics.actions.labels("view", "applied").inc(3)
    metrics.actions.labels("view", "fenced").inc(100)
    window = Window({"w": (before, metrics.look(1)), "v": (None, Look(1))})
    row = worker_figures(window, "w")
    assert (row["version"], row["encoder_id"], row["rate"]) == ("1.2", "e", 3)
    assert (row["partitions"], row["lag"], row["restoring"]) == (None, None, None)
    assert worker_figures(window, "v")["rate"] is None
    assert device_rows(window) == [{"worker": "w", "device": "cpu", "memory": 100}]


def test_values_of_the_service_are_none_where_nothing_was_measured() -> None:
    registry = CollectorRegistry()
    searches = Histogram(
        "tidemark_index_search_seconds", "-", ["index"], buckets=(0.1, 1), registry=registry
    )
    Gauge("tidemark_index_vectors", "-", ["index"], registry=registry).labels("items").set(9)
    searches.labels("items")
    before = look_at_registry(registry, 0)
    searches.labels("items").observe(0.05)
    window = Window({"r": (before, look_at_registry(registry, 1))})
    values = service_values(window, window)
    assert values["search.items.p50"] == pytest.approx(0.05)
    assert values["search.profiles.p50"] is None
    assert values["freshness.p99"] is None
    (row,) = index_rows(window, window, {"items": "exact"})
    assert (row["vectors"], row["recall"]) == (9, None)
    assert row["p50"] == pytest.approx(0.05)


def test_the_error_budget_and_the_recall() -> None:
    registry = CollectorRegistry()
    named: dict[str, Any] = {"registry": registry}
    profiles = Counter("tidemark_freshness_profiles", "-", ["within_slo"], **named)
    Gauge("tidemark_freshness_slo_seconds", "-", **named).set(1)
    Gauge("tidemark_freshness_objective_ratio", "-", **named).set(0.9)
    hits = Counter("tidemark_online_recall_hits", "-", ["ranking"], **named)
    trials = Counter("tidemark_online_recall_trials", "-", **named)
    promises = Promises(seconds=100)

    def at(seconds: float) -> dict[str, dict[str, dict[str, float]]]:
        now = Window({"r": (None, look_at_registry(registry, seconds))})
        found: dict[str, dict[str, dict[str, float]]] = promises.add(seconds, now)
        return found

    first = at(0)
    assert first["freshness"]["window"]["left"] is None
    none = {"served": None, "profile": None, "popularity": None}
    assert first["quality"]["window"] == {"trials": 0, **none}
    profiles.labels("true").inc(95)
    profiles.labels("false").inc(5)
    trials.inc(40)
    hits.labels("served").inc(20)
    hits.labels("profile").inc(10)
    hits.labels("popularity").inc(4)
    told = at(50)
    assert told["freshness"]["window"]["within"] == pytest.approx(0.95)
    assert told["freshness"]["window"]["burn"] == pytest.approx(0.5)
    assert told["freshness"]["window"]["left"] == pytest.approx(0.5)
    shares = {"served": 0.5, "profile": 0.25, "popularity": 0.1}
    assert told["quality"]["window"] == {"trials": 40, **shares}
    profiles.labels("false").inc(20)
    at(120)
    later = at(200)
    assert later["freshness"]["window"]["profiles"] == 20
    assert later["freshness"]["window"]["left"] == pytest.approx(1 - 1 / 0.1)
    assert later["freshness"]["start"]["profiles"] == 120
    assert later["quality"]["window"]["trials"] == 0


def test_promises_that_are_not_reported_are_none() -> None:
    empty = Window({"r": (None, Look(0))})
    assert Promises().add(0, empty) == {"freshness": None, "quality": None}
