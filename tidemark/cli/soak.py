"""``tidemark soak``: fault tests on a real Kafka."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tidemark.cli.common import AsJson, console, errors, fail, print_json
from tidemark.soak.plan import FaultKind  # noqa: TC001 # typer reads it at run time

if TYPE_CHECKING:
    from tidemark.soak.run import Happened, SoakReport

__all__ = ["soak"]

_MOVIELENS = "movielens"


def soak(
    kills: Annotated[int, typer.Option(help="How many faults.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Of the plan of faults.")] = 1,
    rate: Annotated[float, typer.Option(help="Actions a second.", min=1)] = 200.0,
    log: Annotated[
        str, typer.Option(help="movielens, or a file of actions as `publish` reads it.")
    ] = _MOVIELENS,
    items: Annotated[
        Path | None, typer.Option(help="The items of a log of your own.", show_default=False)
    ] = None,
    brokers: Annotated[int, typer.Option(help="Kafka nodes: 1 or 3.")] = 1,
    workers: Annotated[int, typer.Option(help="Workers.", min=1, max=8)] = 2,
    skip: Annotated[
        list[FaultKind] | None, typer.Option(help="Leave out a kind of fault; may be repeated.")
    ] = None,
    kafka_home: Annotated[
        Path | None,
        typer.Option(envvar="KAFKA_HOME", help="An unpacked Apache Kafka 4.", show_default=False),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write all of it there, as JSON.", show_default=False)
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Folder for data and logs.", show_default="a temporary one"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hurt a running system by a seeded plan, and compare every profile with the log's replay.

    Starts its own Apache Kafka, workers and retrieval service; touches no other. Exit status 1 if
    anything was lost, applied twice, out of order or different, a fault was missed, the last
    compaction did not end, a process ended by itself or a worker did not end as it should.
    """
    if brokers not in {1, 3}:
        raise fail(f"--brokers is {brokers}; expected 1 or 3", 2)
    if kafka_home is None:
        raise fail(
            "a soak needs Apache Kafka 4: name an unpacked one with --kafka-home or KAFKA_HOME", 2
        )
    from tidemark.compose.parts import action_rules  # noqa: PLC0415 # load Kafka clients and the rest
    from tidemark.settings import Settings  # noqa: PLC0415
    from tidemark.soak.log import load_log  # noqa: PLC0415
    from tidemark.soak.run import SoakOptions, run_soak  # noqa: PLC0415

    own = None if log == _MOVIELENS else Path(log)
    published = load_log(own, items, action_rules(Settings()))
    folder = state or Path(tempfile.mkdtemp(prefix="tidemark-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    # The Kafka clients tell at length of every broker that is killed.
    logging.basicConfig(
        filename=folder / "soak.log", format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    options = SoakOptions(
        kafka_home, folder, kills, seed, rate, workers, brokers, frozenset(skip or ())
    )
    # With JSON, the report alone is on standard output.
    out = errors if as_json else console
    out.print(
        f"[dim]· seed {seed}, {os.cpu_count()} cores; data and logs in {folder}[/]", highlight=False
    )
    with Progress(
        TextColumn("faults"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=out, transient=True, disable=not out.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task("faults", total=kills)

        def told(one: Happened) -> None:
            out.print(
                f"{one.seconds:8.1f} s  {one.number:4d}  [bold]{one.kind}[/]: {one.what}",
                highlight=False,
            )
            progress.advance(task)

        result = asyncio.run(
            run_soak(
                options,
                published,
                on_step=lambda what: out.print(f"[dim]· {what}[/]", highlight=False),
                on_fault=told,
            )
        )
    import msgspec  # noqa: PLC0415 # see tidemark.cli.common

    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    if as_json:
        print_json(msgspec.to_builtins(result) | {"clean": result.clean})
    else:
        _print(result)
    if not result.clean:
        raise typer.Exit(1)


def _print(report: SoakReport) -> None:
    verdict = report.verdict
    table = Table(box=None, show_header=False)
    for name, count in (
        ("published and acknowledged", verdict.published),
        ("applied, of expected", f"{verdict.applied:,} of {verdict.expected:,}"),
        ("skipped as duplicates", verdict.duplicates),
        ("dead letters expected", verdict.refused),
        ("states that came late", report.late_states),
        ("processes that ended by themselves, or badly", len(report.exits)),
    ):
        table.add_row(name, count if isinstance(count, str) else f"{count:,}")
    for name, count in verdict.failures().items():
        colour = "green" if count == 0 else "bold red"
        table.add_row(name.replace("_", " "), f"[{colour}]{count:,}[/]")
    console.print()
    console.print(table)
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(report.faults().items()))
    console.print(
        f"\n{sum(report.faults().values())} of {len(report.happened)} faults came about in "
        f"{report.seconds:.0f} s: {kinds}",
        highlight=False,
    )
    for line in (*verdict.details, *report.exits):
        console.print(f"  {line}", highlight=False, markup=False)
    if not report.compacted:
        console.print("[yellow]the last compaction did not end in time[/]")
    console.print(
        "[bold green]clean[/]"
        if report.clean
        else "[bold red]not clean[/]: what is not zero, was missed or ended badly stands above"
    )
