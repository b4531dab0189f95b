"""``tidemark encode``: what becomes of a text."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 # typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from encoders import Templates
from store.interner import Interner
from streams.catalogue import Catalogue
from streams.files import format_of, read_file
from streams.schema import Item
from tidemark.cli.common import ConfigFile, LogLevel, console, fail, setup_logging
from tidemark.client import open_client
from tidemark.settings import load_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoders import EncoderService
    from streams.reading import Feeling
    from tidemark.settings import Settings

__all__ = ["encode"]

_NEAREST = 5
#: An item's id, title and cosine.
_Near = list[tuple[str, str, float]]


def encode(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; standard input, a line each, without.")
    ] = None,
    config: ConfigFile = None,
    items: Annotated[
        Path | None,
        typer.Option(help="Items to compare with (JSON lines, CSV or MessagePack).", exists=True),
    ] = None,
    retrieval: Annotated[
        str | None,
        typer.Option(
            help="Or a retrieval service to ask: by default the one of the settings.",
            metavar="URL", show_default=False,
        ),
    ] = None,
) -> None:  # fmt: skip
    """Show what becomes of a text: its redacted form, tokens, vector and nearest items."""
    setup_logging(LogLevel.warning)
    settings = load_settings(config)
    lines, unreadable = (texts, 0) if texts else _read_lines()
    if not any(line.strip() for line in lines):
        raise fail("there is no text: name one, or write lines to standard input", 2)
    from tidemark.compose.parts import (  # noqa: PLC0415 # loads the model
        build_encoding,
        build_feeling,
        build_query,
        build_redactor,
    )  # fmt: skip

    redactor = build_redactor(settings)
    text_of = build_query(settings, redactor)
    encoding = build_encoding(settings)
    feeling = build_feeling(settings, encoding.encoder)
    find = _in_file(items, settings, encoding) if items else _in_service(retrieval, settings)
    try:
        for line in filter(str.strip, lines):
            words, text = redactor.redact(line), text_of(line)
            encoded = encoding.encode_now([text])
            if encoded.errors:
                raise next(iter(encoded.errors.values()))
            vector = encoded.vectors[0]
            table = Table(show_header=False, box=None, pad_edge=False)
            table.add_row("text", _shown(text) + ("  [dim](redacted)[/]" if words != line else ""))
            for name, value in _tokens(encoding, text):
                table.add_row(name, _shown(value))
            table.add_row("vector", f"{len(vector)} numbers, norm {np.linalg.norm(vector):.6f}")
            table.add_row("sentiment", _sentiment(feeling, words, vector))
            table.add_row("encoder", encoding.encoder_id)
            console.print(table)
            _show_nearest(find, words, vector)
            console.print()
    finally:
        encoding.close()
    if unreadable:
        raise typer.Exit(1)


def _read_lines() -> tuple[list[str], int]:
    """The lines of standard input, and how many were left out since they are not UTF-8."""
    lines: list[str] = []
    unreadable = 0
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            lines.append(line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n"))
        except UnicodeDecodeError as error:
            unreadable += 1
            fail(
                f"line {number} of standard input is not UTF-8 (byte {line[error.start]:#04x} at "
                f"place {error.start + 1}); it is left out"
            )
    return lines, unreadable


def _shown(text: str) -> str:
    """For the terminal: what would steer it is written out."""
    return escape("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))


def _sentiment(feeling: Feeling | None, words: str, vector: NDArray[np.float32]) -> str:
    if feeling is None:
        return "none: sentiment.head has none for this encoder"
    if not feeling.reads(words):
        return "none: the model knows less than half of the words' tokens"
    return f"{float(feeling.score(vector[None])[0]):+.2f}"


def _tokens(encoding: EncoderService, text: str) -> list[tuple[str, str]]:
    """What the tokenizer makes of a text; nothing where the encoder has none."""
    tell = getattr(encoding.encoder, "tokens", None)
    if tell is None:
        return []
    tokens, cut = tell(text)
    said = f"{len(tokens)}" + (", cut: the text is longer" if cut else "")
    return [("tokens", said), ("", " ".join(tokens))]


def _show_nearest(find: Any, text: str, vector: NDArray[np.float32]) -> None:
    try:
        near: _Near = find(text, vector)
    except (httpx.HTTPError, ValueError, KeyError) as error:
        console.print(
            f"nearest items: no retrieval service answers ({error!r}); name one with --retrieval, "
            "or a file of items with --items",
            style="dim", markup=False,
        )  # fmt: skip
        return
    table = Table("cosine", "item", "title", title="nearest items", title_justify="left")
    for item_id, title, cosine in near:
        table.add_row(f"{cosine:.3f}", _shown(item_id), _shown(title))
    console.print(table)


def _in_file(path: Path, settings: Settings, encoding: EncoderService) -> Any:
    """A search of a file's items by a text's vector."""
    found = list(read_file(path, Item, format_of(path)))
    if not found:
        raise fail(f"there are no items in {path}")
    catalogue = Catalogue(Templates(settings.encoder.templates), Interner())
    encoded = encoding.encode_now([catalogue.item_text(item) for item in found])
    rows = [(item, row) for item, row in zip(found, encoded.index, strict=True) if row >= 0]

    def find(_: str, vector: NDArray[np.float32]) -> _Near:
        cosines = encoded.vectors[[row for _, row in rows]] @ vector
        best = np.argsort(-cosines)[:_NEAREST]
        return [(rows[i][0].item_id, rows[i][0].title, float(cosines[i])) for i in best]

    return find


def _in_service(url: str | None, settings: Settings) -> Any:
    """A search of the retrieval service's items by a text."""
    http = open_client(settings, url, timeout=5.0)

    def find(text: str, _: NDArray[np.float32]) -> _Near:
        answer = http.post("/v1/search", json={"text": text, "k": _NEAREST})
        answer.raise_for_status()
        return [(one["item_id"], one["title"], one["score"]) for one in answer.json()["items"]]

    return find
