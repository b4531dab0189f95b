"""The follower: catching up, outages, defects, and waiting for a user to be forgotten."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from store_fakes import (
    DIM,
    FakeRecord,
    FakeTail,
    RecordingSensor,
    Y,
    item_record,
    make_state,
    make_view,
    profile_record,
    tombstone,
)

from store.follower import Follower
from store.question import answered
from store.ranking.learner import Learner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from store.view import RetrievalView


@dataclass
class Rig:
    tail: FakeTail
    view: RetrievalView
    follower: Follower
    sensor: RecordingSensor
    naps: list[float] = field(default_factory=list)


@asynccontextmanager
async def following(
    *,
    max_lag: int = 10,
    known: bool = True,
    behind: int | None = None,
    learner: Learner | None = None,
) -> AsyncIterator[Rig]:
    tail, sensor, naps = FakeTail(known=known, behind=behind), RecordingSensor(), []

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    view = make_view(sensor, learner=learner, learned_at_once=100)
    with ThreadPoolExecutor(1) as owner:
        follower = Follower(
            tail, view, owner, max_lag=max_lag, sensor=sensor, now_ms=lambda: 5000, sleep=nap
        )
        await follower.start()
        await tail.settled()
        try:
            yield Rig(tail, view, follower, sensor, naps)
        finally:
            await follower.stop()


def scenario(steps: Callable[[], object]) -> None:
    """Run an async test on a loop of its own."""
    coroutine = steps()
    assert asyncio.iscoroutine(coroutine)
    asyncio.run(asyncio.wait_for(coroutine, 30))


def test_records_go_to_their_side_of_the_view() -> None:
    async def steps() -> None:
        async with following() as rig:
            rig.tail.push(item_record("i"), profile_record("u", make_state()))
            await rig.tail.settled()
            assert (rig.view.item_count, rig.view.profile_count) == (1, 1)
            assert [one.item_id for one in answered(rig.view.answers.ask_candidates("u", 1))] == [
                "i"
            ]

    scenario(steps)


def test_it_is_ready_once_the_lag_was_zero() -> None:
    async def steps() -> None:
        async with following(known=False) as rig:
            ready = rig.follower.ready()
            assert not ready.ok
            assert "unknown number" in ready.reason
            rig.tail.known, rig.tail.behind = True, 3
            rig.tail.push(profile_record("u", make_state(offset=1, fresh_from=4000)))
            await rig.tail.settled()
            assert "3 records behind" in rig.follower.ready().reason
            assert not rig.view.live
            rig.tail.behind = 0
            rig.tail.push()
            await rig.tail.settled()
            assert rig.follower.ready() == (True, "")
            assert rig.view.live
            rig.tail.push(profile_record("u", make_state(offset=2, fresh_from=4000)))
            await rig.tail.settled()
            assert rig.sensor.freshness == [1.0]
            assert rig.sensor.lags == [3, 0, 0]

    scenario(steps)


def test_changes_that_wait_are_learned_from_when_nothing_comes() -> None:
    async def steps() -> None:
        learner = Learner(DIM, partners=16)
        async with following(learner=learner) as rig:
            rig.tail.push(item_record("i"))
            await rig.tail.settled()
            rig.tail.push(profile_record("u", make_state(seen=["i"])))
            await rig.tail.settled()
            assert learner.counted == 0
            for _ in range(7):
                rig.tail.push()
                await rig.tail.settled()
            assert learner.counted == 1

    scenario(steps)


def test_too_much_lag_makes_it_unready_but_it_serves_on() -> None:
    async def steps() -> None:
        async with following(max_lag=10) as rig:
            rig.tail.push()
            await rig.tail.settled()
            rig.tail.behind = 11
            rig.tail.push()
            await rig.tail.settled()
            assert rig.follower.ready() == (False, "11 records behind; at most 10 allowed")
            assert rig.follower.serving().ok
            rig.tail.behind = 10
            rig.tail.push()
            await rig.tail.settled()
            assert rig.follower.ready().ok

    scenario(steps)


def test_vectors_of_another_encoder_make_it_unready() -> None:
    async def steps() -> None:
        async with following() as rig:
            rig.tail.push(profile_record("u", make_state(encoder="other")))
            await rig.tail.settled()
            assert not rig.follower.ready().ok
            assert not rig.follower.serving().ok
            assert rig.follower.ready().reason == rig.view.mismatch
            assert rig.follower.health().ok

    scenario(steps)


def test_an_outage_is_polled_through_with_growing_pauses() -> None:
    async def steps() -> None:
        async with following() as rig:
            rig.tail.push()
            await rig.tail.settled()
            for _ in range(7):
                rig.tail.fail(ConnectionError("broker gone"))
            await rig.tail.settled()
            health = rig.follower.health()
            assert not health.ok
            assert "broker gone" in health.reason
            assert rig.follower.failure is None
            assert rig.follower.ready().ok  # what is held can be asked
            assert rig.naps == [0.5, 1, 2, 4, 8, 10, 10]
            rig.tail.push(profile_record("u", make_state()))
            await rig.tail.settled()
            assert rig.follower.health() == (True, "")
            assert rig.view.profile_count == 1
            rig.tail.fail(ConnectionError("again"))
            await rig.tail.settled()
            assert rig.naps[-1] == 0.5
            assert rig.tail.started == 1

    scenario(steps)


def test_a_defect_stops_it_for_good_and_it_says_so() -> None:
    async def steps() -> None:
        async with following() as rig:
            rig.tail.push(FakeRecord("surprise", b"k", b"v"))
            await rig.follower.ended()
            for said in (rig.follower.health(), rig.follower.ready(), rig.follower.serving()):
                assert not said.ok
                assert "'surprise'" in said.reason

    scenario(steps)


def test_an_owner_thread_that_is_gone_is_noticed() -> None:
    async def steps() -> None:
        tail, owner = FakeTail(), ThreadPoolExecutor(1)
        follower = Follower(tail, make_view(), owner)
        await follower.start()
        owner.shutdown()
        tail.push(profile_record("u", make_state()))
        await follower.ended()
        assert not follower.health().ok
        await follower.stop()

    scenario(steps)


def test_a_poll_that_is_cancelled_from_within_is_noticed() -> None:
    async def steps() -> None:
        async with following() as rig:
            rig.tail.fail(asyncio.CancelledError())
            await rig.follower.ended()
            assert "cancelled" in rig.follower.health().reason

    scenario(steps)


def test_stopping_stops_the_tail_and_is_no_failure() -> None:
    async def steps() -> None:
        async with following() as rig:
            pass
        assert (rig.tail.started, rig.tail.stopped) == (1, 1)
        assert rig.follower.failure is None

    scenario(steps)


def test_a_tail_that_cannot_start_is_the_callers_to_handle() -> None:
    class Broken(FakeTail):
        async def start(self) -> None:
            raise ConnectionError("no broker")

    async def steps() -> None:
        with ThreadPoolExecutor(1) as owner:
            follower = Follower(Broken(), make_view(), owner)
            with pytest.raises(ConnectionError):
                await follower.start()
            await follower.stop()

    scenario(steps)


def test_waiting_ends_with_the_tombstone_that_reaches_the_offset() -> None:
    async def steps() -> None:
        async with following() as rig:
            rig.tail.push(profile_record("u", make_state(offset=3)))
            await rig.tail.settled()
            waiting = asyncio.create_task(
                rig.follower.wait_forgotten("u", "actions", 0, 7, within=20)
            )
            rig.tail.push(tombstone("u", 5), tombstone("other", 7))
            await rig.tail.settled()
            assert not waiting.done()
            # the user is back in the same batch: forgotten all the same
            rig.tail.push(tombstone("u", 7), profile_record("u", make_state(Y, offset=8)))
            assert await waiting

    scenario(steps)


def test_waiting_for_what_has_already_happened_ends_at_once() -> None:
    async def steps() -> None:
        async with following() as rig:
            rig.tail.push(tombstone("u", 7))
            await rig.tail.settled()
            assert await rig.follower.wait_forgotten("u", "actions", 0, 6, within=0)

    scenario(steps)


def test_waiting_ends_without_success_when_the_time_is_up() -> None:
    async def steps() -> None:
        async with following() as rig:
            assert not await rig.follower.wait_forgotten("u", "actions", 0, 7, within=0)
            rig.tail.push(tombstone("u", 7))
            await rig.tail.settled()

    scenario(steps)
