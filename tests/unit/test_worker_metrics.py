"""What a worker tells Prometheus of its work."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streams.errors import RejectReason
from streams.lag import LagClock
from streams.metrics import PrometheusSensor
from streams.sensor import BatchFigures, Lag
from streams.watchdog import PartitionReading

NOW_MS = 1_750_000_000_000


def reading(**seen: Any) -> PartitionReading:
    return PartitionReading("actions", 0, **{"position": 100, "end": 100, **seen})


@pytest.mark.parametrize(
    ("seen", "undone"),
    [
        ({}, 0),
        ({"end": 130}, 30),
        ({"end": None}, 0),
        ({"position": None, "end": 7}, 0),
        ({"in_flight": 2, "acknowledged": 60}, 40),
        ({"in_flight": 2, "acknowledged": 60, "end": 130}, 70),
        # fetched, and nothing was done since the partition was assigned
        ({"in_flight": 2, "oldest_offset": 60, "end": 130}, 70),
        # nothing in flight: what lies between the last batch and the position is no record
        ({"acknowledged": 60}, 0),
    ],
)
def test_what_is_not_done(seen: dict[str, Any], undone: int) -> None:
    assert reading(**seen).undone == undone


def test_a_fetched_record_tells_its_age_itself() -> None:
    clock = LagClock()
    one = reading(in_flight=1, acknowledged=90, oldest_ms=NOW_MS - 2_500)
    assert clock.observe(5.0, NOW_MS, [one]) == {("actions", 0): Lag(10, 2.5)}
    ahead = reading(in_flight=1, acknowledged=90, oldest_ms=NOW_MS + 2_500)
    assert clock.observe(5.0, NOW_MS, [ahead]) == {("actions", 0): Lag(10, 0.0)}


def test_what_is_not_fetched_waits_since_there_was_nothing() -> None:
    clock = LagClock()
    assert clock.observe(1.0, NOW_MS, [reading()]) == {("actions", 0): Lag(0, 0.0)}
    assert clock.observe(2.0, NOW_MS, [reading()]) == {("actions", 0): Lag(0, 0.0)}
    assert clock.observe(5.0, NOW_MS, [reading(end=107)]) == {("actions", 0): Lag(7, 3.0)}
    # given up meanwhile, and assigned again: what was seen before does not count
    assert clock.observe(6.0, NOW_MS, []) == {}
    assert clock.observe(9.0, NOW_MS, [reading(end=107)]) == {("actions", 0): Lag(7, 0.0)}


def test_each_figure_is_where_it_belongs() -> None:
    registry = CollectorRegistry()
    sensor = PrometheusSensor(registry, [one.value for one in RejectReason])
    sensor.on_actions("view", "applied", 3)
    sensor.on_actions("view", "fenced", 1)
    sensor.on_batch(BatchFigures(4, 0.1, 0.2, 0.3, 0.4, 0.5))
    sensor.on_commit(0.6, ok=True)
    sensor.on_commit(9.0, ok=False)
    sensor.on_assigned(7)
    value = registry.get_sample_value
    assert value("tidemark_actions_total", {"type": "view", "outcome": "applied"}) == 3
    assert value("tidemark_actions_total", {"type": "view", "outcome": "fenced"}) == 1
    # before the first there is a counter: an alert sees its increase
    assert value("tidemark_dead_letters_total", {"reason": "no_text"}) == 0
    sums = {"batch_fill": 0.1, "prepare": 0.2, "encode": 0.3, "fold": 0.4, "publish": 0.5}
    for name, seconds in {**sums, "commit": 0.6}.items():
        assert value(f"tidemark_{name}_seconds_sum") == pytest.approx(seconds), name
        assert value(f"tidemark_{name}_seconds_count") == 1, name
    assert value("tidemark_batch_actions_sum") == 4
    assert value("tidemark_commit_failures_total") == 1
    assert (value("tidemark_assigned_partitions"), value("tidemark_rebalances_total")) == (7, 1)
    sensor.on_revoked()
    assert value("tidemark_assigned_partitions") == 0


def test_the_lag_of_a_partition_given_up_is_another_workers() -> None:
    registry = CollectorRegistry()
    sensor = PrometheusSensor(registry)
    sensor.on_lag({("actions", 0): Lag(5, 1.5), ("actions", 1): Lag(0, 0.0)})
    labels = {"topic": "actions", "partition": "0"}
    assert registry.get_sample_value("tidemark_consumer_lag_records", labels) == 5
    assert registry.get_sample_value("tidemark_consumer_lag_seconds", labels) == 1.5
    sensor.on_lag({("actions", 1): Lag(0, 0.0)})
    assert registry.get_sample_value("tidemark_consumer_lag_records", labels) is None
