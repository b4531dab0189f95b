"""``tidemark train sequence``: trains the profile function of a user's latest actions."""

from __future__ import annotations

import json
import time
from pathlib import Path  # noqa: TC003 # typer reads it at run time
from typing import TYPE_CHECKING, Annotated

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
from tidemark.cli.outputs import ready_folder, ready_to_resume, resumable
from tidemark.errors import SequenceError

if TYPE_CHECKING:
    from tidemark.training.sequence import Epoch, Outcome

__all__ = ["sequence"]

MODEL, CHECKPOINT, REPORT = "sequence.safetensors", "checkpoint.safetensors", "report.json"


def sequence(
    log: Log,
    out: Annotated[
        Path, typer.Option(help="Folder for the model, the checkpoint and the report.")
    ],
    config: ConfigFile = None,
    items: Items = None,
    column: Columns = None,
    epochs: Annotated[int, typer.Option(help="At most.", min=1)] = 40,
    patience: Annotated[
        int, typer.Option(help="Epochs without a better one before it stops.", min=1)
    ] = 4,
    hidden: Annotated[int, typer.Option(help="Length of the GRU's state.", min=1)] = 128,
    held_out: Annotated[
        float, typer.Option(help="Share of the log, its end, that it is judged on.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="Of all that is drawn at random.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in the folder.")
    ] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train a profile function over a user's latest actions, and judge it beside the fold."""
    setup_logging(LogLevel.warning)
    settings = load(config)

    columns = columns_of(column)
    if resume:
        ready_to_resume(out / CHECKPOINT)
    ready_folder(out)
    from encoders.training.sequence.profile_training import (  # noqa: PLC0415 # loads torch
        ProfileTrainingSettings,
    )
    from tidemark.compose.parts import action_rules  # noqa: PLC0415
    from tidemark.evaluation.vectors import encode_catalogue  # noqa: PLC0415 # loads numba
    from tidemark.sequence_file import save_sequence  # noqa: PLC0415
    from tidemark.training.sequence import Plan, train_sequence  # noqa: PLC0415

    started = time.monotonic()
    plan = Plan(
        epochs=epochs,
        patience=patience,
        held_out=held_out,
        seed=seed,
        mean_removal=settings.retrieval.mean_removal,
        whitening=settings.retrieval.whitening,
    )
    actions = open_log(log, items, columns)
    vectors, encoder_id = encode_catalogue(settings, actions.catalogue)
    with resumable(out / CHECKPOINT):
        outcome = train_sequence(
            actions,
            vectors,
            encoder_id=encoder_id,
            rules=action_rules(settings),
            policy=settings.policy.policy(),
            settings=ProfileTrainingSettings(
                length=settings.memory.contributions, hidden=hidden, seed=seed
            ),
            plan=plan,
            checkpoint=out / CHECKPOINT,
            resume=resume,
            on_epoch=_tell,
        )
    report = _report(outcome, actions.name, round(time.monotonic() - started, 1))
    try:
        (out / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        if not outcome.promoted:
            # What an earlier run left is not of this one.
            (out / MODEL).unlink(missing_ok=True)
    except OSError as error:
        raise SequenceError(f"{out} cannot be written to: {error}") from error
    if outcome.promoted:
        save_sequence(outcome.sequence, out / MODEL, {"trained_on": actions.name})
    if as_json:
        print_json(report)
    else:
        _print(outcome, out)
    if not outcome.promoted:
        raise typer.Exit(LIMIT)


def _tell(epoch: Epoch) -> None:
    if errors.is_terminal:
        loss = "the fold of these" if epoch.loss is None else f"loss {epoch.loss:.3f}"
        errors.print(
            f"epoch {epoch.number}: {loss}, validation recall@10 {epoch.recall:.4f}, "
            f"NDCG@10 {epoch.ndcg:.4f}",
            highlight=False,
        )


def _report(outcome: Outcome, name: str, seconds: float) -> dict[str, object]:
    made = outcome.sequence
    return {
        "log": name,
        "model_id": made.model_id,
        "encoder_id": made.encoder_id,
        "policy": made.policy,
        "length": made.length,
        "promoted": outcome.promoted,
        "held_out": {
            "choices": outcome.held_out,
            "recall": dict(zip(("sequence", "fold"), outcome.recall, strict=True)),
            "ndcg": dict(zip(("sequence", "fold"), outcome.ndcg, strict=True)),
            "recall_gain": outcome.recall_gain._asdict(),
            "ndcg_gain": outcome.ndcg_gain._asdict(),
        },
        "trained_on": outcome.trained_on,
        "validated_on": outcome.validated_on,
        "best_epoch": outcome.best,
        "epochs": [one._asdict() for one in outcome.history],
        "seconds": seconds,
    }


def _print(outcome: Outcome, out: Path) -> None:
    made, gain = outcome.sequence, outcome.recall_gain
    ours, folds = outcome.recall
    console.print(
        f"held out: recall@10 {ours:.4f} where the fold has {folds:.4f}, "
        f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}), "
        f"NDCG@10 {outcome.ndcg[0]:.4f} where it has {outcome.ndcg[1]:.4f}; "
        f"{outcome.held_out:,} choices, epoch {outcome.best} of {len(outcome.history) - 1}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    if outcome.promoted:
        console.print(
            f"{made.model_id}, for {made.encoder_id}\nwritten to {out / MODEL}; use it with: "
            f'retrieval.sequence = "{out / MODEL}"',
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    else:
        console.print(
            "not promoted: it does not find more than the fold does, beyond chance; no model was "
            "written",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
