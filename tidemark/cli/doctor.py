"""``tidemark doctor``: is everything as it should be, and if not, what mends it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from tidemark.cli.common import (
    FAILED,
    AsJson,
    Bootstrap,
    ConfigFile,
    LogLevel,
    Url,
    console,
    load,
    print_json,
    setup_logging,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tidemark.doctor.findings import Finding
    from tidemark.settings import Settings

__all__ = ["doctor"]

_STATE = Path(".tidemark")
_MARKS = {
    "ok": "[green]ok[/]",
    "warning": "[yellow]warning[/]",
    "failed": "[bold red]failed[/]",
    "not applicable": "[dim]–[/]",
}


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also load the model and encode a text.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Warnings count as failures, for the exit code.")
    ] = False,
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    state: Annotated[
        Path, typer.Option("--state", help="State folder of the worker or the service.")
    ] = _STATE,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Check broker, topics, workers, model, device, disk, clocks, versions; print what mends them.

    Changes nothing. Exit code 0: nothing failed; 1: something did.
    """
    setup_logging(LogLevel.error)
    settings = load(config, kafka={"bootstrap": bootstrap}, client={"url": url})
    found = []
    for one in _findings(settings, state, deep=deep):
        found.append(one)
        if not as_json:
            _print(one)
    counts = Counter(one.status.value for one in found)
    bad = counts["failed"] + (counts["warning"] if strict else 0)
    if as_json:
        print_json({"ok": not bad, "counts": counts, "findings": [asdict(one) for one in found]})
    else:
        told = ", ".join(f"{counts[name]} {name}" for name in _MARKS if counts[name])
        console.print(f"\n{told}", highlight=False)
    if bad:
        raise typer.Exit(FAILED)


def _findings(settings: Settings, state: Path, *, deep: bool) -> Iterator[Finding]:
    """One check after another; those of a broker that does not answer are left out."""
    from tidemark.doctor import gather, machine  # noqa: PLC0415 # load Kafka clients
    from tidemark.doctor import machine_checks as judge  # noqa: PLC0415
    from tidemark.doctor import setup_checks as setup  # noqa: PLC0415

    yield from setup.check_versions(machine.find_versions())
    yield from setup.check_settings(settings)
    yield from judge.check_disk(machine.find_disk(settings, state))
    yield from judge.check_model(machine.find_model(settings.encoder, deep=deep))
    yield from judge.check_device(machine.find_device(settings.encoder))
    ports, service_ahead = gather.find_servers(settings)
    yield from map(setup.check_port, ports)
    ahead = yield from _kafka(settings)
    yield from judge.check_clocks(
        judge.ClockFacts(service_ahead, ahead, settings.limits.clock_skew_seconds)
    )


def _kafka(settings: Settings) -> Generator[Finding, None, float | None]:
    """Findings, and by how much the broker's clock is ahead at least."""
    from kafka.errors import KafkaError  # noqa: PLC0415 # as above

    from streams.errors import StreamsError  # noqa: PLC0415
    from streams.topic_settings import topic_specs  # noqa: PLC0415
    from tidemark.compose.parts import topic_names  # noqa: PLC0415
    from tidemark.doctor import gather  # noqa: PLC0415
    from tidemark.doctor.findings import failed  # noqa: PLC0415
    from tidemark.doctor.kafka_checks import (  # noqa: PLC0415
        check_brokers,
        check_group,
        check_topics,
    )

    names = topic_names(settings)
    specs = topic_specs(names)
    brokers, topics = gather.find_brokers(settings, specs)
    yield from check_brokers(brokers)
    if brokers.error:
        return None
    yield from check_topics(
        topics, specs, profiles=names.profiles, dead_letters=names.dead_letters,
        brokers=brokers.brokers, bootstrap=brokers.bootstrap,
    )  # fmt: skip
    read = [*(one.name for one in names.actions), names.items]
    if all(name in topics for name in read):
        try:
            yield from check_group(gather.find_group(settings))
        except (StreamsError, KafkaError) as error:
            yield failed("group.members", str(error), "tidemark lag")
    try:
        return gather.broker_ahead(settings, topics.get(names.profiles))
    except (StreamsError, KafkaError, TimeoutError) as error:
        yield failed("topics.readable", f"{names.profiles} cannot be read: {error!r}",
                     "look at the brokers' logs")  # fmt: skip
        return None


def _print(one: Finding) -> None:
    line = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    line.add_column(width=8)
    line.add_column(width=22, overflow="fold")
    line.add_column(overflow="fold")
    line.add_row(_MARKS[one.status.value], one.check, shown(one.found))
    console.print(line, highlight=False)
    for fix in one.fix.splitlines():
        # A command to copy is never broken.
        console.print(
            f"           fix: {shown(fix)}", style="bold", highlight=False, soft_wrap=True
        )
