"""``tidemark demo`` and ``tidemark up``: everything on this machine."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tidemark.cli.bars import waiting
from tidemark.cli.common import (
    AsJson,
    Bootstrap,
    ConfigFile,
    StateFolder,
    console,
    errors,
    print_json,
    print_json_line,
    terminated,
)

if TYPE_CHECKING:
    from tidemark.demo import DemoReport, UserView
    from tidemark.local import LocalSystem

__all__ = ["demo", "up"]

_DEFAULT_STATE = Path(".tidemark")


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running.")] = False,
    limit: Annotated[
        int | None, typer.Option(help="Replay only the first ratings.", min=1_000)
    ] = None,
    config: ConfigFile = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder for the logs.", show_default="a temporary one")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay MovieLens 100K's ratings through an embedded broker, and show what came of it."""
    from tidemark.cli.report import print_report  # noqa: PLC0415 # load a Kafka client
    from tidemark.demo import Replay  # noqa: PLC0415
    from tidemark.local import LocalSystem  # noqa: PLC0415
    from tidemark.movielens import find_movielens, read_films, read_ratings  # noqa: PLC0415

    data = find_movielens()
    folder = state or Path(tempfile.mkdtemp(prefix="tidemark-demo-"))
    step = (lambda _: None) if as_json else _step
    try:
        with (
            terminated() as asked,
            LocalSystem(
                folder,
                config=config,
                port=0,
                embedded=True,
                on_step=step,
                interrupted=asked.is_set,
            ) as system,
        ):
            films, ratings = read_films(data), read_ratings(data)[:limit]
            step(f"loading the catalogue: {len(films):,} films")
            with _progress(shown=not as_json) as progress:
                task = progress.add_task("replaying ratings", total=len(ratings), start=False)

                replay = Replay(
                    system,
                    films,
                    ratings,
                    on_progress=lambda done: progress.update(task, completed=done),
                )
                catalogue_seconds = replay.load_catalogue()
                progress.start_task(task)
                report: DemoReport = replay.run(catalogue_seconds)
            if as_json:
                print_json(_report(report))
            else:
                print_report(report)
            if keep:
                _print_urls(system, as_json=as_json)
                system.watch(asked.wait)
            step("stopping")
    except Exception:
        if state is None:
            errors.print(f"the logs are in {folder}", highlight=False, soft_wrap=True)
        raise
    if state is None:
        shutil.rmtree(folder)


def _report(report: DemoReport) -> dict[str, object]:
    found = dataclasses.asdict(report) | {"actions_per_second": report.rate}
    found["users"] = [
        {"before": _user(before), "after": _user(after)} for before, after in report.users
    ]
    return found


def _user(seen: UserView) -> dict[str, object]:
    return {
        "user_id": seen.user_id,
        "actions": seen.actions,
        "candidates": [{"title": title, "score": score} for title, score in seen.candidates],
        "neighbours": [{"user_id": user, "score": score} for user, score in seen.neighbours],
    }


def up(
    bootstrap: Bootstrap = None,
    config: ConfigFile = None,
    port: Annotated[
        int | None,
        typer.Option(help="Of the retrieval service; 0: a free one.", show_default=False),
    ] = None,
    state: StateFolder = _DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Run a worker and the retrieval service for your own data, until Ctrl-C.

    On the broker named by --bootstrap or the settings; or Apache Kafka started from KAFKA_HOME,
    its data kept in the state folder; or else the embedded broker, in memory. A worker or service
    that ends by itself is started again.
    """
    from tidemark.local import LocalSystem  # noqa: PLC0415 # loads a Kafka client

    with (
        terminated() as asked,
        waiting(as_json=as_json) as on_waiting,
        LocalSystem(
            state,
            bootstrap=bootstrap,
            config=config,
            port=port,
            on_waiting=on_waiting,
            on_step=(lambda what: print_json_line({"event": "step", "message": what}))
            if as_json
            else _step,
            interrupted=asked.is_set,
        ) as system,
    ):
        if system.broker_kind == "embedded" and not as_json:
            console.print(
                "[yellow]The embedded broker keeps everything in memory: it is gone when this "
                "stops.[/]\nSet KAFKA_HOME or name a broker with --bootstrap to keep your data."
            )
        _print_urls(system, as_json=as_json)
        system.watch(asked.wait)
        if not as_json:
            _step("stopping")


def _step(what: str) -> None:
    console.print(f"[dim]· {what}[/]", highlight=False)


def _progress(*, shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), console=console, disable=not shown,
    )  # fmt: skip


def _print_urls(system: LocalSystem, *, as_json: bool) -> None:
    if as_json:
        print_json_line(
            {
                "event": "ready",
                "bootstrap": system.bootstrap,
                "broker": system.broker_kind,
                "retrieval": system.retrieval_url,
                "worker": system.worker_url,
                "logs": str(system.folder),
            }
        )
        return
    console.print(
        f"\n  broker      {system.bootstrap}\n"
        f"  retrieval   {system.retrieval_url}/docs\n"
        f"  dashboard   {system.retrieval_url}/dashboard\n"
        f"  status      {system.retrieval_url}/v1/status\n"
        f"  metrics     {system.retrieval_url}/metrics  {system.worker_url}/metrics\n"
        f"  logs        {system.folder}\n\n"
        f"Publish: tidemark publish FILE --bootstrap {system.bootstrap}\n"
        f"Query: curl '{system.retrieval_url}/v1/users/USER/candidates?k=5'\n"
        f"Watch: tidemark top --url {system.retrieval_url} --worker {system.worker_url}\n"
        "Ctrl-C stops.",
        highlight=False,
        soft_wrap=True,
    )
