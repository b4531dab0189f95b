"""Settings of a topic made by hand: which are told, and with which words."""

from __future__ import annotations

import pytest

from streams.topic_names import TopicNames
from streams.topic_settings import TopicSpec, differences, topic_specs, warnings_of

NAMES = TopicNames(profiles="people")
DAY_MS = 24 * 3600 * 1000


def profiles_spec() -> TopicSpec:
    (spec,) = [one for one in topic_specs(NAMES) if one.name == "people"]
    return spec


def warned(**found: str) -> list[str]:
    """Of ``profiles`` as it should be but for these settings; ``_`` stands for a dot."""
    settings = {name.replace("_", "."): value for name, value in found.items()}
    differing = differences(profiles_spec(), {**profiles_spec().config, **settings})
    return warnings_of("people", differing, "a:1,b:2")


def test_a_topic_as_we_create_it_is_not_warned_of() -> None:
    assert warned() == []
    assert warned(min_compaction_lag_ms="600001", delete_retention_ms=str(30 * DAY_MS)) == []
    assert warned(segment_bytes="1") == []  # none of ours


def test_what_the_broker_does_not_know_does_not_differ() -> None:
    assert differences(profiles_spec(), {}) == ()


@pytest.mark.parametrize(
    ("name", "value", "expected", "why"),
    [
        ("min.compaction.lag.ms", "0", "at least 600000", "late write"),
        ("delete.retention.ms", str(DAY_MS), f"at least {7 * DAY_MS}", "forgotten user"),
        ("message.timestamp.type", "CreateTime", "LogAppendTime", "writer's time"),
    ],
)
def test_each_weaker_setting_is_told_with_what_it_costs_and_what_mends_it(
    name: str, value: str, expected: str, why: str
) -> None:
    (line,) = warned(**{name.replace(".", "_"): value})
    assert line.startswith(f"topic people has {name}={value}, expected {expected}: ")
    assert why in line
    assert line.endswith(
        "kafka-configs.sh --bootstrap-server a:1,b:2 --alter --entity-type topics "
        f"--entity-name people --add-config {name}={expected.removeprefix('at least ')}"
    )


def test_every_setting_of_profiles_is_told_or_refused() -> None:
    wrong = dict.fromkeys(profiles_spec().config, "0")
    lines = warnings_of("people", differences(profiles_spec(), wrong), "a:1")
    assert len(lines) == len(wrong) - 1  # a wrong cleanup.policy is refused
