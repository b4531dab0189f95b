"""`tidemark demo` and `tidemark up` as a person runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from system_helpers import BASE_ENV, wait_until

from streams.processes import Child

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def children_of(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def gone(pid: int) -> bool:
    """Whether the process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@contextmanager
def up(tmp_path: Path, *options: str) -> Iterator[tuple[Child, dict[str, int]]]:
    """A running `tidemark up` and its children by role."""
    environment = {**BASE_ENV, "COLUMNS": "200", "KAFKA_HOME": ""}
    command = [sys.executable, "-m", "tidemark", "up", "--port", "0", "--state", str(tmp_path)]
    with Child("up", [*command, *options], tmp_path / "up.log", env=environment) as parent:
        wait_until(lambda: "Ctrl-C stops." in parent.log.read_text(), check=parent.check)
        roles = {}
        for child in children_of(parent.pid):
            line = command_of(child)
            role = next(one for one in ("worker", "retrieval", "broker") if f" {one} " in line)
            roles[role] = child
        yield parent, roles


def demo(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidemark", "demo", "--limit", "5000", *words],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={**os.environ, **BASE_ENV, "COLUMNS": "120", "TMPDIR": str(tmp_path)},
    )


def test_the_demo_ends_with_a_report(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"actions +5,000 in \d+\.\d s", done.stdout)
    assert re.search(r"p50 \d+ ms, p99 \d+ ms", done.stdout)
    assert re.search(r"dead letters +0", done.stdout)
    assert len(re.findall(r"User \d+: ten candidates", done.stdout)) == 3
    assert len(re.findall(r"\(\d{4}\) ", done.stdout)) >= 30  # titles with their year
    assert "nearest profiles" in done.stdout
    assert done.stderr == ""
    # what only a failure leaves behind
    assert list(tmp_path.glob("tidemark-demo-*")) == []
    told = json.loads(demo(tmp_path, "--json").stdout)
    assert (told["actions"], told["dead_letters"]) == (5_000, 0)
    assert len(told["users"]) == 3
    assert len(told["users"][0]["after"]["candidates"]) == 10


def test_up_serves_and_stops_everything(tmp_path: Path) -> None:
    with up(tmp_path) as (parent, roles):
        said = parent.log.read_text()
        assert "keeps everything in memory" in said
        assert roles.keys() == {"broker", "worker", "retrieval"}
        url = re.search(r"retrieval +(http://[\d.:]+)/docs", said)
        assert url is not None
        assert httpx.get(f"{url[1]}/readyz").status_code == 200
        watch = re.search(r"Watch: tidemark top --url (\S+) --worker (\S+)", said)
        assert watch is not None
        assert watch[1] == url[1]
        assert httpx.get(f"{watch[2]}/readyz").status_code == 200
        assert parent.stop() == 0
        assert all(gone(pid) for pid in roles.values())


def test_ctrl_c_while_it_starts_stops_it(tmp_path: Path) -> None:
    environment = {**BASE_ENV, "KAFKA_HOME": ""}
    command = [
        sys.executable,
        "-m",
        "tidemark",
        "up",
        "--port",
        "0",
        "--state",
        str(tmp_path / "s"),
    ]
    with Child("up", command, tmp_path / "up.log", env=environment) as parent:
        wait_until(lambda: "waiting until both" in parent.log.read_text(), check=parent.check)
        children = children_of(parent.pid)
        assert len(children) == 3
        os.kill(parent.pid, signal.SIGINT)
        wait_until(lambda: not parent.alive(), seconds=30)
        assert parent.stop() == 130
        assert "Ctrl-C stops." not in parent.log.read_text()
        assert all(gone(pid) for pid in children)


def test_a_broker_that_dies_ends_the_rest_and_is_named(tmp_path: Path) -> None:
    with up(tmp_path) as (parent, roles):
        os.kill(roles["broker"], signal.SIGKILL)
        wait_until(lambda: not parent.alive())
        assert parent.stop() == 1
        said = parent.log.read_text()
        assert "broker ended with exit status -9" in said
        assert "Traceback" not in said
        assert all(gone(pid) for pid in roles.values())


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    with up(tmp_path) as (parent, roles):
        os.kill(roles["worker"], signal.SIGKILL)
        wait_until(lambda: "started again in 1 s" in parent.log.read_text(), check=parent.check)
        said = parent.log.read_text()
        assert "the worker ended with exit status -9; see" in said

        def workers() -> list[int]:
            return [pid for pid in children_of(parent.pid) if " worker " in command_of(pid)]

        wait_until(lambda: bool(workers()) and workers() != [roles["worker"]], check=parent.check)
        assert parent.stop() == 0
        assert all(gone(pid) for pid in roles.values())


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's own")
def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    with up(tmp_path) as (parent, roles):
        parent.kill()
        wait_until(lambda: all(gone(pid) for pid in roles.values()))
