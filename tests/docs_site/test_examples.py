"""What the pages show is there: commands, options, settings, metrics; and programs in them run."""

from __future__ import annotations

import ast
import doctest
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup

from docsite.commands import root_command
from tidemark.explain import meanings
from tidemark.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "deploy" / "README.md"]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    found = re.findall(
        rf"^( *)```{language}(?: [^\n]*)?\n(.*?)^ *```$", path.read_text(), re.DOTALL | re.MULTILINE
    )
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def command_lines(path: Path) -> Iterator[list[str]]:
    """Lines of code that call tidemark, as words."""
    for line in path.read_text().splitlines():
        shown = re.match(r"(?: {4,}|\$ )((?:\w+=\S+ )*(?:\S*/)?tidemark .+)", line)
        inline = re.findall(r"`(tidemark [a-z][^`]*)`", line)
        for text in [*([shown[1]] if shown else []), *inline]:
            words = re.split(r"\s[#|>]\s?|\s{2,}|;|…", text)[0]
            yield [word for word in shlex.split(words) if not re.match(r"[A-Z_]+=", word)][1:]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_commands_and_options_exist(path: Path) -> None:
    for words in command_lines(path):
        command: Any = root_command()
        rest = list(words)
        while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
            name = rest.pop(0)
            if "|" in name:  # `dead-letters list|show`: any of these
                name = name.partition("|")[0]
            if not re.fullmatch(r"[a-z][a-z-]*", name):
                break  # a file, or what stands for a name
            assert name in command.commands, f"tidemark {shlex.join(words)}: there is no {name}"
            command = command.commands[name]
        known = {
            one
            for parameter in command.params
            for one in (*parameter.opts, *parameter.secondary_opts)
        }
        for word in rest:
            if re.match(r"--?[a-z]", word):
                option = word.partition("=")[0]
                assert option in known | {"--help"}, f"tidemark {shlex.join(words)}: no {option}"


def test_enough_commands_are_looked_at() -> None:
    assert sum(1 for path in PAGES for _ in command_lines(path)) > 60


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_variables_name_settings(path: Path) -> None:
    names = {name.replace(".", "__").upper() for name in meanings()}
    for variable in re.findall(r"TIDEMARK_[A-Z0-9]+__[A-Z0-9_]+(?<!_)", path.read_text()):
        assert variable.removeprefix("TIDEMARK_") in names, variable


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_settings_in_files_are_there(path: Path) -> None:
    # their values may be files that are not here
    for text in blocks(path, "toml"):
        given = tomllib.loads(text)
        known = set(Settings.model_fields)
        assert given.keys() <= known, given.keys() - known
        for group, values in given.items():
            if not isinstance(values, dict):
                continue
            fields = getattr(Settings.model_fields[group].annotation, "model_fields", None)
            if fields is not None:
                assert values.keys() <= fields.keys(), (group, values.keys() - fields.keys())


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_metrics_are_those_that_are_served(path: Path) -> None:
    served = set(
        re.findall(r"^\| `(tidemark_\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    )
    # label values and the prefix of collections in Milvus look alike
    others = {"tidemark_", "tidemark_items", "tidemark_profiles"}
    for name in re.findall(r"\btidemark_[a-z0-9_]*", path.read_text()):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert base in served | others, name


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_sessions_of_python_are_as_shown(path: Path) -> None:
    for number, text in enumerate(blocks(path, "pycon")):
        parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
        runner.run(parser.get_doctest(text, {}, f"{path.name} {number}", str(path), 0))
        assert runner.failures == 0


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_programs_in_python_can_be_read_and_import_what_is_there(path: Path) -> None:
    for text in blocks(path, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module:
                top = node.module.partition(".")[0]
                if top in {"streams", "store", "encoders", "tidemark"}:
                    module = __import__(node.module, fromlist=["*"])
                    assert all(hasattr(module, one.name) for one in node.names), node.module
