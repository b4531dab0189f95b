"""The command's parts, and the one place where errors become words and exit codes.

Exit codes: 0 done, 1 it failed (the message says why), 2 wrong usage or settings, 3 a limit that
was asked for is exceeded, something is not done yet or not promoted, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tidemark import __version__
from tidemark.cli import (
    ask,
    dead_letters,
    doctor,
    encode,
    evaluate,
    forget,
    lag,
    local,
    publish,
    replay,
    sentiment,
    services,
    settings,
    sizing,
    soak,
    token,
    top,
    topics,
    train,
)
from tidemark.cli.common import FAILED, INTERRUPTED, WRONG_USAGE, fail, use_json_for_errors

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["app", "main"]

app = typer.Typer(
    name="tidemark",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Keep user profiles fresh: actions from Kafka become profiles that retrieval finds.",
    epilog="Settings come from the command line, TIDEMARK_… variables and --config, in this order. "
    "Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 a limit is exceeded, something "
    "is not done yet or not promoted, 130 interrupted. docs/command-line.md has every command.",
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
app.command(rich_help_panel="Use it")(forget.forget)
app.command(rich_help_panel="Use it")(encode.encode)
app.add_typer(sentiment.app, name="sentiment", rich_help_panel="Use it")
app.add_typer(train.app, name="train", rich_help_panel="Learn")
app.command(rich_help_panel="Operate it")(doctor.doctor)
app.command(rich_help_panel="Operate it")(top.top)
app.command(rich_help_panel="Operate it")(lag.lag)
app.command(rich_help_panel="Operate it")(replay.replay)
app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel="Operate it")
app.command(rich_help_panel="Operate it")(sizing.sizing)
app.command(rich_help_panel="Test it")(soak.soak)
app.command(rich_help_panel="Test it")(evaluate.evaluate)
app.command(name="settings", rich_help_panel="Use it")(settings.show)


def main() -> None:
    """Run the command and exit."""
    as_json = "--json" in sys.argv[1:]
    if as_json:
        use_json_for_errors()
    try:
        sys.exit(app(standalone_mode=not as_json))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except typer.Abort:
        sys.exit(FAILED)
    except Exception as error:
        code = _code_of(error)
        if code is None:
            raise
        sys.exit(fail(_words_of(error), code).exit_code)


def _words_of(error: Exception) -> str:
    # Only where errors are told as JSON are those of the usage not told by Typer itself.
    told: Callable[[], str] = getattr(error, "format_message", error.__str__)
    return told()


def _code_of(error: Exception) -> int | None:
    """The exit code of an error that the user is told of in words; None of a defect."""
    # Not loaded before something went wrong: they bring their packages along.
    from encoders.errors import EncoderError  # noqa: PLC0415
    from store.errors import StoreError  # noqa: PLC0415
    from streams.errors import StreamsError  # noqa: PLC0415
    from tidemark.errors import SettingsError, TidemarkError, WrongRequestError  # noqa: PLC0415

    if isinstance(error, SettingsError | WrongRequestError):
        return WRONG_USAGE
    if isinstance(error, TidemarkError | StreamsError | StoreError | EncoderError):
        return FAILED
    if hasattr(error, "format_message"):
        return int(getattr(error, "exit_code", WRONG_USAGE))
    return None
