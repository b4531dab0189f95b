"""``tidemark dead-letters list`` and ``show``."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, deque
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from tidemark.cli.bars import counted
from tidemark.cli.common import (
    WRONG_USAGE,
    AsJson,
    Bootstrap,
    ConfigFile,
    LogLevel,
    console,
    errors,
    fail,
    load,
    moment,
    print_json,
    print_json_line,
    setup_logging,
    shown,
)
from tidemark.cli.dead_letters.common import (
    ReasonOption,
    SinceOption,
    SourceOption,
    as_text,
    letter_filter,
    parse_place,
    place_of,
    plain,
)

if TYPE_CHECKING:
    from streams.letters import DeadLetter, Source
    from tidemark.settings import Settings

__all__ = ["listed", "show"]

#: Of a value that cannot be decoded, so many bytes are shown as hexadecimal digits.
_HEX_BYTES, _ROW = 512, 16


def listed(
    reason: ReasonOption = None,
    source: SourceOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option(help="The newest so many; 0: all.", min=0)] = 50,
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """List what could not be processed, oldest first, and why."""
    setup_logging(LogLevel.error)
    settings = load(config, kafka={"bootstrap": bootstrap})
    wanted = letter_filter(reason, source, since)
    kept: deque[DeadLetter] = deque(maxlen=limit or None)
    reasons: Counter[str] = Counter()
    replayed: set[Source] = set()

    async def read() -> None:
        from streams.dead_letter_topic import read_letters  # noqa: PLC0415 # a Kafka client

        with counted("reading dead letters", as_json=as_json) as progress:
            async for letter in read_letters(
                settings.kafka.bootstrap,
                settings.topics.dead_letters,
                security=settings.kafka.security.security(),
                replayed=replayed,
                on_progress=progress,
            ):
                if wanted.takes(letter):
                    kept.append(letter)
                    reasons[letter.reason] += 1

    asyncio.run(read())
    found = sorted(kept, key=lambda one: (one.time_ms, one.partition, one.offset))
    if as_json:
        for one in found:
            print_json_line(plain(one, with_value=False, replayed=one.source in replayed))
        return
    _print(found, reasons, replayed)


def _print(found: list[DeadLetter], reasons: Counter[str], replayed: set[Source]) -> None:
    if not found:
        console.print("no dead letters" + (" of this kind" if reasons else ""))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("place", no_wrap=True)
    table.add_column("time (UTC)", no_wrap=True)
    table.add_column("reason", no_wrap=True)
    table.add_column("from", overflow="fold")
    table.add_column("what was wrong", overflow="fold")
    for one in found:
        topic, partition, offset = one.source or ("?", "?", "?")
        table.add_row(
            place_of(one),
            moment(one.time_ms).removesuffix(" UTC"),
            shown(one.reason or "?"),
            shown(f"{topic}/{partition}/{offset}"),
            shown(one.detail) + (" [green](replayed)[/]" if one.source in replayed else ""),
        )
    console.print(table, highlight=False)
    total = sum(reasons.values())
    told = ", ".join(f"{shown(name or '?')} {count:,}" for name, count in reasons.most_common())
    more = f" (the newest {len(found):,} above; --limit 0: all)" if total > len(found) else ""
    console.print(f"\n{total:,} letters: {told}{more}", highlight=False)


def show(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As list shows it.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="The original value's bytes and nothing else, for a file.")
    ] = False,
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """Show one letter: its headers, and what it holds."""
    setup_logging(LogLevel.error)
    partition, offset = parse_place(place)
    settings = load(config, kafka={"bootstrap": bootstrap})
    letter = asyncio.run(_find(settings, partition, offset))
    if letter is None:
        raise fail(
            f"there is no letter at {place} in {settings.topics.dead_letters}: it has expired, or "
            "there never was one"
        )
    if raw:
        if sys.stdout.isatty():
            raise fail("--raw is for a file or a pipe: bytes could steer the terminal", WRONG_USAGE)
        sys.stdout.buffer.write(letter.value or b"")
        return
    content, kind = _decoded(settings, letter)
    if as_json:
        print_json(plain(letter, with_value=True) | {"content": content, "content_format": kind})
        return
    _print_letter(letter, content, kind)


async def _find(settings: Settings, partition: int, offset: int) -> DeadLetter | None:
    from streams.dead_letter_topic import read_letters  # noqa: PLC0415 # a Kafka client

    async for letter in read_letters(
        settings.kafka.bootstrap,
        settings.topics.dead_letters,
        security=settings.kafka.security.security(),
        begin={partition: offset},
    ):
        return letter if letter.offset == offset else None
    return None


def _decoded(settings: Settings, letter: DeadLetter) -> tuple[Any, str | None]:
    """The value as its topic's format has it, and the format; None where it cannot be decoded."""
    import msgspec  # noqa: PLC0415 # see tidemark.cli.common

    formats = {one.name: one.format for one in settings.topics.actions}
    wire = formats.get(letter.source[0], "msgpack") if letter.source else "msgpack"
    decoder = msgspec.json if wire == "json" else msgspec.msgpack
    try:
        found = decoder.decode(letter.value or b"")
        found = json.loads(json.dumps(found, default=_bytes_shown))
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return None, None
    # A byte that MessagePack takes for a number is more likely no message at all.
    return (found, wire) if isinstance(found, dict | list) else (None, None)


def _bytes_shown(value: object) -> str:
    if isinstance(value, bytes):
        return f"hex:{value.hex()}"
    return str(value)


def _print_letter(letter: DeadLetter, content: Any, kind: str | None) -> None:
    facts = Table(show_header=False, box=None, pad_edge=False)
    topic, partition, offset = letter.source or ("?", "?", "?")
    facts.add_row("place", f"{shown(letter.topic)} {place_of(letter)}")
    facts.add_row("time", moment(letter.time_ms))
    facts.add_row("reason", shown(letter.reason or "?"))
    facts.add_row("", shown(letter.detail))
    facts.add_row("from", f"{shown(str(topic))}, partition {partition}, offset {offset}")
    facts.add_row("key", _bytes_text(letter.key))
    for name, value in letter.headers:
        facts.add_row(f"header {shown(name)}", _bytes_text(value))
    size = "null" if letter.value is None else f"{len(letter.value):,} bytes"
    if letter.shortened_from is not None:
        size += f", the beginning of {letter.shortened_from:,}"
    facts.add_row("value", size + (f", {kind}" if kind else ""))
    console.print(facts, highlight=False)
    console.print()
    if kind is not None:
        text = json.dumps(content, ensure_ascii=False, indent=2)
        for line in text.splitlines():
            console.print(shown(line), highlight=False, soft_wrap=True)
    elif letter.value:
        _print_hex(letter.value)


def _bytes_text(value: bytes | None) -> str:
    if value is None:
        return "none"
    text = as_text(value)
    return f"[dim]hex[/] {value[:64].hex()}" if text is None else shown(text)


def _print_hex(value: bytes) -> None:
    for at in range(0, min(len(value), _HEX_BYTES), _ROW):
        part = value[at : min(at + _ROW, _HEX_BYTES)]
        digits = " ".join(f"{byte:02x}" for byte in part)
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)  # noqa: PLR2004 # ASCII
        console.print(f"{at:04x}  {digits:<47}  {shown(letters)}", highlight=False)
    if len(value) > _HEX_BYTES:
        errors.print(f"and {len(value) - _HEX_BYTES:,} bytes more; all of them: --raw > FILE")
