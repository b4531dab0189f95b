"""The page of all commands and options, as Typer itself writes them down."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

import typer
from typer.cli import get_docs_for_click
from typer.core import MARKUP_MODE_KEY
from typer.rich_utils import MARKUP_MODE_RICH

from tidemark.cli.main import app

if TYPE_CHECKING:
    from typer.core import TyperGroup

__all__ = ["commands_page", "root_command"]


def root_command() -> TyperGroup:
    """The command line's root, with all commands below it."""
    return cast("TyperGroup", typer.main.get_command(app))


def commands_page() -> str:
    """Markdown: each command with its usage, arguments and options."""
    root = root_command()
    context = typer.Context(root, info_name="tidemark", obj={MARKUP_MODE_KEY: MARKUP_MODE_RICH})
    text = get_docs_for_click(obj=root, ctx=context, name="tidemark", title="Commands and options")
    return _without_help(text)


def _without_help(text: str) -> str:
    """Every command has --help; that is said once."""
    found = re.sub(r"^\* `--help`: .*\n", "", text, flags=re.MULTILINE)
    found = re.sub(r"\*\*Options\*\*:\n\n(?=\n|#|\*\*|\Z)", "", found)
    # Summaries are cut, and all commands follow.
    found = re.sub(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+\n*", "", found)
    found = found.replace("docs/command-line.md", "[The command line](../command-line.md)", 1)
    return found.replace(
        "**Usage**:", "Every command explains itself with `--help`.\n\n**Usage**:", 1
    )
