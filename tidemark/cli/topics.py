"""``tidemark topics``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from tidemark.cli.common import Bootstrap, ConfigFile, console, overrides
from tidemark.settings import load_settings

if TYPE_CHECKING:
    from streams.topics import TopicReport

__all__ = ["app"]

app = typer.Typer(help="Create and check the topics.", no_args_is_help=True)


@app.command()
def create(
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    partitions: Annotated[
        int | None,
        typer.Option(help="Of every topic; bounds the number of workers.", show_default=False),
    ] = None,
    replication: Annotated[
        int | None, typer.Option(help="Copies of each; 3 on a cluster.", show_default=False)
    ] = None,
) -> None:
    """Create the topics that are missing; change none that are there."""
    settings = load_settings(
        config,
        **overrides(
            kafka={"bootstrap": bootstrap},
            topics={"partitions": partitions, "replication": replication},
        ),
    )
    from streams.topics import create_topics  # noqa: PLC0415 # loads a Kafka client
    from tidemark.compose.parts import topic_names  # noqa: PLC0415

    _print(
        create_topics(
            settings.kafka.bootstrap,
            topic_names(settings),
            partitions=settings.topics.partitions,
            replication=settings.topics.replication,
            security=settings.kafka.security.security(),
        )
    )


@app.command()
def check(config: ConfigFile = None, bootstrap: Bootstrap = None) -> None:
    """Check that the topics are there and agree."""
    settings = load_settings(config, **overrides(kafka={"bootstrap": bootstrap}))
    from streams.topics import check_topics  # noqa: PLC0415
    from tidemark.compose.parts import topic_names  # noqa: PLC0415

    partitions = check_topics(
        settings.kafka.bootstrap,
        topic_names(settings),
        security=settings.kafka.security.security(),
    )
    console.print(f"all topics are there, with {partitions} partitions")


def _print(reports: list[TopicReport]) -> None:
    table = Table("topic", "partitions", "", "differs", box=None)
    for report in reports:
        table.add_row(
            report.name,
            str(report.partitions),
            "[green]created[/]" if report.created else "was there",
            "; ".join(str(one) for one in report.differing),
        )
    console.print(table)
