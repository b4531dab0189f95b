"""What all commands have in common: help at once, errors as JSON, no escapes where none belong."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from rich.text import Text
from system_helpers import tidemark

from tidemark.cli.common import moment, seconds, shown


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, tidemark.cli.main\n"
        "heavy = {'numpy', 'numba', 'pydantic', 'httpx', 'kafka', 'aiokafka', 'torch', 'faust',"
        " 'prometheus_client', 'fastapi', 'safetensors'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["profile", "ann", "--url", "http://127.0.0.1:1", "--json"], 1, "no retrieval service"),
        (["settings", "--json", "--config", "/no/such.toml"], 2, "cannot be read"),
        (["publish", "/no/such.csv", "--json"], 1, "there is no file"),
        (["publish", "--json"], 2, "Missing argument"),
        (["profile", "ann", "--json", "--nonsense"], 2, "No such option"),
        (["topics", "check", "--json", "--bootstrap", "127.0.0.1:1"], 1, "is it running"),
    ],
)
def test_errors_are_json_where_json_is_wanted(words: list[str], code: int, says: str) -> None:
    done = tidemark(*words)
    assert done.stdout == ""
    error = json.loads(done.stderr)["error"]
    assert error["exit_code"] == done.returncode == code
    assert says in error["message"]


def test_no_escapes_in_a_pipe() -> None:
    for words in (["--help"], ["settings", "--explain"], ["token", "new", "--scope", "read"]):
        done = tidemark(*words)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout


def test_settings_explained() -> None:
    done = tidemark("settings", "--explain", "--json", TIDEMARK_KAFKA__GROUP="mine")
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert found["kafka.group"] == {
        "name": "kafka.group",
        "value": "mine",
        "default": "tidemark",
        "unit": None,
        "source": "environment variable TIDEMARK_KAFKA__GROUP",
        "meaning": "the workers' consumer group",
    }
    done = tidemark("settings", "--explain", "--bootstrap", "b:1", TIDEMARK_CLIENT__TOKEN="geheim")
    assert "command line" in done.stdout
    assert "geheim" not in done.stdout


def test_what_steers_a_terminal_is_written_out() -> None:
    assert Text.from_markup(shown("a\x1b[31m\u202eb\n")).plain == r"a\x1b[31m\u202eb\n"
    assert Text.from_markup(shown("[bold]ü 漢")).plain == "[bold]ü 漢"


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0 ms"), (0.25, "250 ms"), (3.21, "3.2 s"), (83, "1 min 23 s"), (3_700, "1 h 1 min"),
     (90_000, "1 d 1 h")],
)  # fmt: skip
def test_lengths_of_time(value: float, said: str) -> None:
    assert seconds(value) == said


def test_moments() -> None:
    assert moment(0) == "1970-01-01 00:00:00 UTC"
    assert moment(10**18) == "1000000000000000000 ms"
