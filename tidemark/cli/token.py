"""``tidemark token``."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Annotated

import typer

from tidemark.cli.common import AsJson, console, fail, print_json

__all__ = ["app"]

app = typer.Typer(help="Tokens of the retrieval service.", no_args_is_help=True)

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class ScopeChoice(StrEnum):
    """What a token allows: to query, to forget users, to see metrics and status."""

    read = "read"
    write = "write"
    admin = "admin"


@app.callback()
def _group() -> None:
    """Tokens of the retrieval service."""


@app.command()
def new(
    scope: Annotated[
        list[ScopeChoice],
        typer.Option(help="read: query; write: forget users; admin: metrics and status. Several."),
    ],
    name: Annotated[str | None, typer.Option(help="For the log.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token. It is shown once and kept nowhere; the settings hold its hash."""
    if name is not None and not _NAME.fullmatch(name):
        raise fail(f"--name is {name!r}; expected 1 to 64 letters, digits, dots, dashes", 2)
    from store.tokens import digest, new_token  # noqa: PLC0415 # see tidemark.cli.common

    token = new_token()
    scopes = sorted({one.value for one in scope})
    setting: dict[str, object] = {"sha256": digest(token), "scopes": scopes}
    if name is not None:
        setting["name"] = name
    if as_json:
        print_json({"token": token, "setting": setting})
        return
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in setting.items())
    _say("The token, shown this once:", token)
    _say(
        "Clients send it as Authorization: Bearer TOKEN; the commands of tidemark take it from "
        "TIDEMARK_CLIENT__TOKEN. For the service's settings:",
        f"[[retrieval.tokens]]\n{lines}",
    )
    _say(
        "Or, with all its other tokens in the list, for its environment:",
        f"TIDEMARK_RETRIEVAL__TOKENS='{json.dumps([setting])}'",
    )


def _say(words: str, lines: str) -> None:
    """Words, and lines to be copied: these are never broken."""
    console.print(words, markup=False, highlight=False)
    console.print(f"\n{lines}\n", markup=False, highlight=False, soft_wrap=True)
