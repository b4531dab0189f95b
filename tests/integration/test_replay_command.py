"""A next generation made by one command: the same profiles, on each broker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from system_helpers import BASE_ENV, Deployment, ProfilesProbe, on_one_broker, tidemark, wait_until

from streams.group_state import read_group
from streams.schema import Item
from tidemark.settings import load_settings

pytestmark = pytest.mark.integration

USERS, ACTIONS = 40, 3_000
FILMS = [Item(item_id=f"i{n}", title=f"Film {n}", categories=(f"c{n % 5}",)) for n in range(60)]


def replay(deployment: Deployment, *words: str, code: int = 0) -> tuple[list[dict[str, Any]], str]:
    done = tidemark(
        "replay", "--config", str(deployment.config), "--state", str(deployment.folder / "state"),
        *words, "--json", **BASE_ENV,
    )  # fmt: skip
    assert done.returncode == code, (done.stdout, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def profiles(deployment: Deployment, topic: str, count: int) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        async with ProfilesProbe(deployment.bootstrap, topic) as probe:
            await probe.wait_applied(count, seconds=60)
            return {
                user: (found.count, found.sum_k, found.last_ts, found.array())
                for user, found in probe.states().items()
            }

    return asyncio.run(read())


@on_one_broker
def test_the_profiles_are_those_of_the_live_generation(bootstrap: str, tmp_path: Path) -> None:
    deployment = Deployment(bootstrap, tmp_path, partitions=2)
    names = deployment.names
    deployment.publish_items(FILMS)
    with deployment.actions() as actions:
        for n in range(ACTIONS):
            actions.publish(
                f"u{n * 7 % USERS}", "rate", item_id=f"i{n % 60}", rating=1.0 + n % 5,
                ts=1_700_000_000_000 + n * 1_000,
            )  # fmt: skip
    with deployment.worker() as worker:
        live = profiles(deployment, names.profiles, ACTIONS)
        assert worker.stop() == 0
    before = read_group(bootstrap, deployment.group, [names.actions[0].name, names.items])

    file = tmp_path / "next.toml"
    events, _ = replay(deployment, "--generation", "2", "--out", str(file))
    assert [one["event"] for one in (events[0], events[-1])] == ["begun", "caught_up"]
    assert events[0]["profiles"] == f"{names.profiles}-2"
    progress = [one for one in events if one["event"] == "progress"]
    assert progress[-1]["done"] == progress[-1]["total"] == ACTIONS + len(FILMS)
    assert events[-1]["dead_letters"] == 0
    assert str(file) in events[-1]["next"]["retrieval"]

    # determinism: the same bytes go in, the same profiles come out
    made = profiles(deployment, f"{names.profiles}-2", ACTIONS)
    assert made.keys() == live.keys()
    for user, (count, sum_k, last_ts, vector) in live.items():
        assert made[user][:3] == (count, sum_k, last_ts)
        np.testing.assert_array_equal(made[user][3], vector)
    # the live one was left alone
    after = read_group(bootstrap, deployment.group, [names.actions[0].name, names.items])
    assert [one.committed for one in after.partitions] == [
        one.committed for one in before.partitions
    ]
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_settings(file).kafka.group == f"{deployment.group}-2"
    check_resumption_and_refusals(deployment, file)


def check_resumption_and_refusals(deployment: Deployment, file: Path) -> None:
    events, _ = replay(deployment, "--generation", "2", "--out", str(file))
    assert events[0]["resumed"]
    assert events[-1]["event"] == "caught_up"
    elsewhere = ("--out", str(file.with_name("other.toml")))
    _, said = replay(deployment, "--generation", "2", *elsewhere, code=2)
    assert "the name is in use: there is a topic" in said
    changes = file.with_name("changes.toml")
    changes.write_text("[policy]\nname = 'decay'\n")
    with_changes = ("--changes", str(changes))
    _, said = replay(deployment, "--generation", "2", "--out", str(file), *with_changes, code=2)
    assert "says other things" in said
    done = tidemark(
        "replay", "--generation", "3", "--config", str(deployment.config), *with_changes,
        *elsewhere,
        TIDEMARK_POLICY__NAME="constant",
    )  # fmt: skip
    assert done.returncode == 2
    assert "environment variable TIDEMARK_POLICY__NAME" in done.stderr


def test_interrupted_it_goes_on(embedded_broker: str, tmp_path: Path) -> None:
    deployment = Deployment(embedded_broker, tmp_path, partitions=2)
    deployment.publish_items(FILMS[:2])
    with deployment.actions() as actions:
        actions.publish("ann", "view", item_id="i0")
    file = tmp_path / "next.toml"
    words = [
        "replay", "--generation", "2", "--out", str(file), "--config", str(deployment.config),
        "--state", str(tmp_path / "state"), "--json",
    ]  # fmt: skip
    child = subprocess.Popen(
        [sys.executable, "-m", "tidemark", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **BASE_ENV},
    )
    try:
        wait_until((tmp_path / "state/generation-2/worker-0.log").exists)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130, said
    assert "the same command goes on" in said
    events, _ = replay(deployment, "--generation", "2", "--out", str(file))
    assert events[0]["resumed"]
    assert events[-1]["event"] == "caught_up"
