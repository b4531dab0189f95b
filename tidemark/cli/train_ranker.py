"""``tidemark train ranker``: learns to order what is near a profile."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 # typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from tidemark.cli.common import (
    LIMIT,
    AsJson,
    ConfigFile,
    LogLevel,
    errors,
    load,
    print_json,
    setup_logging,
)
from tidemark.cli.log_argument import Columns, Items, Log, columns_of, open_log
from tidemark.cli.outputs import checkpoint_beside, drop, ready_file, resumable, write_report
from tidemark.cli.train_influence import printed

if TYPE_CHECKING:
    from encoders.training.ranker import Epoch
    from tidemark.training.ranker import RankerOutcome

__all__ = ["ranker"]


def ranker(
    log: Log,
    out: Annotated[
        Path,
        typer.Option(
            help="Where the ranker goes (safetensors); its report and checkpoint go beside it."
        ),
    ],
    config: ConfigFile = None,
    items: Items = None,
    column: Columns = None,
    until: Annotated[
        float,
        typer.Option(help="Share of the log that is learned from; it is judged on what is behind."),
    ] = 0.5,
    choices: Annotated[int, typer.Option(help="At most so many are looked at.", min=10)] = 12_000,
    depth: Annotated[
        int, typer.Option(help="Items that are served by nearness, to be ordered.", min=2)
    ] = 200,
    epochs: Annotated[int, typer.Option(help="At most.", min=1)] = 30,
    patience: Annotated[
        int, typer.Option(help="Epochs without a better one before it stops.", min=1)
    ] = 4,
    seed: Annotated[int, typer.Option(help="Of all that is drawn at random.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint beside the file.")
    ] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Learn to order the items nearest to a profile: candidates?rank=mlp."""
    setup_logging(LogLevel.warning)
    settings = load(config)
    from tidemark.errors import SettingsError  # noqa: PLC0415 # see tidemark.cli.common

    if not 0 < until < 1:
        raise SettingsError(f"--until is {until:g}; expected above 0 and below 1")
    if settings.retrieval.whitening:
        raise SettingsError(
            f"retrieval.whitening is {settings.retrieval.whitening:g}: a ranker is trained on "
            "profiles without it, and a service with both does not start; leave it out"
        )
    named = columns_of(column)
    checkpoint = checkpoint_beside(out, resume=resume)
    ready_file(out)
    from encoders.training.ranker import RankerPlan  # noqa: PLC0415 # loads torch
    from tidemark.compose.parts import action_rules  # noqa: PLC0415
    from tidemark.evaluation.vectors import encode_catalogue  # noqa: PLC0415 # loads numba
    from tidemark.ranker_file import save_ranker  # noqa: PLC0415
    from tidemark.training.ranker import ServingPlan, train_ranker  # noqa: PLC0415

    actions = open_log(log, items, named)
    vectors, encoder_id = encode_catalogue(settings, actions.catalogue)
    with resumable(checkpoint):
        outcome = train_ranker(
            actions,
            vectors,
            encoder_id=encoder_id,
            rules=action_rules(settings),
            policy=settings.policy.policy(),
            plan=ServingPlan(
                depth=depth,
                until=until,
                choices=choices,
                seed=seed,
                mean_removal=settings.retrieval.mean_removal,
            ),
            training=RankerPlan(epochs=epochs, patience=patience, seed=seed),
            checkpoint=checkpoint,
            resume=resume,
            on_epoch=_tell,
        )
    report = _report(outcome, actions.name)
    write_report(out, report)
    if outcome.promoted:
        save_ranker(outcome.ranker, out, actions.name)
    else:
        drop(out)
    drop(checkpoint)
    if as_json:
        print_json(report)
    else:
        _print(outcome, out)
    if not outcome.promoted:
        raise typer.Exit(LIMIT)


def _tell(epoch: Epoch) -> None:
    if errors.is_terminal:
        errors.print(
            f"epoch {epoch.number}: loss {epoch.training:.4f}, validation {epoch.validation:.4f}",
            highlight=False,
        )


def _report(outcome: RankerOutcome, name: str) -> dict[str, object]:
    return {
        "log": name,
        "version": outcome.ranker.version,
        "encoder_id": outcome.ranker.encoder_id,
        "promoted": outcome.promoted,
        "held_out": {
            "choices": outcome.held_out,
            "served": outcome.found,
            "recall": dict(zip(("mlp", "nearest"), outcome.recall, strict=True)),
            "ndcg": dict(zip(("mlp", "nearest"), outcome.ndcg, strict=True)),
            "recall_gain": outcome.recall_gain._asdict(),
            "ndcg_gain": outcome.ndcg_gain._asdict(),
        },
        "trained_on": outcome.trained_on,
        "validated_on": outcome.validated_on,
        "epochs": [one._asdict() for one in outcome.history],
    }


def _print(outcome: RankerOutcome, out: Path) -> None:
    gain, (ours, near) = outcome.recall_gain, outcome.recall
    printed(
        f"held out: recall@10 {ours:.4f} where nearness has {near:.4f}, {gain.mean:+.4f} "
        f"({gain.low:+.4f} to {gain.high:+.4f}), NDCG@10 {outcome.ndcg[0]:.4f} where it has "
        f"{outcome.ndcg[1]:.4f}; {outcome.held_out:,} choices, {outcome.found:.1%} of them served"
    )
    if outcome.promoted:
        printed(
            f"{outcome.ranker.version}, for {outcome.ranker.encoder_id}\nwritten to {out}; use it "
            f'with: retrieval.ranker = "{out}" and candidates?rank=mlp'
        )
    else:
        printed("not promoted: it orders no better than nearness, beyond chance; no ranker written")
