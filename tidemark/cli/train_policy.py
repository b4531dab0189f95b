"""``tidemark train policy``: chooses how long a user's past counts."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 # typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Any

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
from tidemark.cli.outputs import drop, ready_file, write_report
from tidemark.cli.train_influence import printed

if TYPE_CHECKING:
    from store.policies import Policy
    from tidemark.training.policy import Found, Tried

__all__ = ["policy"]

#: Of all that was tried, so many are shown; the report has them all.
_SHOWN = 10
_PARAMETERS = {
    "constant": ("k",),
    "decay": ("half_life_seconds",),
    "adaptive": ("alpha", "k_min", "k_max"),
}


def policy(
    log: Log,
    out: Annotated[
        Path,
        typer.Option(help="Where the settings that differ go (TOML); the report goes beside it."),
    ],
    config: ConfigFile = None,
    items: Items = None,
    column: Columns = None,
    until: Annotated[
        float,
        typer.Option(help="Share of the log that is chosen by; it is judged on what is behind."),
    ] = 0.5,
    choices: Annotated[
        int, typer.Option(help="At most so many are looked at in each part.", min=10)
    ] = 4_000,
    seed: Annotated[int, typer.Option(help="Of all that is drawn at random.")] = 0,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Choose how long a user's past counts: the policy, and its parameters."""
    setup_logging(LogLevel.warning)
    settings = load(config)
    from tidemark.errors import EvaluationError, SettingsError  # noqa: PLC0415 # see common
    from tidemark.training.policy import Plan, tune_policy  # noqa: PLC0415 # loads numba

    plan = Plan(
        until=until,
        choices=choices,
        seed=seed,
        mean_removal=settings.retrieval.mean_removal,
        whitening=settings.retrieval.whitening,
    )
    if not plan.begin < until < 1:
        raise SettingsError(f"--until is {until:g}; expected above {plan.begin:g} and below 1")
    named = columns_of(column)
    ready_file(out)
    from tidemark.compose.parts import action_rules  # noqa: PLC0415 # see tidemark.cli.common
    from tidemark.evaluation.vectors import encode_catalogue  # noqa: PLC0415
    from tidemark.generation.toml_text import toml_text  # noqa: PLC0415

    actions = open_log(log, items, named)
    vectors, encoder_id = encode_catalogue(settings, actions.catalogue)
    found = tune_policy(
        actions, vectors, rules=action_rules(settings), now=settings.policy.policy(), plan=plan,
        on_tried=_tell,
    )  # fmt: skip
    report = _report(found, actions.name, encoder_id)
    write_report(out, report)
    if found.promoted:
        try:
            out.write_text(toml_text({"policy": _settings(found.best)}), encoding="utf-8")
        except OSError as error:
            raise EvaluationError(f"{out} cannot be written: {error}") from error
    else:
        drop(out)
    if as_json:
        print_json(report)
    else:
        _print(found, out)
    if not found.promoted:
        raise typer.Exit(LIMIT)


def _tell(one: Tried) -> None:
    if errors.is_terminal:
        errors.print(f"{one.policy.identity}: NDCG {one.ndcg:.4f}", highlight=False)


def _settings(one: Policy) -> dict[str, Any]:
    return {"name": one.name, **{name: getattr(one, name) for name in _PARAMETERS[one.name]}}


def _report(found: Found, name: str, encoder_id: str) -> dict[str, object]:
    return {
        "log": name,
        "encoder_id": encoder_id,
        "promoted": found.promoted,
        "policy": _settings(found.best),
        "now": _settings(found.now),
        "tried": [
            {**_settings(one.policy), "recall": one.recall, "ndcg": one.ndcg} for one in found.tried
        ],
        "held_out": {
            "choices": found.held_out,
            "recall": dict(zip(("policy", "now"), found.recall, strict=True)),
            "ndcg": dict(zip(("policy", "now"), found.ndcg, strict=True)),
            "recall_gain": found.recall_gain._asdict(),
            "ndcg_gain": found.ndcg_gain._asdict(),
        },
        "chosen_by": found.chosen_by,
    }


def _print(found: Found, out: Path) -> None:
    from rich.table import Table  # noqa: PLC0415 # see tidemark.cli.common

    table = Table("policy", "recall@10", "NDCG")
    for place, one in enumerate(found.tried):
        if place < _SHOWN or one.policy == found.now:
            said = " (now)" if one.policy == found.now else ""
            table.add_row(f"{one.policy.identity}{said}", f"{one.recall:.4f}", f"{one.ndcg:.4f}")
    console.print(table)
    if found.best == found.now:
        printed(f"none of {len(found.tried)} did better than the settings' own: {out} not written")
        return
    gain, other = found.ndcg_gain, found.recall_gain
    printed(
        f"held out, {found.held_out:,} choices: {found.best.identity} has NDCG {found.ndcg[0]:.4f} "
        f"where {found.now.identity} has {found.ndcg[1]:.4f}, {gain.mean:+.4f} "
        f"({gain.low:+.4f} to {gain.high:+.4f}); recall@10 {found.recall[0]:.4f} where it has "
        f"{found.recall[1]:.4f}, {other.mean:+.4f} ({other.low:+.4f} to {other.high:+.4f})"
    )
    if found.promoted:
        printed(
            f"written to {out}; use it in a new generation: tidemark replay --generation 2 "
            f"--changes {out}"
        )
    else:
        printed("not promoted: it finds no more, beyond chance; no settings were written")
