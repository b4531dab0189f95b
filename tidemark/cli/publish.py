"""``tidemark publish``."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path  # noqa: TC003 # typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tidemark.cli.common import (
    WRONG_USAGE,
    AsJson,
    Bootstrap,
    ConfigFile,
    console,
    errors,
    fail,
    load,
    print_json,
)

if TYPE_CHECKING:
    from streams.errors import InputFileError
    from streams.files import FileFormat
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


class FormatChoice(StrEnum):
    """How a file is written."""

    jsonl = "jsonl"
    csv = "csv"
    msgpack = "msgpack"


def publish(
    file: Annotated[Path, typer.Argument(help="JSON Lines, CSV or MessagePack, by its name.")],
    kind: Annotated[Kind, typer.Option(help="What the file holds.")] = Kind.actions,
    file_format: Annotated[
        FormatChoice | None,
        typer.Option("--format", help="Where the name does not say.", show_default=False),
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="One of several action topics.", show_default=False)
    ] = None,
    on_error: Annotated[OnError, typer.Option(help="A bad entry stops, or is skipped.")] = (
        OnError.stop
    ),
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """Publish a file of actions or items to Kafka.

    CSV has a header with the fields' names; categories are separated by |, and context.device is an
    entry of context.
    """
    settings = load(config, kafka={"bootstrap": bootstrap})
    if not file.is_file():
        raise fail(f"there is no file {file}")
    from streams.errors import InputFileError  # noqa: PLC0415 # see tidemark.cli.common
    from streams.files import format_of  # noqa: PLC0415

    try:
        as_format: FileFormat = file_format.value if file_format else format_of(file)
    except InputFileError as error:
        raise fail(f"{error}, or say --format") from error
    run = _Run(settings, file, kind, as_format, topic, as_json=as_json)
    try:
        run.publish(on_error)
    except InputFileError as error:
        # All that was sent before is on Kafka, and will be again if the whole file is published.
        raise fail(f"{error}; {run.sent:,} before it were published and acknowledged") from error
    if as_json:
        print_json(
            {
                "file": str(file),
                "kind": kind.value,
                "topic": run.topic,
                "published": run.sent,
                "skipped": run.skipped,
            }
        )
    else:
        console.print(
            f"published {run.sent:,} {kind.value} from {file} to {run.topic}, all acknowledged",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    if run.skipped:
        raise fail(f"{run.skipped:,} bad entries were skipped")


class _Run:
    """One file's way to Kafka.

    Attributes:
        sent: published so far; acknowledged once `publish` has ended, however it ends.
        skipped: bad entries.
        topic: where to.
    """

    def __init__(
        self,
        settings: Settings,
        file: Path,
        kind: Kind,
        file_format: FileFormat,
        topic: str | None,
        *,
        as_json: bool,
    ) -> None:
        self.sent = self.skipped = 0
        self._settings, self._file, self._kind = settings, file, kind
        self._format = file_format
        self._bar = console.is_terminal and not as_json
        self._chosen = None if kind is Kind.items else _action_topic(settings, topic)
        self.topic: str = self._chosen.name if self._chosen else settings.topics.items

    def publish(self, on_error: OnError) -> None:
        """Publish it whole.

        Raises:
            InputFileError: an entry is bad; what came before it was acknowledged.
            PublishError: something was not acknowledged.
        """
        from streams.files import read_file  # noqa: PLC0415 # see tidemark.cli.common
        from streams.schema import Action, Item  # noqa: PLC0415

        wanted: type[Any] = Action if self._kind is Kind.actions else Item
        with ExitStack() as stack:
            publisher = stack.enter_context(self._publisher())
            progress = stack.enter_context(
                Progress(
                    TextColumn("{task.description}"), BarColumn(), DownloadColumn(),
                    TimeRemainingColumn(), console=console, transient=True, disable=not self._bar,
                )
            )  # fmt: skip
            task = progress.add_task(
                f"publishing {self._kind.value}", total=self._file.stat().st_size
            )
            for entry in read_file(
                self._file,
                wanted,
                self._format,
                on_bytes=lambda done: progress.update(task, completed=done),
                on_error=self._skip if on_error is OnError.skip else None,
                real_times=True,
            ):
                if isinstance(entry, Action):
                    publisher.publish_action(entry)
                else:
                    publisher.publish(entry)
                self.sent += 1
            publisher.flush()

    def _skip(self, error: InputFileError) -> None:
        self.skipped += 1
        if self.skipped <= _SHOWN:
            errors.print(f"skipped: {error}", markup=False, highlight=False, soft_wrap=True)

    def _publisher(self) -> Any:
        from streams.publisher import ActionPublisher, ItemPublisher  # noqa: PLC0415 # a client

        kafka = self._settings.kafka
        security = kafka.security.security()
        if self._chosen is None:
            return ItemPublisher(kafka.bootstrap, self.topic, security=security)
        return ActionPublisher(
            kafka.bootstrap, self.topic, wire=self._chosen.format, security=security
        )


def _action_topic(settings: Settings, topic: str | None) -> Any:
    """The topic's settings; the first one's where none is named."""
    names = {one.name: one for one in settings.topics.actions}
    if topic is not None and topic not in names:
        raise fail(f"--topic is {topic!r}; the settings name {', '.join(names)}", WRONG_USAGE)
    return names[topic] if topic else settings.topics.actions[0]
