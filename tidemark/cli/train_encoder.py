"""``tidemark train encoder``: makes the encoder's vectors tell better what comes next."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 # typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from tidemark.cli.common import (
    LIMIT,
    AsJson,
    ConfigFile,
    LogLevel,
    console,
    errors,
    load,
    print_json,
    setup_logging,
)
from tidemark.cli.log_argument import Columns, Items, Log, columns_of, open_log
from tidemark.cli.outputs import ready_folder, resumable

if TYPE_CHECKING:
    from encoders.training.encoder.fitted import Epoch

__all__ = ["encoder"]


def encoder(
    log: Log,
    out: Annotated[Path, typer.Option(help="Folder for the model, the checkpoint and the report.")],
    config: ConfigFile = None,
    items: Items = None,
    column: Columns = None,
    share: Annotated[
        float,
        typer.Option(help="How much of the log is looked at, from its begin.", min=0.01, max=1),
    ] = 1.0,
    tasks: Annotated[
        str, typer.Option(help="What is learned, with commas between: next, rating, click.")
    ] = "next",
    compare_tasks: Annotated[
        bool,
        typer.Option(
            "--compare-tasks", help="Also train each task alone, and print a table beside all."
        ),
    ] = False,
    lora: Annotated[
        int | None,
        typer.Option(
            metavar="RANK", min=1, show_default=False,
            help="Train the transformer, too, by low-rank updates; 8 is a usual rank.",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="At most.", min=1)] = 20,
    adversarial: Annotated[
        float,
        typer.Option(help="Length of a step against the loss on each base vector.", min=0),
    ] = 0.0,
    augment: Annotated[
        bool,
        typer.Option("--augment", help="Show texts without categories or some words, too."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of all that is drawn at random.", min=0)] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in the folder.")
    ] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train the settings' encoder on what users took next, and judge it on the log's last tenth."""
    setup_logging(LogLevel.warning)
    settings = load(config)
    columns = columns_of(column)
    ready_folder(out)
    from encoders.training.encoder.plan import Plan  # noqa: PLC0415 # see common

    wanted: Any = tuple(task.strip() for task in tasks.split(",") if task.strip())
    plan = Plan(tasks=wanted, epochs=epochs, adversarial=adversarial, seed=seed)
    from tidemark.training.encoder import EncoderTraining  # noqa: PLC0415 # loads torch

    read = open_log(log, items, columns)
    with _Progress(quiet=as_json) as progress:
        training = EncoderTraining(
            read, settings, plan, out, share=share, augment=augment, lora_rank=lora,
            resume=resume,
            on_encoded=progress.encoded, on_epoch=progress.epoch, on_batch=progress.batch,
        )  # fmt: skip
        with resumable(training.checkpoint):
            report = training.run(compare=compare_tasks)
    if as_json:
        print_json(report)
    else:
        from encoders.training.encoder.report import text_of  # noqa: PLC0415 # see common

        console.print(text_of(report), markup=False, highlight=False, soft_wrap=True, end="")
    if not report["promoted"]:
        errors.print(
            f"not promoted: on the actions held out the trained vectors are not surely better. The "
            f"model is in {out}, to be looked at; go on with the encoder that there is",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
        raise typer.Exit(LIMIT)
    if not as_json:
        console.print(
            f'written to {out}; use it with: encoder.model = "{out.resolve()}", by '
            "tidemark replay --generation (docs/generations.md)",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


class _Progress:
    """Bars on standard error, and a line for each epoch."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.progress import Progress  # noqa: PLC0415 # see common

        self._bars = Progress(console=errors, transient=True, disable=quiet)
        self._encoding = self._bars.add_task("encoding texts", total=None)
        self._training = self._bars.add_task("training", total=None, visible=False)
        self._quiet = quiet

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def encoded(self, done: int, of: int) -> None:
        self._bars.update(self._encoding, completed=done, total=of)

    def batch(self, epoch: int, done: int, of: int) -> None:
        self._bars.update(
            self._training, description=f"epoch {epoch}", completed=done, total=of, visible=True
        )

    def epoch(self, epoch: Epoch) -> None:
        if self._quiet:
            return
        said = ", ".join(f"{task} {loss:.4f}" for task, loss in epoch.validation.items())
        errors.print(f"epoch {epoch.number}: {said}", markup=False, highlight=False)
