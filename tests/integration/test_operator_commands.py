"""topics create, publish, top and forget on a running system, as an operator calls them."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from system_helpers import BASE_ENV, Deployment, tidemark, wait_until

from streams.processes import free_port
from streams.schema import Item

pytestmark = pytest.mark.integration


def test_topics_are_created_like_those_that_are_there(embedded_broker: str, tmp_path: Path) -> None:
    deployment = Deployment(embedded_broker, tmp_path, partitions=3)
    text = deployment.config.read_text()
    other = tmp_path / "other.toml"
    other.write_text(text.replace(f"'{deployment.names.profiles}'", "'more-profiles'"))
    told = json.loads(tidemark("topics", "create", "--config", str(other), "--json").stdout)
    assert {one["partitions"] for one in told["topics"]} == {3}
    assert [one["topic"] for one in told["topics"] if one["created"]] == ["more-profiles"]
    done = tidemark("topics", "create", "--config", str(other), "--partitions", "5")
    assert done.returncode == 1
    assert "5 partitions were asked for" in done.stderr


def test_a_publish_that_stops_says_what_it_sent(embedded_broker: str, tmp_path: Path) -> None:
    deployment = Deployment(embedded_broker, tmp_path, partitions=1)
    good = {"user_id": "ann", "action": "view", "ts": 1_700_000_000_000, "item_id": "a"}
    file = tmp_path / "clicks.jsonl"
    file.write_text("\n".join(map(json.dumps, [good, good, {**good, "ts": 1_700_000_000}])))
    words = ("publish", str(file), "--config", str(deployment.config))
    done = tidemark(*words)
    assert done.returncode == 1
    assert "entry 3: ts is 1700000000, which looks like seconds" in done.stderr
    assert "2 before it were published and acknowledged" in done.stderr
    done = tidemark(*words, "--on-error", "skip", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["published"], told["skipped"]) == (2, 1)
    assert told["topic"] == deployment.names.actions[0].name


def test_top_and_forget(embedded_broker: str, tmp_path: Path) -> None:
    deployment = Deployment(embedded_broker, tmp_path, partitions=2)
    deployment.publish_items([Item(item_id="alien", title="Alien")])
    with deployment.actions() as actions:
        actions.publish("ann", "view", item_id="alien")
        actions.publish("ann", "dance", item_id="alien")
    port = str(free_port())
    worker_url = f"http://127.0.0.1:{port}"
    with (
        deployment.worker(TIDEMARK_WORKER__METRICS_PORT=port) as worker,
        deployment.retrieval() as client,
    ):
        wait_until(lambda: client.get("/v1/status").json()["profiles"] == 1, check=worker.check)
        words = ["top", "--url", str(client.base_url), "--worker", worker_url]
        nowhere = f"http://127.0.0.1:{free_port()}"
        done = tidemark(*words, "--worker", nowhere, "--once", "--json", **BASE_ENV)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert [one["up"] for one in told["workers"]] == [True, False]
        assert "refused" in told["workers"][1]["error"]
        assert told["retrieval"]["ready"] is True
        assert told["index"]["profiles"]["vectors"] == 1
        assert told["dead_letters"]["unknown_action"]["total"] == 1
        assert told["lag"]["records"] == 0
        assert told["throughput"]["actions_per_second"] == 0.0
        look_and_leave(words)

        done = tidemark("forget", "ann", "--url", str(client.base_url), "--yes", "--json")
        assert done.returncode == 0, done.stderr
        receipt = json.loads(done.stdout)
        assert receipt["status"] == "forgotten"
        assert receipt["known_before"] is True
        assert receipt["topic"] == deployment.names.actions[0].name
        again = tidemark("forget", "ann", "--url", str(client.base_url), "--yes")
        assert "no profile of this user was known" in again.stdout
    done = tidemark("top", "--url", nowhere, "--once", "--every", "0.2", **BASE_ENV)
    assert done.returncode == 1
    assert "down" in done.stdout


def look_and_leave(words: list[str]) -> None:
    """On a terminal of its own; q leaves it as it was."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "tidemark", *words, "--every", "0.3"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, **BASE_ENV, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "50"},
    ) as child:
        os.close(theirs)
        said, deadline = "", time.monotonic() + 60
        pressed = False
        while child.poll() is None:
            assert time.monotonic() < deadline, said
            ready, _, _ = select.select([ours], [], [], 0.5)
            if ready:
                try:
                    said += os.read(ours, 65_536).decode(errors="replace")
                except OSError:
                    break  # the other end is closed
            if not pressed and "Online quality" in said:
                os.write(ours, b"q")
                pressed = True
        assert child.wait(10) == 0, said
    os.close(ours)
    assert pressed
    assert "Throughput" in said
    assert "\x1b[?1049l" in said  # the terminal's own screen is back
