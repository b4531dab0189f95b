"""A soak from its start to its verdict."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import msgspec
import numpy as np

from streams.schema import Action
from tidemark.compose.parts import (
    action_rules,
    build_encoder,
    build_redactor,
    build_wording,
)
from tidemark.errors import FaultMissedError
from tidemark.soak.compaction import compact
from tidemark.soak.control import REFUSED
from tidemark.soak.faults import LAG_MS, inject
from tidemark.soak.load import Load
from tidemark.soak.plan import make_plan
from tidemark.soak.replay import Expected, Logged, replay
from tidemark.soak.system import SoakSystem
from tidemark.soak.verdict import IndexRow, Outcome, Verdict, judge
from tidemark.soak.watch import read_profiles, read_topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence
    from pathlib import Path

    from store.profile import ProfileState
    from store.record import Record
    from tidemark.soak.log import SoakLog
    from tidemark.soak.plan import Fault, FaultKind

__all__ = ["Happened", "SoakOptions", "SoakReport", "conclude", "run_soak"]

_REPAIR_SECONDS = 15.0
_QUESTIONS_AT_ONCE = 8
#: Of a fault that does not come about; then it counts as missed.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """What to run.

    Attributes:
        home: a Kafka 4 installation.
        folder: for data and logs.
        kills: how many faults.
        seed: of the plan.
        rate: actions a second.
        workers: that run all the time.
        brokers: 1, or 3.
        skip: kinds of fault to leave out.
    """

    home: Path
    folder: Path
    kills: int
    seed: int
    rate: float = 200.0
    workers: int = 2
    brokers: int = 1
    skip: Collection[FaultKind] = ()


class Happened(msgspec.Struct, frozen=True):
    """A fault, and what came of it.

    Attributes:
        seconds: since the load began.
        missed: it did not come about, however often it was tried.
    """

    number: int
    kind: str
    seconds: float
    what: str
    missed: bool = False


class SoakReport(msgspec.Struct, kw_only=True):
    """All that a run can tell.

    Attributes:
        seconds: from the first action to the verdict.
        late_states: states that came behind newer ones of their user.
        compacted: whether the last compaction left each key once.
        exits: processes that ended by themselves, and workers that left otherwise than with exit
            status 0 within ten seconds of SIGTERM.
    """

    seed: int
    rate: float
    workers: int
    brokers: int
    seconds: float
    happened: list[Happened]
    late_states: int
    compacted: bool
    exits: list[str]
    verdict: Verdict

    @property
    def clean(self) -> bool:
        """Nothing was wrong, all could be looked at, and what ended was ended, and ended well."""
        all_came = not any(one.missed for one in self.happened)
        return self.verdict.clean and self.compacted and all_came and not self.exits

    def faults(self) -> dict[str, int]:
        """How many of each kind came about."""
        return dict(Counter(one.kind for one in self.happened if not one.missed))


async def run_soak(
    options: SoakOptions,
    log: SoakLog,
    *,
    on_step: Callable[[str], None] = lambda _: None,
    on_fault: Callable[[Happened], None] = lambda _: None,
) -> SoakReport:
    """Run the plan under load, and judge what is left.

    Raises:
        TidemarkError, StreamsError, KafkaError: the test itself could not be run to its end.
    """
    plan = make_plan(
        options.kills,
        options.seed,
        workers=options.workers,
        brokers=options.brokers,
        skip=options.skip,
    )
    on_step("starting Kafka, workers and retrieval")
    async with SoakSystem(
        options.home, options.folder, log, options.workers, options.brokers
    ) as system:
        started = time.monotonic()
        happened: list[Happened] = []
        with Load(system.bootstrap, system.topic, log.actions(), options.rate) as load:
            on_step(f"{options.rate:g} actions a second, {len(plan)} faults")
            async for one in _harm(system, load, plan, started):
                happened.append(one)
                on_fault(one)
            system.heal()
            on_step("the load ends; waiting until all is committed")
            await asyncio.to_thread(load.finish)
        verdict, compacted = await conclude(system, load.sent)
        await system.stop_workers()
        return SoakReport(
            seed=options.seed,
            rate=options.rate,
            workers=options.workers,
            brokers=options.brokers,
            seconds=round(time.monotonic() - started, 1),
            happened=happened,
            late_states=system.watch.late,
            compacted=compacted,
            exits=system.exits,
            verdict=verdict,
        )


async def _harm(
    system: SoakSystem, load: Load, plan: Sequence[Fault], started: float
) -> AsyncIterator[Happened]:
    for fault in plan:
        tries, what, missed = 0, "", True
        while missed and tries < _TRIES:
            await asyncio.sleep(fault.after)
            load.check()
            system.revive()
            begun = time.monotonic() - started
            tries += 1
            try:
                what, missed = await inject(system, load, fault), False
            except FaultMissedError as error:
                what = f"{error} (tried {tries} times)"
        yield Happened(fault.number, fault.kind.value, round(begun, 1), what, missed)


async def conclude(system: SoakSystem, sent: Sequence[str]) -> tuple[Verdict, bool]:
    """Wait until all has settled, compact, rebuild from what is left, and judge.

    Args:
        system: healed, and without load.
        sent: see `judge`.

    Returns:
        The verdict, and whether the compaction left each key once.
    """
    unfinished = await system.settle()
    await system.within(_REPAIR_SECONDS, lambda: not system.watch.overtaken())
    compacted = await compact(system.admin, system.bootstrap, system.names.profiles, lag_ms=LAG_MS)
    states = await read_profiles(system.bootstrap, system.names.profiles)
    letters = await read_topic(system.bootstrap, system.names.dead_letters)
    index, size = await _ask_index(system, states)
    outcome = Outcome(
        states=states,
        letters={_source(letter) for letter in letters},
        index=index,
        index_size=size,
        overwritten=system.overwritten | system.watch.older_in(states),
        unfinished=unfinished,
    )
    decode = msgspec.msgpack.Decoder(Action).decode
    logged = [
        Logged(record.partition, record.offset, decode(record.value or b""))
        for record in await read_topic(system.bootstrap, system.topic)
    ]
    return judge(
        sent, logged, await asyncio.to_thread(_expected, system, logged), outcome
    ), compacted


def _expected(system: SoakSystem, log: Sequence[Logged]) -> Expected:
    settings = system.settings
    encoder = build_encoder(settings.encoder)
    catalogue = system.log.catalogue(build_wording(settings, build_redactor(settings)))
    texts = {catalogue.action_text(one.action) for one in log}
    encoded = [text for text in sorted(texts) if REFUSED not in text]
    return replay(
        log,
        dict(zip(encoded, encoder.encode(encoded), strict=True)),
        text_of=catalogue.action_text,
        rules=action_rules(settings),
        policy=settings.policy.policy(),
        dim=encoder.dim,
        contributions=settings.memory.contributions,
        event_ids=settings.memory.event_ids,
        seen=settings.memory.seen,
        robustness=settings.robustness.robustness(),
    )


def _source(letter: Record) -> tuple[int, int]:
    headers = dict(letter.headers)
    return int(headers["source-partition"] or b""), int(headers["source-offset"] or b"")


async def _ask_index(
    system: SoakSystem, states: dict[str, ProfileState]
) -> tuple[dict[str, IndexRow], int]:
    """Every user as the retrieval service answers, and how many it counts."""
    status = await system.wait_retrieval(items=len(system.log.items))
    asking = asyncio.Semaphore(_QUESTIONS_AT_ONCE)
    rows: dict[str, IndexRow] = {}

    async def ask(user_id: str) -> None:
        async with asking:
            answer = await system.http.get(
                f"/v1/users/{quote(user_id, safe='')}/profile", params={"include_vector": True}
            )
        if answer.status_code == httpx.codes.OK:
            found = answer.json()
            rows[user_id] = IndexRow(found["count"], np.array(found["vector"], np.float32))

    await asyncio.gather(*(ask(user_id) for user_id in states))
    return rows, status["profiles"]
