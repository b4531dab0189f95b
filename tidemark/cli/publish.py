"""``tidemark publish``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 # typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from streams.errors import InputFileError
from streams.files import FileFormat, format_of, read_file
from streams.schema import Action, Item
from tidemark.cli.common import Bootstrap, ConfigFile, console, errors, fail, overrides
from tidemark.settings import load_settings

if TYPE_CHECKING:
    from tidemark.settings import Settings

__all__ = ["publish"]

#: Of bad entries, so many are shown.
_SHOWN = 10


class Kind(StrEnum):
    """What a file holds."""

    actions = "actions"
    items = "items"


class OnError(StrEnum):
    """What to do with a bad entry."""

    stop = "stop"
    skip = "skip"


def publish(
    file: Annotated[Path, typer.Argument(help="JSON Lines, CSV or MessagePack, by its name.")],
    kind: Annotated[Kind, typer.Option(help="What the file holds.")] = Kind.actions,
    file_format: Annotated[
        str | None, typer.Option("--format", help="jsonl, csv or msgpack.", show_default=False)
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="One of several action topics.", show_default=False)
    ] = None,
    on_error: Annotated[OnError, typer.Option(help="A bad entry stops, or is skipped.")] = (
        OnError.stop
    ),
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Publish a file of actions or items to Kafka.

    CSV has a header with the fields' names; categories are separated by |, and context.device is an
    entry of context.
    """
    settings = load_settings(config, **overrides(kafka={"bootstrap": bootstrap}))
    if not file.is_file():
        raise fail(f"there is no file {file}")
    if file_format not in {None, "jsonl", "csv", "msgpack"}:
        raise fail(f"--format is {file_format!r}; expected jsonl, csv or msgpack", 2)
    try:
        as_format: FileFormat = file_format or format_of(file)  # type: ignore[assignment] # checked above
    except InputFileError as error:
        raise fail(f"{error}, or say --format") from error
    sent, skipped = _publish(settings, file, kind, as_format, topic, on_error)
    console.print(f"published {sent:,} {kind.value} from {file}, all acknowledged")
    if skipped:
        raise fail(f"{skipped:,} bad entries were skipped")


def _publish(
    settings: Settings,
    file: Path,
    kind: Kind,
    file_format: FileFormat,
    topic: str | None,
    on_error: OnError,
) -> tuple[int, int]:
    sent = skipped = 0

    def skip(error: InputFileError) -> None:
        nonlocal skipped
        skipped += 1
        if skipped <= _SHOWN:
            errors.print(f"skipped: {error}", markup=False, highlight=False)

    with (
        _publisher(settings, kind, topic) as publisher,
        Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        ) as progress,
    ):  # fmt: skip
        task = progress.add_task(f"publishing {kind.value}", total=file.stat().st_size)
        wanted: type[Any] = Action if kind is Kind.actions else Item
        for entry in read_file(
            file,
            wanted,
            file_format,
            on_bytes=lambda done: progress.update(task, completed=done),
            on_error=skip if on_error is OnError.skip else None,
        ):
            if isinstance(entry, Action):
                publisher.publish_action(entry)
            else:
                publisher.publish(entry)
            sent += 1
        publisher.flush()
    return sent, skipped


def _publisher(settings: Settings, kind: Kind, topic: str | None) -> Any:
    from streams.publisher import ActionPublisher, ItemPublisher  # noqa: PLC0415 # a Kafka client

    kafka = settings.kafka
    security = kafka.security.security()
    if kind is Kind.items:
        return ItemPublisher(kafka.bootstrap, settings.topics.items, security=security)
    names = {one.name: one for one in settings.topics.actions}
    if topic is not None and topic not in names:
        raise fail(f"--topic is {topic!r}; the settings name {', '.join(names)}", 2)
    chosen = names[topic] if topic else settings.topics.actions[0]
    return ActionPublisher(kafka.bootstrap, chosen.name, wire=chosen.format, security=security)
