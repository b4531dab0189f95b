"""What the commands share: consoles, options, logging, and errors in one line.

Importing it loads neither the settings nor a Kafka client: each command loads what it needs, so
that ``--help`` is quick.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemark.settings import Settings

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "LIMIT",
    "WRONG_USAGE",
    "AsJson",
    "Bootstrap",
    "ConfigFile",
    "LogLevel",
    "LogLevelOption",
    "StateFolder",
    "Url",
    "confirm",
    "console",
    "errors",
    "fail",
    "load",
    "moment",
    "overrides",
    "print_json",
    "print_json_line",
    "seconds",
    "setup_logging",
    "shown",
    "terminated",
    "use_json_for_errors",
]

#: Exit codes beside 0, which is done; docs/command-line.md says more of each.
FAILED, WRONG_USAGE, LIMIT, INTERRUPTED = 1, 2, 3, 130

console = Console()
errors = Console(stderr=True)

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="TIDEMARK_CONFIG", help="Settings file (TOML).", show_default=False
    ),
]
Bootstrap = Annotated[
    str | None,
    typer.Option(help="Kafka brokers, host:port separated by commas.", show_default=False),
]
StateFolder = Annotated[
    Path, typer.Option("--state", help="Folder for snapshots, logs and a broker's data.")
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", help="Of the retrieval service; the settings' by default.", show_default=False
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, for programs; see docs/command-line.md.")
]

_json_errors = False


def use_json_for_errors() -> None:
    """Errors are from now on told as JSON."""
    global _json_errors  # noqa: PLW0603 # of the process, as standard error is
    _json_errors = True


def load(config: Path | None, **groups: dict[str, Any]) -> Settings:
    """The settings, with what the command line gave; None is not given.

    Raises:
        SettingsError: see `tidemark.settings.load_settings`.
    """
    from tidemark.settings import load_settings  # noqa: PLC0415 # see above

    return load_settings(config, **overrides(**groups))


def shown(text: str) -> str:
    """Anybody's text for the terminal: what would steer it is written out, no markup is in it."""
    return escape("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))


def print_json(found: object) -> None:
    """One JSON value on standard output, over several lines."""
    typer.echo(json.dumps(found, ensure_ascii=False, indent=2))


def print_json_line(found: object) -> None:
    """One JSON value on standard output, on a line of its own, at once."""
    typer.echo(json.dumps(found, ensure_ascii=False))
    sys.stdout.flush()


def moment(ms: int) -> str:
    """A time in UTC; some producers send such as no calendar has."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def seconds(value: float) -> str:
    """A length of time as a person reads it."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < _MINUTE:
        return f"{value:.1f} s"
    if value < _HOUR:
        return f"{value // _MINUTE:.0f} min {value % _MINUTE:.0f} s"
    if value < _DAY:
        return f"{value // _HOUR:.0f} h {value % _HOUR // _MINUTE:.0f} min"
    return f"{value // _DAY:.0f} d {value % _DAY // _HOUR:.0f} h"


_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone.

    Args:
        question: without its question mark.
        yes: it was answered on the command line.

    Raises:
        typer.Exit: 2 where nobody can answer, 1 where the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise fail(f"{question}? There is nobody to ask here: say --yes", WRONG_USAGE)
    if not typer.confirm(f"{question}?", err=True):
        raise fail("nothing was done")


def fail(message: str, code: int = FAILED) -> typer.Exit:
    """Say what went wrong, in words or as JSON; raise what is returned."""
    if _json_errors:
        said = {"error": {"message": message, "exit_code": code}}
        typer.echo(json.dumps(said, ensure_ascii=False), err=True)
        return typer.Exit(code)
    errors.print("[bold red]error:[/] ", end="")
    errors.print(message, markup=False, highlight=False, soft_wrap=True)
    return typer.Exit(code)


def overrides(**groups: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings given on the command line: those that are None were not given."""
    given = {
        group: {name: value for name, value in values.items() if value is not None}
        for group, values in groups.items()
    }
    return {group: values for group, values in given.items() if values}


class LogLevel(StrEnum):
    """From all to little."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


LogLevelOption = Annotated[
    LogLevel | None,
    typer.Option(
        "--log-level",
        case_sensitive=False,
        help="How much to log; the settings' by default.",
        show_default=False,
    ),
]


def setup_logging(level: LogLevel) -> None:
    """Log as text, for a command that a person runs."""
    from tidemark.logs import setup_logging as setup  # noqa: PLC0415 # see above

    setup(level.value)


@contextlib.contextmanager
def terminated() -> Iterator[threading.Event]:
    """An event that SIGTERM or Ctrl-C sets, instead of ending the process; a second one ends it."""
    asked = threading.Event()

    def ask(number: int, _: object) -> None:
        if asked.is_set():
            os._exit(128 + number)
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
