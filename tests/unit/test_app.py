"""What an assignment must have."""

from __future__ import annotations

import pytest
from pipeline_rig import TP

from streams.app import require_all_topics
from streams.errors import TopicMismatchError


def test_the_same_partitions_of_every_topic_are_well() -> None:
    assigned = [TP(topic, number) for topic in ("actions", "items") for number in (2, 5)]
    require_all_topics(assigned, ["actions", "items"])


def test_a_worker_beyond_the_partitions_has_none_of_any() -> None:
    require_all_topics([], ["actions", "items"])


@pytest.mark.parametrize(
    ("assigned", "missing"),
    [
        ([TP("items", 0), TP("items", 1)], r"\[0, 1\] of topic actions"),
        ([TP("items", 0), TP("actions", 0), TP("actions", 3)], r"\[3\] of topic items"),
    ],
)
def test_a_topic_that_nobody_consumes_is_named(assigned: list[TP], missing: str) -> None:
    with pytest.raises(TopicMismatchError, match=missing):
        require_all_topics(assigned, ["actions", "items"])
