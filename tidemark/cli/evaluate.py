"""``tidemark evaluate``: what would have been retrieved, on a log of one's own."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

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
from tidemark.cli.log_argument import Columns, Items, Log, columns_of, open_log
from tidemark.cli.outputs import ready_folder
from tidemark.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

    from store.policies import Policy
    from tidemark.evaluation.log import ActionLog
    from tidemark.evaluation.moments import Moments
    from tidemark.evaluation.report import Report
    from tidemark.settings import Settings

__all__ = ["evaluate"]

_STATE = Path(".tidemark")


def evaluate(
    log: Log,
    items: Items = None,
    column: Columns = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Evaluate this one; may be repeated.",
            show_default="all untrained ones and tidemark",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="The one that others are compared with.", show_default="tidemark"),
    ] = None,
    half_life: Annotated[
        list[float] | None,
        typer.Option(
            help="Days, of decayed popularity; may be repeated.", show_default="0.5, 4, 30, 365"
        ),
    ] = None,
    sample: Annotated[
        int, typer.Option(help="So many actions are scored, drawn by the seed; 0 for all.", min=0)
    ] = 6_000,
    seed: Annotated[int, typer.Option(help="Of what is drawn, and of the intervals.", min=0)] = 0,
    begin: Annotated[
        float, typer.Option("--from", help="Score from here on, as a share of the log's actions.")
    ] = 0.5,
    until: Annotated[float, typer.Option(help="Score up to here.")] = 1.0,
    positive: Annotated[
        float, typer.Option(help="Least strength of an action that is scored.")
    ] = 0.5,
    history: Annotated[
        int, typer.Option(help="Earlier actions that a user must have to be scored.", min=0)
    ] = 3,
    corrupt: Annotated[
        str | None,
        typer.Option(
            metavar="KIND:SHARE",
            help="Spoil the log by the seed, and score what was left: random (actions on items "
            "drawn at random), random-users (all of some users are), without-users (these users "
            "are missing), bot (one floods an item); with the share of the actions, 0.1 unless "
            "said.",
        ),
    ] = None,
    ablations: Annotated[
        bool, typer.Option("--ablations", help="Also the system without each of its parts.")
    ] = False,
    trained: Annotated[
        bool, typer.Option("--trained", help="Also SASRec and GRU4Rec; a quarter of an hour.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report.json and charts.", show_default=False, file_okay=False
        ),
    ] = None,
    state: Annotated[Path, typer.Option(help="Folder with the cache of vectors.")] = _STATE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Replay a log in time order, and rank at each moment what came next.

    Before each scored action every recommender has learned all actions before it, and none behind.
    """
    setup_logging(LogLevel.warning)
    settings = load(config)
    policy, retrieval = _policy(settings), settings.retrieval
    columns = columns_of(column)
    from tidemark.compose.parts import action_rules  # noqa: PLC0415 # see tidemark.cli.common
    from tidemark.evaluation.charts import draw, require_matplotlib  # noqa: PLC0415
    from tidemark.evaluation.moments import Choice, choose  # noqa: PLC0415
    from tidemark.evaluation.registry import Part, entries, half_lives_of, recommenders  # noqa: PLC0415
    from tidemark.evaluation.replay import replay  # noqa: PLC0415
    from tidemark.evaluation.report import make_report, require_reference  # noqa: PLC0415

    half_lives = half_lives_of(half_life or (), only or ())
    if out is not None:
        require_matplotlib()
    choice = Choice(
        positive=positive, history=history, begin=begin, until=until, sample=sample or None,
        seed=seed,
    )  # fmt: skip
    # With JSON, the report alone is on standard output.
    told = errors if as_json else console
    read = open_log(log, items, columns)
    if out is not None:
        ready_folder(out)
    rules = action_rules(settings)
    moments = choose(read, rules, choice)
    if corrupt is not None:
        read, moments = _spoilt(read, moments, corrupt, seed)
    known = entries(
        read, rules, _vectors(settings, read, state, told), positive=positive,
        half_lives=half_lives, seed=seed,
        policy=policy, mean_removal=retrieval.mean_removal, whitening=retrieval.whitening,
    )  # fmt: skip
    parts = {Part.always}
    if ablations:
        parts.add(Part.ablations)
    if trained:
        parts.add(Part.trained)
    wanted = recommenders(known, only or (), parts)
    require_reference([one.name for one in wanted], reference)  # not at the end
    with _progress(told) as progress:
        task = progress.add_task("replaying", total=int(moments.places[-1]))
        replayed = replay(read, wanted, moments, lambda done: progress.update(task, completed=done))
    report = make_report(
        read, choice, moments, replayed, {one.name: one.kind.value for one in known}, reference,
        policy=policy, mean_removal=retrieval.mean_removal, whitening=retrieval.whitening,
    )  # fmt: skip
    written = [] if out is None else [_write(report, out), *draw(report, out)]
    if as_json:
        import msgspec  # noqa: PLC0415 # see tidemark.cli.common

        print_json(msgspec.to_builtins(report))
        return
    from tidemark.cli.evaluation_tables import tables  # noqa: PLC0415

    for part in tables(report):
        console.print(part)
    for path in written:
        console.print(f"written: {path}", markup=False, highlight=False, soft_wrap=True)


def _policy(settings: Settings) -> Policy:
    """The settings', where a log can be folded by it here."""
    if settings.policy.name == "influence":
        raise SettingsError(
            "policy.name is influence, whose weights depend on what is repeated and how words "
            "feel; expected another policy here: it is judged by tidemark train influence"
        )
    return settings.policy.policy()


def _spoilt(log: ActionLog, moments: Moments, said: str, seed: int) -> tuple[ActionLog, Moments]:
    """The log spoilt as said, under a name that says so, and the moments that are left."""
    from tidemark.evaluation.corruption import corrupted, moved  # noqa: PLC0415 # as above

    spoilt, origin = corrupted(log, said, seed)
    left, _ = moved(moments, origin)
    return replace(spoilt, name=f"{log.name} ({said})"), left


def _vectors(
    settings: Settings, log: ActionLog, state: Path, told: Console
) -> Callable[[], NDArray[np.float32]]:
    """Encodes the catalogue when it is first asked for it."""

    @functools.cache
    def vectors() -> NDArray[np.float32]:
        from tidemark.evaluation.vectors import encode_catalogue  # noqa: PLC0415 # loads torch

        with _progress(told) as progress:
            task = progress.add_task("encoding items", total=len(log.catalogue))
            found, _ = encode_catalogue(
                settings, log.catalogue, state / "vectors",
                lambda done: progress.update(task, completed=done),
            )  # fmt: skip
            return found

    return vectors


def _progress(told: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=told, transient=True, disable=not told.is_terminal,
    )  # fmt: skip


def _write(report: Report, folder: Path) -> Path:
    """The report as JSON, in a folder that is made.

    Raises:
        EvaluationError: it cannot be written.
    """
    import msgspec  # noqa: PLC0415 # see tidemark.cli.common

    from tidemark.errors import EvaluationError  # noqa: PLC0415

    path = folder / "report.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    except OSError as error:
        raise EvaluationError(f"{path} cannot be written: {error}") from error
    return path
