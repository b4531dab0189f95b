"""Letters listed, shown and sent back, on each broker."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from system_helpers import Deployment, ProfilesProbe, on_one_broker, wait_until
from typer.testing import CliRunner

from streams.group_state import read_group
from streams.schema import Item
from tidemark.cli.main import app

pytestmark = pytest.mark.integration

EVIL = "\x1b]0;owned\x07\u202e"


def dead_letters(deployment: Deployment, *words: str, code: int = 0) -> str:
    given = ["dead-letters", *words, "--config", str(deployment.config)]
    done = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, given)
    assert done.exit_code == code, done.output
    assert "\x1b" not in done.output
    return done.output


def listed(deployment: Deployment, *words: str) -> list[dict[str, Any]]:
    said = dead_letters(deployment, "list", "--json", *words)
    return [json.loads(line) for line in said.splitlines()]


def unread(deployment: Deployment) -> int:
    names = deployment.names
    topics = [*(one.name for one in names.actions), names.items]
    return read_group(deployment.bootstrap, deployment.group, topics).records


async def counts(deployment: Deployment) -> dict[str, int]:
    async with ProfilesProbe(deployment.bootstrap, deployment.names.profiles) as probe:
        await probe.wait_applied(1, seconds=60)
        return {user: found.count for user, found in probe.states().items()}


@on_one_broker
def test_letters_are_listed_shown_and_sent_back(bootstrap: str, tmp_path: Path) -> None:
    deployment = Deployment(bootstrap, tmp_path, partitions=2)
    actions = deployment.names.actions[0].name
    assert "no dead letters" in dead_letters(deployment, "list")
    with deployment.actions() as publisher:
        publisher.publish("ann", "view", item_id="later")
        publisher.publish("ann", f"dance{EVIL}", item_id="later")
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    producer.send(actions, key=b"ann", value=b"\xc1\x00\xff", partition=1)
    producer.send(deployment.names.items, key=b"x", value=b"\xc1", partition=0)
    producer.close()

    with deployment.worker() as worker:
        wait_until(lambda: unread(deployment) == 0, check=worker.check)
        assert worker.stop() == 0
    found = listed(deployment)
    by_reason = {(one["reason"], one["source_topic"]): one for one in found}
    assert sorted(by_reason) == sorted(
        [
            ("malformed", actions),
            ("malformed", deployment.names.items),
            ("unknown_action", actions),
            ("unknown_item", actions),
        ]
    )
    late, broken = by_reason["unknown_item", actions], by_reason["malformed", actions]
    assert late["key"] == "ann"
    assert [one["place"] for one in listed(deployment, "--reason", "unknown_item")] == [
        late["place"]
    ]
    assert len(listed(deployment, "--source", actions)) == 3
    assert len(listed(deployment, "--limit", "1")) == 1
    assert len(listed(deployment, "--since", "1h")) == 4
    check_what_is_shown(deployment, late, broken)
    check_replay(deployment, broken)


def check_what_is_shown(
    deployment: Deployment, late: dict[str, Any], broken: dict[str, Any]
) -> None:
    actions = deployment.names.actions[0].name
    table = dead_letters(deployment, "list")
    assert "dance\\x1b]0;owned\\x07\\u202e" in "".join(table.split())
    assert "4 letters: malformed 2" in table

    said = dead_letters(deployment, "show", late["place"])
    assert '"item_id": "later"' in said
    assert f"{actions}, partition {late['source_partition']}" in said
    assert "c1 00 ff" in dead_letters(deployment, "show", broken["place"])
    told = json.loads(dead_letters(deployment, "show", broken["place"], "--json"))
    assert base64.b64decode(told["value_base64"]) == b"\xc1\x00\xff"
    assert told["content"] is None
    told = json.loads(dead_letters(deployment, "show", late["place"], "--json"))
    assert told["content"]["user_id"] == "ann"
    assert "there is no letter at 0:999999" in dead_letters(deployment, "show", "0:999999", code=1)
    assert "there is no letter at 99:0" in dead_letters(deployment, "show", "99:0", code=1)
    assert "expected PARTITION:OFFSET" in dead_letters(deployment, "show", "7", code=2)


def check_replay(deployment: Deployment, broken: dict[str, Any]) -> None:
    assert "say which letters" in dead_letters(deployment, "replay", code=2)
    assert "say --yes" in dead_letters(deployment, "replay", "--all", code=2)
    dry = json.loads(dead_letters(deployment, "replay", "--all", "--dry-run", "--json"))
    assert dry["replayed"] == 0
    assert {(one["verdict"], one["reason"]): one["count"] for one in dry["letters"]} == {
        ("replayed", "malformed"): 1,
        ("catalogue", "malformed"): 1,
        ("replayed", "unknown_action"): 1,
        ("replayed", "unknown_item"): 1,
    }
    assert unread(deployment) == 0

    # The item comes, and the action on it counts after all.
    deployment.publish_items([Item(item_id="later", title="Late")])
    said = dead_letters(deployment, "replay", "--reason", "unknown_item", "--yes")
    assert "replayed 1 letters, all acknowledged" in said
    assert unread(deployment) == 2
    assert "replayed 1" in dead_letters(deployment, "replay", broken["place"], "--yes")
    # A second run leaves out what the first one sent, unless it is told otherwise.
    said = dead_letters(deployment, "replay", "--reason", "unknown_item", "--yes")
    assert "replayed before" in said
    assert unread(deployment) == 3
    dry = dead_letters(deployment, "replay", "--all", "--again", "--dry-run", "--json")
    assert sum(one["count"] for one in json.loads(dry)["letters"]) == 4
    sent = sorted(one["reason"] for one in listed(deployment) if one["replayed"])
    assert sent == ["malformed", "unknown_item"]
    with deployment.worker() as again:
        wait_until(lambda: unread(deployment) == 0, check=again.check)
    assert asyncio.run(counts(deployment)) == {"ann": 1}
    # what still cannot be read is a letter again, from the partition that it came from
    letters = [
        one
        for one in listed(deployment, "--source", broken["source_topic"])
        if one["reason"] == "malformed"
    ]
    assert len(letters) == 2
    assert {one["source_partition"] for one in letters} == {1}
