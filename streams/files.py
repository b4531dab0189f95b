"""Files of actions or items to publish: JSON Lines, CSV or MessagePack.

Every entry's fields and their types are checked, so that such a mistake is found with its line
before it is on Kafka; what depends on settings and the catalogue, the worker checks.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgpack
import msgspec

from streams.errors import InputFileError
from streams.schema import Action, Item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["FileFormat", "format_of", "read_file"]

FileFormat = Literal["jsonl", "csv", "msgpack"]
M = TypeVar("M", Action, Item)

_SUFFIXES: dict[str, FileFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".msgpack": "msgpack",
    ".mpk": "msgpack",
}
#: Categories in one CSV cell.
_SEPARATOR = "|"
#: The times of a log: from 1973 to 5138. Seconds since 1970 lie before, microseconds after.
_EARLIEST_MS, _LATEST_MS = 10**11, 10**14


def format_of(path: Path) -> FileFormat:
    """The format a file's name says.

    Raises:
        InputFileError: the name does not say.
    """
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise InputFileError(
            f"the format of {path} is not clear from its name; expected "
            f"{', '.join(sorted(_SUFFIXES))}"
        )
    return found


def read_file(
    path: Path,
    kind: type[M],
    file_format: FileFormat,
    *,
    on_bytes: Callable[[int], None] | None = None,
    on_error: Callable[[InputFileError], None] | None = None,
    real_times: bool = False,
) -> Iterator[M]:
    """The entries of a file, one by one.

    Args:
        path: of the file.
        kind: `Action` or `Item`.
        file_format: how it is written. CSV has a header; an empty cell is an absent field,
            categories are separated by ``|``, and ``context.device`` is an entry of context.
        on_bytes: told how many bytes were read so far.
        on_error: told of each bad entry, which is then skipped; without it the first one raises.
        real_times: an action whose ``ts`` looks like seconds or microseconds is a bad entry.

    Raises:
        InputFileError: the file cannot be read, or an entry is wrong: names the line.
    """
    try:
        with path.open("rb") as stream:
            for number, entry in _READERS[file_format](stream, kind):
                if on_bytes is not None:
                    on_bytes(stream.tell())
                try:
                    found = _checked(path, number, entry, kind, strict=file_format != "csv")
                    if real_times and isinstance(found, Action):
                        _require_milliseconds(path, number, found.ts)
                    yield found
                except InputFileError as error:
                    if on_error is None:
                        raise
                    on_error(error)
    except (OSError, UnicodeDecodeError, csv.Error, msgpack.UnpackException, ValueError) as error:
        raise InputFileError(
            f"{path} cannot be read as {file_format}: {str(error) or type(error).__name__}"
        ) from error


def _checked(path: Path, number: int, entry: Any, kind: type[M], *, strict: bool) -> M:
    try:
        if isinstance(entry, Exception):
            raise entry
        return msgspec.convert(entry, kind, strict=strict)
    except msgspec.MsgspecError as error:
        raise InputFileError(
            f"{path}, entry {number}: {error}; an {kind.__name__.lower()} needs "
            f"{', '.join(kind.__struct_fields__[: _required(kind)])}"
        ) from error


def _require_milliseconds(path: Path, number: int, ts: int) -> None:
    if not _EARLIEST_MS <= ts < _LATEST_MS:
        unit = "seconds" if ts < _EARLIEST_MS else "microseconds"
        raise InputFileError(
            f"{path}, entry {number}: ts is {ts}, which looks like {unit}; expected milliseconds "
            "since 1970"
        )


def _required(kind: type[Action | Item]) -> int:
    return sum(field.required for field in msgspec.structs.fields(kind))


def _json_lines(stream: BinaryIO, _: type[M]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(stream, start=1):
        if line.strip():
            try:
                yield number, msgspec.json.decode(line)
            except msgspec.MsgspecError as error:
                yield number, error


def _msgpack(stream: BinaryIO, _: type[M]) -> Iterator[tuple[int, Any]]:
    unpacker = msgpack.Unpacker(stream)
    number, complete = 0, 0
    for number, entry in enumerate(unpacker, start=1):
        complete = unpacker.tell()
        yield number, entry
    if stream.tell() > complete:
        yield number + 1, msgspec.DecodeError("the file ends in the middle of an entry")


def _csv(stream: BinaryIO, kind: type[M]) -> Iterator[tuple[int, Any]]:
    lines = (line.decode("utf-8-sig" if first else "utf-8") for first, line in _marked(stream))
    reader = csv.DictReader(lines, strict=True)
    columns: Sequence[str] | None = reader.fieldnames  # None of an empty file
    _require_known(columns or (), kind)
    for row in reader:
        yield reader.line_num, _from_cells(row)


def _require_known(columns: Sequence[str], kind: type[M]) -> None:
    """A column that nobody reads is one whose name was meant otherwise."""
    fields = kind.__struct_fields__
    group = "context" if "context" in fields else "attributes"
    unknown = [
        name
        for name in columns
        if name not in fields and not (name.startswith(f"{group}.") and name != f"{group}.")
    ]
    if unknown:
        raise ValueError(
            f"the header has {', '.join(map(repr, unknown))}; the columns of an "
            f"{kind.__name__.lower()} are {', '.join(fields)} and {group}.NAME"
        )


def _marked(stream: BinaryIO) -> Iterator[tuple[bool, bytes]]:
    first = True
    for line in stream:
        yield first, line
        first = False


def _from_cells(row: dict[str | None, Any]) -> Any:
    if None in row:
        return msgspec.ValidationError("the row has more cells than the header")
    entry: dict[str, Any] = {}
    context: dict[str, str] = {}
    attributes: dict[str, str] = {}
    for name, cell in row.items():
        if name is None or cell in ("", None):
            continue
        group, _, inner = name.partition(".")
        if inner and group == "context":
            context[inner] = cell
        elif inner and group == "attributes":
            attributes[inner] = cell
        elif name == "categories":
            entry[name] = [part.strip() for part in cell.split(_SEPARATOR) if part.strip()]
        else:
            entry[name] = cell
    if context:
        entry["context"] = context
    if attributes:
        entry["attributes"] = attributes
    return entry


_READERS: dict[FileFormat, Callable[[BinaryIO, Any], Iterator[tuple[int, Any]]]] = {
    "jsonl": _json_lines,
    "csv": _csv,
    "msgpack": _msgpack,
}
