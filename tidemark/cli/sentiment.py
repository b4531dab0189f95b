"""``tidemark sentiment``: trains what reads users' words."""

from __future__ import annotations

import csv
import random
from pathlib import Path  # noqa: TC003 # typer reads it at run time
from typing import Annotated

import typer

from tidemark.cli.common import (
    AsJson,
    ConfigFile,
    LogLevel,
    console,
    errors,
    load,
    print_json,
    setup_logging,
)
from tidemark.cli.outputs import ready_file

__all__ = ["app"]

app = typer.Typer(help="Train what reads how users' words feel.", no_args_is_help=True)

_LABELS = {
    "1": True, "positive": True, "pos": True, "true": True,
    "0": False, "-1": False, "negative": False, "neg": False, "false": False,
}  # fmt: skip
#: By how much a head should do better than the more frequent label.
_BETTER = 0.05


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
    titles: Annotated[
        Path | None,
        typer.Option(
            help="Items' titles, a line each: the texts are then also put into the template of "
            "reviews, each with a title drawn at random, as the worker will read them.",
            exists=True, dir_okay=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split, and of the titles drawn.")] = 0,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train a sentiment head for the encoder of the settings, and judge it on a held-out fifth."""
    setup_logging(LogLevel.warning)
    settings = load(config).encoder
    ready_file(out, reported=False)
    from safetensors import SafetensorError  # noqa: PLC0415 # see tidemark.cli.common

    from encoders.errors import SentimentError  # noqa: PLC0415

    examples = [example for file in labelled for example in _read(file)]
    from encoders.sentiment_training import train_head  # noqa: PLC0415 # loads torch
    from tidemark.compose.parts import build_encoder  # noqa: PLC0415 # and Kafka's client

    texts = [text for text, _ in examples]
    others = [] if titles is None else [_as_reviews(texts, titles, settings.templates, seed)]
    encoder = build_encoder(settings)
    trained = train_head(
        encoder,
        texts,
        [positive for _, positive in examples],
        trained_on=", ".join(file.name for file in labelled),
        seed=seed,
        others=others,
    )
    try:
        trained.head.save(out)
    except (OSError, SafetensorError) as error:
        raise SentimentError(f"{out} cannot be written: {error}") from error
    accuracies = " and ".join(
        f"{accuracy:.4f}{form}"
        for accuracy, form in zip(trained.accuracies, ("", " with a title"), strict=False)
    )
    if trained.head.accuracy < trained.chance + _BETTER:
        errors.print(
            f"warning: that is hardly better than guessing ({trained.chance:.4f}): such a head "
            "would turn profiles around at random; check the labels, or add examples",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    if as_json:
        print_json(
            {
                "head": str(out),
                "encoder_id": encoder.encoder_id,
                "accuracies": [*trained.accuracies],
                "chance": trained.chance,
                "trained_on": trained.training,
                "held_out": trained.held_out,
            }
        )
        return
    console.print(
        f"accuracy {accuracies} on {trained.held_out:,} held-out texts, trained on "
        f"{trained.training:,}, for {encoder.encoder_id}\nwritten to {out}; use it with: "
        f'sentiment.head = "{out}"',
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def _as_reviews(texts: list[str], titles: Path, templates: dict[str, str], seed: int) -> list[str]:
    """The texts as reviews of items drawn at random.

    Raises:
        SentimentError: there is no title, or the file cannot be read.
    """
    from encoders import SentimentError, Templates  # noqa: PLC0415 # see tidemark.cli.common

    try:
        names = titles.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SentimentError(f"{titles} cannot be read: {error}") from error
    if not (names := [name for name in names if name.strip()]):
        raise SentimentError(f"{titles} has no titles; expected one a line")
    drawn, known = random.Random(seed), Templates(templates)  # noqa: S311 # no secret
    return [
        known.render("review", {"action": "review", "title": drawn.choice(names), "text": text})
        for text in texts
    ]


def _read(file: Path) -> list[tuple[str, bool]]:
    """Texts and whether they are positive.

    Raises:
        SentimentError: the file cannot be read, or a line of it.
    """
    from encoders.errors import SentimentError  # noqa: PLC0415 # see tidemark.cli.common

    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            if file.suffix in {".pos", ".neg"}:
                lines = (line.strip() for line in stream)
                return [(line, file.suffix == ".pos") for line in lines if line]
            rows = csv.DictReader(stream)
            rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
            if not {"text", "label"} <= set(rows.fieldnames):
                raise SentimentError(
                    f"{file} has the columns {', '.join(rows.fieldnames) or 'none'}; "
                    "expected text and label"
                )
            return [_labelled(file, rows.line_num, row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SentimentError(f"{file} cannot be read: {error}") from error


def _labelled(file: Path, line: int, row: dict[str, str]) -> tuple[str, bool]:
    from encoders.errors import SentimentError  # noqa: PLC0415 # see tidemark.cli.common

    text, label = (row["text"] or "").strip(), (row["label"] or "").strip().lower()
    if not text or label not in _LABELS:
        raise SentimentError(
            f"{file}, line {line}: text {text[:40]!r}, label {label[:20]!r}; expected a text and "
            f"one of {', '.join(_LABELS)}"
        )
    return text, _LABELS[label]
