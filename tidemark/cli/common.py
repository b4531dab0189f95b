"""What the commands share: consoles, options, logging, and errors in one line."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Bootstrap",
    "ConfigFile",
    "LogLevel",
    "LogLevelOption",
    "StateFolder",
    "console",
    "errors",
    "fail",
    "overrides",
    "setup_logging",
    "terminated",
]

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


def fail(message: str, code: int = 1) -> typer.Exit:
    """Say what went wrong, in words; raise what is returned."""
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
    LogLevel, typer.Option("--log-level", case_sensitive=False, help="How much to log.")
]


def setup_logging(level: LogLevel) -> None:
    """One line an event on standard error.

    The libraries below are heard from warnings on; they tell of retries that we count.
    """
    logging.basicConfig(
        level=level.value.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        force=True,
    )
    for name in (
        "faust",
        "mode",
        "aiokafka",
        "kafka",
        "httpx",
        "streams.transport",
        "numba",
        "faiss",
    ):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    # Faust warns at each rebalance of a sensor that nobody set.
    logging.getLogger("faust.app.base").addFilter(
        lambda record: not record.getMessage().startswith("[^App]: Missing sensor state")
    )
    # Every commit of a producer warns of its event loop when the machine is busy.
    logging.getLogger("kafka.net").setLevel(logging.ERROR)


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
