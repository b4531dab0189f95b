"""The command's parts, and the one place where errors become words and exit codes.

Exit codes: 0 done, 1 it failed (the message says why), 2 wrong usage or settings, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from encoders.errors import EncoderError
from store.errors import StoreError
from streams.errors import StreamsError
from tidemark import __version__
from tidemark.cli import (
    ask,
    encode,
    local,
    publish,
    sentiment,
    services,
    settings,
    soak,
    token,
    topics,
)
from tidemark.cli.common import fail
from tidemark.errors import SettingsError, TidemarkError

__all__ = ["app", "main"]

app = typer.Typer(
    name="tidemark",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Keep user profiles fresh: actions from Kafka become profiles that retrieval finds.",
    epilog="Settings come from the command line, TIDEMARK_… variables and --config, in this order.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tidemark {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


app.command(rich_help_panel="Try it")(local.demo)
app.command(rich_help_panel="Try it")(local.up)
app.command(rich_help_panel="Run it")(services.worker)
app.add_typer(services.retrieval_app, name="retrieval", rich_help_panel="Run it")
app.add_typer(topics.app, name="topics", rich_help_panel="Run it")
app.add_typer(token.app, name="token", rich_help_panel="Run it")
app.command(rich_help_panel="Use it")(publish.publish)
app.command(rich_help_panel="Use it")(ask.profile)
app.command(rich_help_panel="Use it")(ask.candidates)
app.command(rich_help_panel="Use it")(encode.encode)
app.add_typer(sentiment.app, name="sentiment", rich_help_panel="Use it")
app.command(rich_help_panel="Test it")(soak.soak)
app.command(name="settings", rich_help_panel="Use it")(settings.show)


def main() -> None:
    """Run the command and exit."""
    try:
        app()
    except SettingsError as error:
        sys.exit(fail(str(error), 2).exit_code)
    except (TidemarkError, StreamsError, StoreError, EncoderError) as error:
        sys.exit(fail(str(error)).exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
