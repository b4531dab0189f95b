"""The command line's commands and options, as the code has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from tidemark.cli.main import app

__all__ = ["commands", "options_of"]


def commands() -> dict[str, Any]:
    """Every command that does something, by its words: ``tidemark lag``."""
    return dict(_walk("tidemark", typer.main.get_command(app)))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None or getattr(command, "invoke_without_command", False):
        yield name, command
    for word, one in (inner or {}).items():
        yield from _walk(f"{name} {word}", one)


def options_of(command: Any) -> dict[str, str]:
    """What each option and argument is for, by its longest name; arguments by their metavar."""
    found = {}
    for one in command.params:
        if one.param_type_name == "argument":
            found[one.metavar or one.name.upper()] = one.help
        elif one.name not in {"help", "version"}:
            found[max(one.opts, key=len)] = one.help
    return found
