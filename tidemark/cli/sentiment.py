"""``tidemark sentiment``: trains what reads users' words."""

from __future__ import annotations

import csv
from pathlib import Path  # noqa: TC003 # typer reads it at run time
from typing import Annotated

import typer
from safetensors import SafetensorError

from encoders import SentimentError
from tidemark.cli.common import ConfigFile, LogLevel, console, setup_logging
from tidemark.settings import load_settings

__all__ = ["app"]

app = typer.Typer(help="Train what reads how users' words feel.", no_args_is_help=True)

_LABELS = {
    "1": True, "positive": True, "pos": True, "true": True,
    "0": False, "-1": False, "negative": False, "neg": False, "false": False,
}  # fmt: skip


@app.callback()
def _sentiment() -> None:
    """Train what reads how users' words feel."""


@app.command()
def train(
    labelled: Annotated[
        list[Path],
        typer.Argument(
            help="CSV files with the columns text and label (1, 0, positive, negative); or texts, "
            "a line each, in files named *.pos and *.neg.",
            exists=True, dir_okay=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where the head goes (safetensors).")],
    config: ConfigFile = None,
    seed: Annotated[int, typer.Option(help="Of the split into training and held-out texts.")] = 0,
) -> None:  # fmt: skip
    """Train a sentiment head for the encoder of the settings, and judge it on a held-out fifth."""
    setup_logging(LogLevel.warning)
    settings = load_settings(config).encoder
    examples = [example for file in labelled for example in _read(file)]
    from encoders.sentiment_training import train_head  # noqa: PLC0415 # loads torch
    from tidemark.compose.parts import build_encoder  # noqa: PLC0415 # and Kafka's client

    encoder = build_encoder(settings)
    trained = train_head(
        encoder,
        [text for text, _ in examples],
        [positive for _, positive in examples],
        trained_on=", ".join(file.name for file in labelled),
        seed=seed,
    )
    try:
        trained.head.save(out)
    except (OSError, SafetensorError) as error:
        raise SentimentError(f"{out} cannot be written: {error}") from error
    console.print(
        f"accuracy {trained.head.accuracy:.4f} on {trained.held_out:,} held-out texts, trained on "
        f"{trained.training:,}, for {encoder.encoder_id}\nwritten to {out}; use it with: "
        f'sentiment.head = "{out}"',
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def _read(file: Path) -> list[tuple[str, bool]]:
    """Texts and whether they are positive.

    Raises:
        SentimentError: the file cannot be read, or a line of it.
    """
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            if file.suffix in {".pos", ".neg"}:
                lines = (line.strip() for line in stream)
                return [(line, file.suffix == ".pos") for line in lines if line]
            rows = csv.DictReader(stream)
            if not {"text", "label"} <= set(rows.fieldnames or ()):
                raise SentimentError(
                    f"{file} has the columns {', '.join(rows.fieldnames or ()) or 'none'}; "
                    "expected text and label"
                )
            return [_labelled(file, rows.line_num, row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SentimentError(f"{file} cannot be read: {error}") from error


def _labelled(file: Path, line: int, row: dict[str, str]) -> tuple[str, bool]:
    text, label = (row["text"] or "").strip(), (row["label"] or "").strip().lower()
    if not text or label not in _LABELS:
        raise SentimentError(
            f"{file}, line {line}: text {text[:40]!r}, label {label[:20]!r}; expected a text and "
            f"one of {', '.join(_LABELS)}"
        )
    return text, _LABELS[label]
