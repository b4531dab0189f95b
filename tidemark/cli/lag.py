"""``tidemark lag``: how far the workers are behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table

from tidemark.cli.common import (
    LIMIT,
    AsJson,
    Bootstrap,
    ConfigFile,
    LogLevel,
    console,
    load,
    print_json,
    print_json_line,
    seconds,
    setup_logging,
    shown,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from streams.group_lag import GroupState, Member, PartitionLag

__all__ = ["lag"]


def lag(
    group: Annotated[
        str | None,
        typer.Option(help="Of the workers; the settings' by default.", show_default=False),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.5)] = 2.0,
    max_records: Annotated[
        int | None,
        typer.Option(help="Exit with 3 where more are to be read.", min=0, show_default=False),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            help="Exit with 3 where the oldest one waits longer.", min=0, show_default=False
        ),
    ] = None,
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """Show how far the workers are behind, in records and in seconds, by partition.

    The seconds are the age of the oldest record that no worker has committed.
    """
    setup_logging(LogLevel.error)
    settings = load(config, kafka={"bootstrap": bootstrap, "group": group})
    from streams.group_state import read_group  # noqa: PLC0415 # loads Kafka clients

    topics = [*(one.name for one in settings.topics.actions), settings.topics.items]

    def look() -> GroupState:
        return read_group(
            settings.kafka.bootstrap,
            settings.kafka.group,
            topics,
            security=settings.kafka.security.security(),
        )

    if watch:
        _watch(look, every, as_json=as_json)
    found = look()
    exceeded = [
        name
        for name, value, most in (
            ("records", found.records, max_records),
            ("seconds", found.seconds, max_seconds),
        )
        if most is not None and value > most
    ]
    if as_json:
        print_json(_plain(found) | {"exceeded": exceeded})
    else:
        console.print(_table(found), highlight=False)
        for name in exceeded:
            console.print(f"[red]more {name} than --max-{name} allows[/]")
    if exceeded:
        raise typer.Exit(LIMIT)


def _watch(look: Any, every: float, *, as_json: bool) -> None:
    """Until Ctrl-C; looks whose broker is away end it as any command."""
    if as_json or not console.is_terminal:
        while True:
            found = look()
            if as_json:
                print_json_line(_plain(found))
            else:
                console.print(_table(found), highlight=False)
            time.sleep(every)
    with Live(_table(look()), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            live.update(_table(look()), refresh=True)


def _table(found: GroupState) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("topic", "part.", "committed", "end", "lag", "waits", "owner"):
        number = name in {"part.", "committed", "end", "lag", "waits"}
        table.add_column(
            name, justify="right" if number else "left", no_wrap=number,
            overflow="fold" if name == "topic" else "ellipsis",
        )  # fmt: skip
    for one in found.partitions:
        table.add_row(
            shown(one.topic),
            str(one.partition),
            "none" if one.committed is None else f"{one.committed:,}",
            f"{one.end:,}",
            f"[bold]{one.records:,}[/]" if one.records else "0",
            seconds(one.seconds) if one.records else "",
            _owner(one, found),
        )
    state = "" if found.state is None else f", {shown(found.state)}"
    who = "" if found.members is None else f", {len(found.members)} members"
    total = (
        f"group {shown(found.group)}{state}{who}: [bold]{found.records:,}[/] records to read"
        + (f", the oldest for {seconds(found.seconds)}" if found.records else "")
    )
    lines: list[RenderableType] = [table, "", total]
    if found.members is None:
        lines.append(f"[dim]owners: {shown(found.why_not)}[/]")
    elif found.unowned:
        lines.append(f"[red]{len(found.unowned)} partitions have no worker[/]")
    return Group(*lines)


def _owner(one: PartitionLag, found: GroupState) -> str:
    if found.members is None:
        return "?"
    if one.owner is None:
        return "[red]none[/]"
    return shown(f"{one.owner.host} {_short(one.owner)}")


def _short(member: Member) -> str:
    """The client's name and the beginning of what makes the member unique."""
    rest = member.member_id.removeprefix(member.client_id).strip("-")
    return f"{member.client_id}-{rest[:8]}"


def _plain(found: GroupState) -> dict[str, Any]:
    return {
        "group": found.group,
        "state": found.state,
        "asked_at": found.asked_ms,
        "records": found.records,
        "seconds": found.seconds,
        "members": None
        if found.members is None
        else [
            {
                "member_id": one.member_id,
                "client_id": one.client_id,
                "host": one.host,
                "partitions": len(one.assigned),
            }
            for one in found.members
        ],
        "members_unknown_because": found.why_not or None,
        "partitions": [
            {
                "topic": one.topic,
                "partition": one.partition,
                "committed": one.committed,
                "end": one.end,
                "records": one.records,
                "seconds": one.seconds,
                "owner": None if one.owner is None else one.owner.member_id,
            }
            for one in found.partitions
        ],
    }
