"""``tidemark encode``: what becomes of a text."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 # typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from tidemark.cli.common import (
    WRONG_USAGE,
    AsJson,
    ConfigFile,
    LogLevel,
    console,
    errors,
    fail,
    load,
    print_json_line,
    setup_logging,
    shown,
)

if TYPE_CHECKING:
    import numpy as np
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
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show what becomes of a text: its redacted form, tokens, vector and nearest items."""
    setup_logging(LogLevel.warning)
    settings = load(config)
    lines, unreadable = (texts, 0) if texts else _read_lines()
    if not any(line.strip() for line in lines):
        raise fail("there is no text: name one, or write lines to standard input", WRONG_USAGE)
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
            near, why_none = _nearest(find, words, vector)
            told = _Told(
                text=text,
                redacted=words != line,
                tokens=_tokens(encoding, text),
                vector=vector,
                sentiment=_sentiment(feeling, words, vector),
                encoder_id=encoding.encoder_id,
                nearest=near,
                why_none=why_none,
            )
            if as_json:
                print_json_line(_plain(told))
            else:
                _print(told)
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


def _sentiment(
    feeling: Feeling | None, words: str, vector: NDArray[np.float32]
) -> tuple[float | None, str]:
    """The score, −1 to 1, or None and why there is none."""
    if feeling is None:
        return None, "sentiment.head has none for this encoder"
    if not feeling.reads(words):
        return None, "the model knows less than half of the words' tokens"
    return float(feeling.score(vector[None])[0]), ""


def _tokens(encoding: EncoderService, text: str) -> tuple[list[str], bool] | None:
    """What the tokenizer makes of a text, and whether it is cut; None where there is none."""
    tell = getattr(encoding.encoder, "tokens", None)
    if tell is None:
        return None
    tokens, cut = tell(text)
    return list(tokens), cut


def _nearest(find: Any, text: str, vector: NDArray[np.float32]) -> tuple[_Near | None, str]:
    """The nearest items, or None and why they are not known."""
    import httpx  # noqa: PLC0415 # see tidemark.cli.common

    try:
        return find(text, vector), ""
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return None, (
            f"no retrieval service answers ({error!r}); name one with --retrieval, or a file of "
            "items with --items"
        )


@dataclass(frozen=True, slots=True)
class _Told:
    """What is told of a text."""

    text: str
    redacted: bool
    tokens: tuple[list[str], bool] | None
    vector: NDArray[np.float32]
    sentiment: tuple[float | None, str]
    encoder_id: str
    nearest: _Near | None
    why_none: str

    @property
    def norm(self) -> float:
        return math.sqrt(float(self.vector @ self.vector))


def _plain(told: _Told) -> dict[str, Any]:
    tokens, cut = told.tokens or (None, None)
    return {
        "text": told.text,
        "redacted": told.redacted,
        "tokens": tokens,
        "cut": cut,
        "vector": told.vector.tolist(),
        "norm": told.norm,
        "sentiment": told.sentiment[0],
        "encoder_id": told.encoder_id,
        "nearest": None
        if told.nearest is None
        else [
            {"item_id": item_id, "title": title, "cosine": cosine}
            for item_id, title, cosine in told.nearest
        ],
    }


def _print(told: _Told) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("text", shown(told.text) + ("  [dim](redacted)[/]" if told.redacted else ""))
    if told.tokens is not None:
        tokens, cut = told.tokens
        table.add_row("tokens", f"{len(tokens)}" + (", cut: the text is longer" if cut else ""))
        table.add_row("", shown(" ".join(tokens)))
    table.add_row("vector", f"{len(told.vector)} numbers, norm {told.norm:.6f}")
    score, why = told.sentiment
    table.add_row("sentiment", f"none: {why}" if score is None else f"{score:+.2f}")
    table.add_row("encoder", shown(told.encoder_id))
    console.print(table, highlight=False)
    if told.nearest is None:
        errors.print(f"nearest items: {told.why_none}", markup=False, highlight=False,
                     soft_wrap=True)  # fmt: skip
    else:
        near = Table("cosine", "item", "title", title="nearest items", title_justify="left")
        for item_id, title, cosine in told.nearest:
            near.add_row(f"{cosine:.3f}", shown(item_id), shown(title))
        console.print(near, highlight=False)
    console.print()


def _in_file(path: Path, settings: Settings, encoding: EncoderService) -> Any:
    """A search of a file's items by a text's vector."""
    from encoders import Templates  # noqa: PLC0415 # see tidemark.cli.common
    from store.interner import Interner  # noqa: PLC0415
    from streams.catalogue import Catalogue  # noqa: PLC0415
    from streams.files import format_of, read_file  # noqa: PLC0415
    from streams.schema import Item  # noqa: PLC0415

    found = list(read_file(path, Item, format_of(path)))
    if not found:
        raise fail(f"there are no items in {path}")
    catalogue = Catalogue(Templates(settings.encoder.templates), Interner())
    encoded = encoding.encode_now([catalogue.item_text(item) for item in found])
    rows = [(item, row) for item, row in zip(found, encoded.index, strict=True) if row >= 0]

    def find(_: str, vector: NDArray[np.float32]) -> _Near:
        cosines = encoded.vectors[[row for _, row in rows]] @ vector
        best = (-cosines).argsort()[:_NEAREST]
        return [(rows[i][0].item_id, rows[i][0].title, float(cosines[i])) for i in best]

    return find


def _in_service(url: str | None, settings: Settings) -> Any:
    """A search of the retrieval service's items by a text."""
    from tidemark.client import open_client  # noqa: PLC0415 # see tidemark.cli.common

    http = open_client(settings, url, timeout=5.0)

    def find(text: str, _: NDArray[np.float32]) -> _Near:
        answer = http.post("/v1/search", json={"text": text, "k": _NEAREST})
        answer.raise_for_status()
        return [(one["item_id"], one["title"], one["score"]) for one in answer.json()["items"]]

    return find
