"""``tidemark topics``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from tidemark.cli.common import AsJson, Bootstrap, ConfigFile, console, load, print_json, shown

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
        typer.Option(
            help="Of every topic; bounds the number of workers. By default as the topics that are "
            "there have, else the settings'.",
            show_default=False,
        ),
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option(
            help="Copies of each; 3 on a cluster. By default as the topics that are there have, "
            "else the settings'.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create the topics that are missing; change none that are there."""
    settings = load(
        config,
        kafka={"bootstrap": bootstrap},
        topics={"partitions": partitions, "replication": replication},
    )
    from streams.topic_shape import shape_of  # noqa: PLC0415 # loads a Kafka client
    from streams.topics import create_topics  # noqa: PLC0415
    from tidemark.compose.parts import topic_names  # noqa: PLC0415

    names, security = topic_names(settings), settings.kafka.security.security()
    there = shape_of(settings.kafka.bootstrap, names, security=security)
    said = settings.topics.model_fields_set
    if there is not None and "partitions" not in said:
        partitions = there.partitions
    if there is not None and "replication" not in said:
        replication = there.replication
    reports = create_topics(
        settings.kafka.bootstrap,
        names,
        partitions=partitions or settings.topics.partitions,
        replication=replication or settings.topics.replication,
        security=security,
    )
    if as_json:
        print_json({"topics": [_plain(one) for one in reports]})
    else:
        _print(reports)


@app.command()
def check(config: ConfigFile = None, bootstrap: Bootstrap = None, as_json: AsJson = False) -> None:
    """Check that the topics are there and agree. `tidemark doctor` looks at more."""
    settings = load(config, kafka={"bootstrap": bootstrap})
    from streams.topics import check_topics  # noqa: PLC0415
    from tidemark.compose.parts import topic_names  # noqa: PLC0415

    partitions = check_topics(
        settings.kafka.bootstrap,
        topic_names(settings),
        security=settings.kafka.security.security(),
    )
    if as_json:
        print_json({"partitions": partitions})
    else:
        console.print(f"all topics are there, with {partitions} partitions")


def _plain(report: TopicReport) -> dict[str, object]:
    return {
        "topic": report.name,
        "partitions": report.partitions,
        "created": report.created,
        "differs": [
            {"setting": one.name, "found": one.found, "expected": one.wanted}
            for one in report.differing
        ],
    }


def _print(reports: list[TopicReport]) -> None:
    table = Table("topic", "partitions", "", "differs", box=None)
    for report in reports:
        table.add_row(
            shown(report.name),
            str(report.partitions),
            "[green]created[/]" if report.created else "was there",
            shown("; ".join(str(one) for one in report.differing)),
        )
    console.print(table)
