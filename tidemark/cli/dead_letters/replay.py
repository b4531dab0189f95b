"""``tidemark dead-letters replay``: publishes letters to where they came from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from tidemark.cli.bars import counted
from tidemark.cli.common import (
    WRONG_USAGE,
    AsJson,
    Bootstrap,
    ConfigFile,
    LogLevel,
    confirm,
    console,
    fail,
    load,
    print_json,
    setup_logging,
    shown,
)
from tidemark.cli.dead_letters.common import (
    ReasonOption,
    SinceOption,
    SourceOption,
    letter_filter,
    parse_place,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.dead_letter_topic import LetterPublisher
    from streams.letters import DeadLetter, LetterFilter, ReplayPlan, Source
    from tidemark.settings import Settings

__all__ = ["replay"]

#: So many are on their way at most.
_IN_FLIGHT = 1_000
_WHY = {
    "replayed": "replayed",
    "repeated": "left out: another letter of the same record",
    "already": "left out: replayed before; again with --again",
    "shortened": "refused: only the beginning of the value was kept",
    "no_source": "refused: the letter does not say where it came from",
    "other_topic": "refused: from a topic that the settings do not name",
    "catalogue": "refused: an item; publish it anew, or name its topic by --source",
}


def replay(
    places: Annotated[
        list[str] | None,
        typer.Argument(metavar="PARTITION:OFFSET", help="These letters; else by filter."),
    ] = None,
    reason: ReasonOption = None,
    source: SourceOption = None,
    since: SinceOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All letters.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also what was replayed before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Publish nothing, say what.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """Publish letters as they came, to the topic and partition that they came from.

    For what could be processed now: an item that was missing is there, a limit was raised. Each
    source record is replayed once, with a header replayed-from, and what was replayed is marked in
    the topic of dead letters. What still cannot be processed becomes a letter again.
    """
    setup_logging(LogLevel.error)
    if not (places or reason or source or since or everything):
        raise fail(
            "say which letters: PARTITION:OFFSET, --reason, --source, --since or --all", WRONG_USAGE
        )
    settings = load(config, kafka={"bootstrap": bootstrap})
    chosen = [parse_place(one) for one in places or ()]
    wanted = letter_filter(reason, source, since, chosen)
    items_too = settings.topics.items in (source or ()) or bool(chosen)
    run = _Run(settings, wanted, items_too=items_too, again=again, as_json=as_json)
    # What is replayed now may become a letter again: those are not read.
    planned = asyncio.run(run.survey())
    count = planned.total(_replayed())
    if not as_json:
        _print(planned, "would be replayed" if dry_run else "to be replayed")
    if not count or dry_run:
        if as_json:
            print_json(_plain(planned, 0, dry_run=dry_run))
        if not count and chosen:
            raise fail("nothing was replayed: see above")
        return
    confirm(f"Publish {count:,} letters again", yes=yes)
    acknowledged = asyncio.run(run.publish(count))
    if as_json:
        print_json(_plain(planned, acknowledged, dry_run=False))
        return
    console.print(
        f"replayed {acknowledged:,} letters, all acknowledged. What becomes of them: tidemark lag, "
        "and after that: tidemark dead-letters list --since 5m",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def _replayed() -> Any:
    from streams.letters import Verdict  # noqa: PLC0415 # see tidemark.cli.common

    return Verdict.REPLAYED


class _Run:
    """One replay: a look at all letters, and then the same letters published."""

    def __init__(
        self,
        settings: Settings,
        wanted: LetterFilter,
        *,
        items_too: bool,
        again: bool,
        as_json: bool,
    ) -> None:
        self._settings, self._wanted = settings, wanted
        self._topics = {one.name for one in settings.topics.actions}
        if items_too:
            self._topics.add(settings.topics.items)
        self._until: dict[int, int] = {}
        self._again, self._as_json = again, as_json
        self._replayed: set[Source] = set()

    def _plan(self) -> ReplayPlan:
        from streams.letters import ReplayPlan  # noqa: PLC0415 # see tidemark.cli.common

        return ReplayPlan(self._topics, self._settings.topics.items, self._replayed)

    def _letters(
        self,
        until: dict[int, int] | None,
        marks: set[Source] | None = None,
        on_progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Any:
        from streams.dead_letter_topic import read_letters  # noqa: PLC0415 # a Kafka client

        return read_letters(
            self._settings.kafka.bootstrap,
            self._settings.topics.dead_letters,
            security=self._settings.kafka.security.security(),
            until=until,
            replayed=marks,
            on_progress=on_progress,
        )

    async def survey(self) -> ReplayPlan:
        """What would become of each letter that is meant."""
        if not self._again:
            # A mark comes after its letter.
            with counted("looking for marks of replays", as_json=self._as_json) as progress:
                async for _ in self._letters(None, self._replayed, progress):
                    pass
        plan = self._plan()
        with counted("reading dead letters", as_json=self._as_json) as progress:
            async for letter in self._letters(None, on_progress=progress):
                if self._wanted.takes(letter):
                    plan.judge(letter)
                    self._until[letter.partition] = letter.offset + 1
        return plan

    async def publish(self, count: int) -> int:
        """Publish what `survey` found; how many were acknowledged.

        Raises:
            typer.Exit: not all were.
        """
        from streams.dead_letter_topic import LetterPublisher  # noqa: PLC0415 # a Kafka client
        from streams.errors import PublishError  # noqa: PLC0415

        plan = self._plan()
        kafka = self._settings.kafka
        with (
            LetterPublisher(kafka.bootstrap, security=kafka.security.security()) as publisher,
            counted("replaying", as_json=self._as_json) as progress,
        ):
            done, place = 0, ""
            progress(done, count)
            sent: list[DeadLetter] = []
            try:
                async for letter in self._letters(self._until):
                    record = plan.judge(letter) if self._wanted.takes(letter) else None
                    if record is None:
                        continue
                    place = f"{letter.partition}:{letter.offset}"
                    publisher.send(record)
                    sent.append(letter)
                    if len(sent) == _IN_FLIGHT:
                        done += _settle(publisher, sent)
                        progress(done, count)
                done += _settle(publisher, sent)
            except PublishError as error:
                raise fail(
                    f"{error}; {done:,} of {count:,} letters were replayed and marked so, the last "
                    f"one tried was {place}. Of those after the {done:,} some may have been sent, "
                    "and would be again"
                ) from error
            return done


def _settle(publisher: LetterPublisher, sent: list[DeadLetter]) -> int:
    """Wait until these are acknowledged, then mark them as replayed; how many there were."""
    from streams.letters import mark_of  # noqa: PLC0415 # see tidemark.cli.common

    publisher.flush()
    for letter in sent:
        mark = mark_of(letter)
        if mark is not None:
            publisher.send(mark)
    publisher.flush()
    count = len(sent)
    sent.clear()
    return count


def _print(plan: ReplayPlan, word: str) -> None:
    if not plan.counts:
        console.print("no dead letters of this kind")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("letters", justify="right")
    table.add_column("reason")
    table.add_column("what becomes of them", overflow="fold")
    for (verdict, reason), count in sorted(plan.counts.items()):
        what = word if verdict is _replayed() else _WHY[verdict.value]
        table.add_row(f"{count:,}", shown(reason or "?"), what)
    console.print(table, highlight=False)


def _plain(plan: ReplayPlan, acknowledged: int, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "replayed": acknowledged,
        "letters": [
            {"verdict": verdict.value, "reason": reason, "count": count}
            for (verdict, reason), count in sorted(plan.counts.items())
        ],
    }
