"""``tidemark train influence``: learns what each kind of action foretells."""

from __future__ import annotations

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
    seconds,
    setup_logging,
)
from tidemark.cli.log_argument import Columns, Items, Log, columns_of, open_log
from tidemark.cli.outputs import checkpoint_beside, drop, ready_file, resumable, write_report

if TYPE_CHECKING:
    from tidemark.evaluation.log import ActionLog
    from tidemark.settings import Settings
    from tidemark.training.influence import Outcome

__all__ = ["influence", "printed"]


def influence(
    log: Log,
    out: Annotated[
        Path, typer.Option(help="Where the model goes (JSON); report and checkpoint go beside it.")
    ],
    config: ConfigFile = None,
    items: Items = None,
    column: Columns = None,
    until: Annotated[
        float,
        typer.Option(help="Share of the log that is learned from; it is judged on what is behind."),
    ] = 0.5,
    choices: Annotated[int, typer.Option(help="At most so many are learned from.", min=10)] = 4_000,
    rounds: Annotated[
        int, typer.Option(help="Of the bootstrap that gives the weights' intervals.", min=2)
    ] = 40,
    seed: Annotated[int, typer.Option(help="Of all that is drawn at random.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint beside the file.")
    ] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Learn how much each kind of action foretells what follows: the policy influence."""
    setup_logging(LogLevel.warning)
    settings = load(config)
    from tidemark.errors import EvaluationError, SettingsError  # noqa: PLC0415 # see common

    if not 0 < until < 1:
        raise SettingsError(f"--until is {until:g}; expected above 0 and below 1")
    named = columns_of(column)
    checkpoint = checkpoint_beside(out, resume=resume)
    ready_file(out)
    from store.influence import save_influence  # noqa: PLC0415 # see tidemark.cli.common
    from tidemark.compose.parts import action_rules  # noqa: PLC0415
    from tidemark.evaluation.vectors import encode_catalogue  # noqa: PLC0415 # loads numba
    from tidemark.training.influence import Plan, train_influence  # noqa: PLC0415 # loads torch

    actions = open_log(log, items, named)
    vectors, encoder_id = encode_catalogue(settings, actions.catalogue)
    with resumable(checkpoint):
        outcome = train_influence(
            actions,
            vectors,
            encoder_id=encoder_id,
            rules=action_rules(settings),
            policy=settings.policy.policy(),
            feelings=_feelings(actions, settings),
            plan=Plan(
                until=until,
                choices=choices,
                rounds=rounds,
                seed=seed,
                mean_removal=settings.retrieval.mean_removal,
                whitening=settings.retrieval.whitening,
            ),
            checkpoint=checkpoint,
            resume=resume,
            on_fit=_tell,
        )
    report = _report(outcome, actions.name)
    write_report(out, report)
    if outcome.promoted:
        try:
            save_influence(outcome.model, out)
        except OSError as error:
            raise EvaluationError(f"{out} cannot be written: {error}") from error
    else:
        drop(out)
    drop(checkpoint)
    if as_json:
        print_json(report)
    else:
        _print(outcome, out)
    if not outcome.promoted:
        raise typer.Exit(LIMIT)


def _feelings(log: ActionLog, settings: Settings) -> dict[int, float]:
    """How users' words feel, of the actions whose strength they decide."""
    felt = {
        code
        for code, name in enumerate(log.action_names)
        if name in settings.actions and settings.actions[name].felt
    }
    places = [
        place
        for place, words in sorted(log.texts.items())
        if words and log.actions[place] in felt and log.ratings[place] != log.ratings[place]
    ]
    if not places:
        return {}
    from tidemark.compose.parts import build_encoder, build_feeling  # noqa: PLC0415

    encoder = build_encoder(settings.encoder)
    feeling = build_feeling(settings, encoder)
    if feeling is None:
        return {}
    read = [place for place in places if feeling.reads(log.texts[place])]
    scores = feeling.score(encoder.encode([log.texts[place] for place in read]))
    return dict(zip(read, scores.tolist(), strict=True))


def _tell(name: str, half_life: float, loss: float) -> None:
    if errors.is_terminal:
        errors.print(f"{name}, half-life {seconds(half_life)}: {loss:.4f} nats", highlight=False)


def _report(outcome: Outcome, name: str) -> dict[str, object]:
    return {
        "log": name,
        "version": outcome.model.version,
        "encoder_id": outcome.model.encoder,
        "half_life_seconds": outcome.model.half_life_seconds,
        "promoted": outcome.promoted,
        "weights": [one._asdict() for one in outcome.weights],
        "held_out": [
            {
                **one._asdict(),
                "gain": None if one.gain is None else one.gain._asdict(),
                "recall_gain": None if one.recall_gain is None else one.recall_gain._asdict(),
            }
            for one in outcome.judged
        ],
        "choices": {
            "trained_on": outcome.trained_on,
            "validated_on": outcome.validated_on,
            "held_out": outcome.held_out,
        },
        "losses": {"training": outcome.training, "validation": outcome.validation},
    }


def printed(line: str) -> None:
    """A line as it is."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _print(outcome: Outcome, out: Path) -> None:
    from rich.table import Table  # noqa: PLC0415 # see tidemark.cli.common

    weights = Table("action's", "value", "actions", "weight", "95%", "used")
    for one in outcome.weights:
        weights.add_row(
            one.group, one.value, f"{one.actions:,}", f"{one.weight:.2f}",
            f"{one.low:.2f} to {one.high:.2f}", "yes" if one.served else "",
        )  # fmt: skip
    console.print(weights)
    found = Table("weights", "half-life", "recall@10", "NDCG", "the model's gain in NDCG, 95%")
    for judged in outcome.judged:
        half_life, gain = judged.half_life_seconds, judged.gain
        found.add_row(
            judged.name, "" if half_life is None else seconds(half_life),
            f"{judged.recall:.4f}", f"{judged.ndcg:.4f}",
            "" if gain is None else f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})",
        )  # fmt: skip
    console.print(found)
    if outcome.promoted:
        printed(
            f"{outcome.model.version}, judged on {outcome.held_out:,} choices\nwritten to {out}; "
            f'use it with: policy.name = "influence", policy.influence = "{out}", in a new '
            "generation: tidemark replay"
        )
    else:
        printed(
            f"not promoted: on {outcome.held_out:,} held-out choices it does not find more, beyond "
            "chance, than each of the others; no model was written"
        )
