"""``tidemark replay``: makes a next generation of the actions that the topics hold."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from tidemark.cli.common import (
    INTERRUPTED,
    AsJson,
    Bootstrap,
    ConfigFile,
    LogLevel,
    Url,
    console,
    fail,
    load,
    moment,
    print_json_line,
    setup_logging,
    shown,
    terminated,
)

if TYPE_CHECKING:
    from threading import Event

    from tidemark.generation.run import NextGeneration, Progress
    from tidemark.settings import Settings

__all__ = ["replay"]

_STATE = Path(".tidemark")
#: Of more dead letters than this share of the records, something is wrong with the new settings.
_MANY = 0.01
_WATCH_SECONDS = 5.0


def replay(
    generation: Annotated[
        str, typer.Option("--generation", help="What the next generation is to be called.")
    ],
    changes: Annotated[
        Path | None,
        typer.Option(
            help="Settings (TOML) that are to differ: an encoder, a policy. Without it the same "
            "profiles are made anew.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where its settings are written.", show_default="tidemark-GENERATION.toml"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Workers to run on this machine.", min=1)] = 1,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="When caught up, go on until Ctrl-C, and say when it answers."),
    ] = False,
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    state: Annotated[
        Path, typer.Option("--state", help="Folder for its workers' snapshots and logs.")
    ] = _STATE,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Build a next generation beside the live one, of the actions that the topics hold.

    Writes its settings, creates its topics, and runs workers until they have caught up; then says
    how to have it answer. Interrupted, the same command goes on. The live generation is left alone.
    """
    setup_logging(LogLevel.error)
    settings = load(config, kafka={"bootstrap": bootstrap}, client={"url": url})
    from tidemark.generation.run import NextGeneration  # noqa: PLC0415 # loads Kafka clients

    file = out or Path(f"tidemark-{generation}.toml")
    following = NextGeneration(
        settings,
        config=config,
        name=generation,
        changes=changes,
        file=file,
        bootstrap=bootstrap,
        state=state / f"generation-{generation}",
    )
    run = _Run(following, settings, config, as_json=as_json)
    with terminated() as asked:
        try:
            run.run(workers, asked, keep=keep)
        finally:
            following.stop()


class _Run:
    """What the operator is told meanwhile."""

    def __init__(
        self, following: NextGeneration, settings: Settings, config: Path | None, *, as_json: bool
    ) -> None:
        self._following, self._settings, self._config = following, settings, config
        self._as_json = as_json
        self._total = 0

    def run(self, workers: int, asked: Event, *, keep: bool) -> None:
        following = self._following
        resumed = following.prepare()
        self._say_begun(resumed, following.oldest_action_ms())
        following.start(workers)
        with Bar(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), console=console, transient=True,
            disable=self._as_json or not console.is_terminal,
        ) as bar:  # fmt: skip
            task = bar.add_task("replaying", total=None)

            def told(now: Progress) -> None:
                self._total = now.total
                bar.update(task, completed=now.done, total=now.total)
                if self._as_json:
                    print_json_line(_progress(now))

            done = following.catch_up(told, asked.wait)
        if not done:
            raise fail("interrupted; the same command goes on where this one ended", INTERRUPTED)
        self._say_caught_up(following.dead_letters())
        if keep:
            self._keep(asked)

    def _say_begun(self, resumed: bool, oldest_ms: int | None) -> None:
        names = self._following.names
        if self._as_json:
            print_json_line(
                {
                    "event": "begun",
                    "settings": str(self._following.file),
                    "resumed": resumed,
                    "profiles": names.profiles,
                    "item_vectors": names.item_vectors,
                    "dead_letters": names.dead_letters,
                    "group": names.group,
                    "actions_since": oldest_ms,
                }
            )
            return
        _say(
            f"{'going on with' if resumed else 'wrote'} {self._following.file}: topics "
            f"{names.profiles}, {names.item_vectors}, {names.dead_letters}; group {names.group}"
        )
        _say(
            "the topics hold no actions"
            if oldest_ms is None
            else f"the topics hold actions since {moment(oldest_ms)}: who did nothing since then "
            "will have no profile in it"
        )

    def _say_caught_up(self, dead_letters: int) -> None:
        commands = self._commands()
        if self._as_json:
            print_json_line(
                {
                    "event": "caught_up",
                    "records": self._total,
                    "dead_letters": dead_letters,
                    "next": commands,
                }
            )
            return
        read = f"{self._total:,} records read" if self._total else "nothing more was to be read"
        console.print(f"[green]caught up[/]: {read}", highlight=False)
        if dead_letters > _MANY * self._total:
            console.print(
                f"[yellow]{dead_letters:,} of them could not be processed[/]: look before you let"
                " it answer, with: tidemark dead-letters list -c "
                + shown(str(self._following.file)),
                soft_wrap=True, highlight=False,
            )  # fmt: skip
        console.print(
            "\nTo have it answer:\n\n1. Run its workers for good, as many as the live generation "
            "has (here the first finds its snapshot):",
            soft_wrap=True,
        )  # fmt: skip
        _copy(commands["worker"])
        console.print("2. Restart each retrieval service so that it follows both; it changes over "
                      "by itself within seconds of having caught up:", soft_wrap=True)  # fmt: skip
        _copy(commands["retrieval"])
        console.print("3. See what it waits for, and when it has changed over:")
        _copy(commands["watch"])
        console.print(
            "4. Then start the service with the new settings alone, and stop the old workers:"
        )
        _copy(commands["afterwards"])

    def _commands(self) -> dict[str, str]:
        following = self._following
        file = shlex.quote(str(following.file))
        now = "" if self._config is None else f" -c {shlex.quote(str(self._config))}"
        address = ""
        if "bootstrap" not in self._settings.kafka.model_fields_set:
            address = f" --bootstrap {following.settings.kafka.bootstrap}"
        return {
            "worker": f"tidemark worker -c {file} --state "
            f"{shlex.quote(str(following.worker_state(0)))}",
            "retrieval": f"tidemark retrieval{now}{address} --next {file}",
            "watch": "tidemark retrieval inspect",
            "afterwards": f"tidemark retrieval -c {file}",
        }

    def _keep(self, asked: Event) -> None:
        """Run on; say when the service has changed over."""
        from tidemark.client import RetrievalClient, open_client  # noqa: PLC0415 # loads httpx
        from tidemark.errors import RetrievalError  # noqa: PLC0415

        if not self._as_json:
            _say("its workers go on until Ctrl-C")
        said = ""
        with open_client(self._settings, timeout=10.0) as http:
            while True:
                self._following.check()
                try:
                    status = RetrievalClient(http).get("/v1/status", scope="admin")
                except RetrievalError as error:
                    answers, now = False, str(error)
                else:
                    answers, now = self._service(status)
                if now != said:
                    said = now
                    self._tell_service(now, answers)
                if asked.wait(_WATCH_SECONDS):
                    return

    def _service(self, status: dict[str, Any]) -> tuple[bool, str]:
        """Whether the service answers from this generation, and what is to be said of it."""
        mine = self._following.names.profiles
        if status["generation"] == mine:
            return True, "the service answers from this generation: go on with step 4"
        upcoming = status["upcoming"]
        if upcoming is None or upcoming["generation"] != mine:
            return False, "the service does not follow this generation yet: see step 2"
        return False, f"the service waits: {upcoming['waiting_for']}"

    def _tell_service(self, now: str, answers: bool) -> None:
        if self._as_json:
            print_json_line({"event": "service", "answers": answers, "message": now})
        else:
            _say(now)


def _progress(now: Progress) -> dict[str, Any]:
    rate = now.done / now.seconds if now.seconds else 0.0
    return {
        "event": "progress",
        "done": now.done,
        "total": now.total,
        "seconds": round(now.seconds, 1),
        "records_per_second": round(rate, 1),
    }


def _say(what: str) -> None:
    console.print(f"[dim]· {shown(what)}[/]", highlight=False, soft_wrap=True)


def _copy(command: str) -> None:
    """A line to be copied is never broken."""
    console.print(f"\n    {command}\n", markup=False, highlight=False, soft_wrap=True)
