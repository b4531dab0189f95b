"""``tidemark dead-letters``: what could not be processed, and its way back."""

from __future__ import annotations

import typer

from tidemark.cli.dead_letters.look import listed, show
from tidemark.cli.dead_letters.replay import replay

__all__ = ["app"]

app = typer.Typer(help="Look at dead letters, and replay them.", no_args_is_help=True)
app.command("list")(listed)
app.command("show")(show)
app.command("replay")(replay)
