"""First steps, done as the page says, against a real `tidemark up` with the real model."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from system_helpers import wait_until

from streams.processes import Child, free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "index.md"
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
_PROMPT = "$ "
#: The page was written at this port of retrieval's; the test takes a free one.
_PORT = "8080"


@dataclass(frozen=True)
class Block:
    language: str
    file: str  # "" where it is none
    text: str

    @property
    def commands(self) -> list[str]:
        return [
            line.removeprefix(_PROMPT)
            for line in self.text.splitlines()
            if line.startswith(_PROMPT)
        ]

    @property
    def output(self) -> str:
        return "\n".join(line for line in self.text.splitlines() if not line.startswith(_PROMPT))


def blocks() -> list[Block]:
    return [Block(*found) for found in _BLOCK.findall(PAGE.read_text())]


def pattern_of(shown: str) -> str:
    """Of output as it is shown: … is anything, a number any number, spaces any spaces."""
    parts = re.split(r"(…|\d[\d.,]*|[\s━─]+)", shown.strip())
    return "".join(_part(part) for part in parts)


def _part(part: str) -> str:
    if part == "…":
        return r"[\s\S]*?"
    if re.fullmatch(r"\d[\d.,]*", part):
        return r"\d[\d.,]*"
    if part and not part.strip(" \n━─"):
        return r"[\s━─]*"
    return re.escape(part)


class Reader:
    """Somebody who has a shell and follows the page."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder, self._env = folder, env
        self._variables = folder / "variables.sh"
        self._variables.write_text("")

    def run(self, commands: list[str]) -> subprocess.CompletedProcess[str]:
        script = "\n".join(
            [
                f". {self._variables}",
                *commands,
                "code=$?",
                f"export -p > {self._variables}",
                "exit $code",
            ]
        )
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self._folder,
            env=self._env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A terminal as wide as the page's, with the commands on the path, and no settings."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, words in (("tidemark", "-m tidemark"), ("python", "")):
        file = bin_folder / name
        file.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        file.chmod(0o755)
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("TIDEMARK_") and k != "KAFKA_HOME"
    }
    return {
        **kept,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "COLUMNS": "130",
        "NO_COLOR": "1",
        "TIDEMARK_RETRIEVAL__PORT": str(free_port()),
    }


@pytest.fixture
def started(tmp_path: Path, environment: dict[str, str]) -> Iterator[Child]:
    """The first terminal."""
    command = blocks()[0].commands[0].split()
    assert command == ["tidemark", "up"]
    log = tmp_path / "up.log"
    begun = [sys.executable, "-m", *command, "--state", str(tmp_path / "state")]
    with Child("up", begun, log, env=environment | {"KAFKA_HOME": ""}) as up:
        wait_until(lambda: "Ctrl-C stops." in log.read_text(), check=up.check, seconds=200)
        yield up


def test_every_step_does_as_the_page_says(
    tmp_path: Path, environment: dict[str, str], started: Child
) -> None:
    port = environment["TIDEMARK_RETRIEVAL__PORT"]
    said = started.log.read_text()
    assert re.search(pattern_of(blocks()[0].output), said), said
    broker = re.search(r"broker +(127\.0\.0\.1:\d+)", said)
    assert broker is not None
    reader = Reader(tmp_path, environment)
    for block in blocks()[1:]:
        if block.file:
            (tmp_path / block.file).write_text(block.text)
            continue
        assert block.language == "console", block
        commands = [one.replace(f":{_PORT}", f":{port}") for one in block.commands]
        commands = [re.sub(r"=127\.0\.0\.1:\d+$", f"={broker[1]}", one) for one in commands]
        changes = any(
            word in one for one in commands for word in ("publish", "python", "replay", "forget")
        )
        _expect(reader, commands, block.output, once=changes)
    for path in re.findall(rf"<http://localhost:{_PORT}(/\S*)>", PAGE.read_text()):
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", follow_redirects=True)
        assert answer.status_code == 200, path
    os.kill(started.pid, signal.SIGINT)
    wait_until(lambda: not started.alive(), seconds=60)


def _expect(reader: Reader, commands: list[str], output: str, *, once: bool) -> None:
    """What is only looked at may take a moment to be so; what changes something is done once."""
    last = ""

    def as_shown() -> bool:
        nonlocal last
        done = reader.run(commands)
        last = f"exit code {done.returncode}\n{done.stdout}"
        right = done.returncode == 0 and re.search(pattern_of(output), done.stdout) is not None
        assert right or not once, f"{commands}\n{last}\nexpected\n{output}"
        return right

    try:
        wait_until(as_shown, seconds=60)
    except AssertionError as error:
        raise AssertionError(f"{commands}\n{last}\nexpected\n{output}") from error


def test_patterns_tell_right_from_wrong() -> None:
    shown = "│ 1 │ 0.745 │ thing  │ The Thing (1982) │\n…\nend"
    assert re.search(pattern_of(shown), "│ 1 │ 0.74 │ thing │ The Thing (1982) │\nmore\nend")
    assert not re.search(pattern_of(shown), "│ 1 │ 0.745 │ alien │ The Thing (1982) │\nend")
    assert not re.search(pattern_of("acknowledged"), "not sent")
