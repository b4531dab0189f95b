"""How far a group is, on each broker: true ends, ages, and who has what."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from system_helpers import Deployment, tidemark, wait_until

from streams.errors import TopicMismatchError
from streams.group_lag import GroupState
from streams.group_state import read_group
from streams.schema import Item

pytestmark = pytest.mark.integration

FILM = Item(item_id="alien", title="Alien")


def state_of(deployment: Deployment) -> GroupState:
    names = deployment.names
    return read_group(
        deployment.bootstrap, deployment.group, [*(one.name for one in names.actions), names.items]
    )


def test_lag_before_and_after_a_worker(bootstrap: str, tmp_path: Path) -> None:
    deployment = Deployment(bootstrap, tmp_path, partitions=2)
    (actions,) = [one.name for one in deployment.names.actions]
    deployment.publish_items([FILM])
    before = time.time()
    with deployment.actions() as publisher:
        # Many of one batch: the embedded broker's ListOffsets says a lower end.
        for _ in range(600):
            publisher.publish("ann", "view", item_id="alien")
    found = state_of(deployment)
    behind = {(one.topic, one.partition): one for one in found.partitions}
    assert len(behind) == 4
    assert found.records == 601
    assert sorted(one.end for one in found.partitions if one.topic == actions) == [0, 600]
    assert {one.committed for one in found.partitions} == {None}
    assert 0 < found.seconds < time.time() - before + 60
    assert found.members in {None, ()}

    config = ("--config", str(deployment.config))
    done = tidemark("lag", *config, "--json", "--max-records", "600")
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert told["records"] == 601
    assert told["exceeded"] == ["records"]
    assert tidemark("lag", *config, "--max-records", "601").returncode == 0
    assert tidemark("lag", *config, "--max-seconds", "0").returncode == 3

    with deployment.worker() as worker:
        wait_until(lambda: state_of(deployment).records == 0, check=worker.check)
        found = state_of(deployment)
        assert found.seconds == 0
        assert {one.end - (one.committed or 0) for one in found.partitions} == {0}
        if found.members is None:
            assert "not told by this broker" in found.why_not
            assert "not told by this broker" in tidemark("lag", *config).stdout
        else:
            assert found.state == "Stable"
            assert len(found.members) == 1
            assert found.unowned == ()
            assert found.members[0].host == "127.0.0.1"
            assert "faust" in tidemark("lag", *config).stdout


def test_a_missing_topic_is_named(embedded_broker: str, tmp_path: Path) -> None:
    deployment = Deployment(embedded_broker, tmp_path, partitions=2)
    with pytest.raises(TopicMismatchError, match="topics are missing: no-such-topic"):
        read_group(deployment.bootstrap, deployment.group, ["no-such-topic"])
