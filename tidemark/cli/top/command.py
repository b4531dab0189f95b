"""The command ``tidemark top``."""

from __future__ import annotations

import contextlib
import select
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live

from tidemark.cli.common import (
    FAILED,
    AsJson,
    ConfigFile,
    LogLevel,
    Url,
    console,
    load,
    print_json,
    print_json_line,
    setup_logging,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["top"]


def top(
    worker: Annotated[
        list[str] | None,
        typer.Option(
            "--worker",
            metavar="URL",
            help="A worker's metrics, http://HOST:PORT; may be repeated; else dashboard.workers.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            help="Seconds between two looks; dashboard.refresh_seconds without.", min=0.2, max=60,
            show_default=False,
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look for --every s, and end.")] = False,
    config: ConfigFile = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Watch throughput, lag, freshness, encoder, dead letters, index and quality; q leaves.

    Needs a token with the scope admin, where the service has tokens. With --once, exit code 1 where
    nothing answers.
    """
    setup_logging(LogLevel.error)
    settings = load(config, client={"url": url})
    from tidemark.cli.top.figures import figures  # noqa: PLC0415 # see tidemark.cli.common
    from tidemark.cli.top.scrape import Scraper  # noqa: PLC0415
    from tidemark.cli.top.view import view  # noqa: PLC0415

    pause = every or settings.dashboard.refresh_seconds
    with Scraper(settings, worker or settings.dashboard.workers) as scraper:

        def look() -> dict[str, Any]:
            workers, service = scraper.look()
            return figures(workers, service, time.time_ns() // 1_000_000)

        look()  # rates need two
        if once:
            time.sleep(pause)
            found = look()
            if as_json:
                print_json(found)
            else:
                console.print(view(found, console.width), highlight=False)
            if not (found["retrieval"]["up"] or any(one["up"] for one in found["workers"])):
                raise typer.Exit(FAILED)
            return
        if as_json or not console.is_terminal:
            while True:
                time.sleep(pause)
                print_json_line(look())
        _live(look, pause)


def _live(look: Callable[[], dict[str, Any]], pause: float) -> None:
    """On the whole terminal, until q or Ctrl-C; a new width counts from the next look on."""
    from tidemark.cli.top.view import view  # noqa: PLC0415 # see tidemark.cli.common

    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(view(look(), console.width), refresh=True)
            if pressed(pause) in {"q", "Q"}:
                return


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Waits so many seconds for a key; empty where none came."""
    if not sys.stdin.isatty():
        yield _no_keys
        return
    import termios  # noqa: PLC0415 # only where there is a terminal
    import tty  # noqa: PLC0415

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(wait: float) -> str:
        ready, _, _ = select.select([descriptor], [], [], wait)
        return sys.stdin.read(1) if ready else ""

    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _no_keys(wait: float) -> str:
    time.sleep(wait)
    return ""
