"""docs/command-line.md names every command and option, and says of them what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_tree import commands, options_of

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()


def sections() -> dict[str, str]:
    parts = re.split(r"^### `(tidemark[^`]*)`$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_is_on_the_page_and_no_other() -> None:
    assert sorted(sections()) == sorted(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_options_are_those_of_the_code(name: str) -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (.*?) \|$", sections()[name], re.MULTILINE)
    assert dict(rows) == {
        option: " ".join(text.split()).replace("|", "\\|")
        for option, text in options_of(commands()[name]).items()
    }


@pytest.mark.parametrize("name", sorted(commands()))
def test_a_command_that_prints_json_shows_its_shape(name: str) -> None:
    prints = "--json" in options_of(commands()[name])
    assert ("JSON:" in sections()[name]) == prints
    # services print nothing but their log
    assert prints == (name not in {"tidemark worker", "tidemark retrieval"})


def test_exit_codes_are_those_of_the_code() -> None:
    from tidemark.cli import common  # noqa: PLC0415 # beside its use

    codes = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)
    named = (common.FAILED, common.WRONG_USAGE, common.LIMIT, common.INTERRUPTED)
    assert sorted(map(int, codes)) == sorted((0, *named))
