"""Alive is not enough: when a worker counts as standing still, and what is said of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams_fakes import FakeEncoding, asynchronous

from streams.activity import Activities, Activity, WatchedEncoding
from streams.errors import StalledError
from streams.health import Health
from streams.loop_watch import Beats, LoopWatch
from streams.monitor import Monitor
from streams.watchdog import Observation, PartitionReading, Verdict, Watchdog

STALL, EXIT = 60.0, 300.0


def reading(partition: int = 0, **seen: Any) -> PartitionReading:
    """A partition that was read to its end."""
    return PartitionReading("actions", partition, **{"position": 100, "end": 100, **seen})


def looked_at(
    seen: Observation, seconds: int, *, dog: Watchdog | None = None, start: int = 0
) -> Verdict:
    """The verdict after so many looks, a second apart, at the same thing."""
    dog = dog or Watchdog(STALL, EXIT)
    for second in range(start, start + seconds + 1):
        verdict = dog.observe(float(second), seen)
    return verdict


IN_FLIGHT = Observation(member=True, readings=[reading(in_flight=2, acknowledged=40)])


def test_who_has_nothing_to_do_is_healthy() -> None:
    for readings in ([], [reading()], [reading(position=7, end=None)]):
        verdict = looked_at(Observation(member=True, readings=readings), 1_000)
        assert verdict == Verdict(0.0, True, False, "")


def test_batches_that_never_end_are_a_stall_and_then_an_end() -> None:
    assert looked_at(IN_FLIGHT, 59) == Verdict(59.0, True, False, "")
    stalled = looked_at(IN_FLIGHT, 60)
    assert not stalled.healthy
    assert not stalled.expired
    assert stalled.reason.startswith(
        "nothing advanced for 60 s: "
        "actions-0 at offset 40 (2 batches in flight, 0 records to fetch);"
    )
    expired = looked_at(IN_FLIGHT, 300)
    assert not expired.healthy
    assert expired.expired


def test_records_that_nobody_fetches_are_a_stall_at_fetch() -> None:
    seen = Observation(member=True, readings=[reading(position=100, end=1_600)])
    verdict = looked_at(seen, 61)
    assert not verdict.healthy
    assert "actions-0 at offset 100 (0 batches in flight, 1,500 records" in verdict.reason
    assert "stage fetch" in verdict.reason


def test_a_partition_whose_position_stays_unknown_is_a_stall() -> None:
    verdict = looked_at(Observation(member=True, readings=[reading(position=None)]), 61)
    assert not verdict.healthy
    assert "actions-0 at offset unknown" in verdict.reason


def test_who_is_no_member_of_the_group_stalls() -> None:
    verdict = looked_at(Observation(member=False), 61)
    assert verdict.reason == "not a member of the consumer group for 61 s"


@pytest.mark.parametrize("stage", ["restore", "encode", "publish"])
def test_the_reason_names_what_goes_on(stage: str) -> None:
    activity = Activity(stage, "4,000 things", since=-5.0)
    seen = Observation(member=True, readings=IN_FLIGHT.readings, activities=[activity])
    assert looked_at(seen, 61).reason.endswith(f"stage {stage} (4,000 things) runs for 66 s")


def test_only_the_worst_partitions_are_named() -> None:
    readings = [reading(number, position=0, end=number + 1) for number in range(8)]
    reason = looked_at(Observation(member=True, readings=readings), 61).reason
    assert [f"actions-{number} at" in reason for number in range(8)] == [False] * 5 + [True] * 3
    assert "5 more" in reason


@pytest.mark.parametrize("advance", ["done", "acknowledged", "member"])
def test_any_advance_begins_anew(advance: str) -> None:
    dog = Watchdog(STALL, EXIT)
    looked_at(IN_FLIGHT, 70, dog=dog)
    moved = {
        "done": Observation(member=True, readings=IN_FLIGHT.readings, done=1),
        "acknowledged": Observation(member=True, readings=[reading(in_flight=2, acknowledged=41)]),
        "member": Observation(member=False, readings=IN_FLIGHT.readings),
    }[advance]
    assert looked_at(moved, 59, dog=dog, start=71).stalled_seconds == 59.0
    assert not looked_at(moved, 0, dog=dog, start=131).healthy


def test_a_process_that_was_stopped_has_not_stalled() -> None:
    dog = Watchdog(STALL, EXIT)
    looked_at(IN_FLIGHT, 3, dog=dog)
    assert dog.observe(10_000.0, IN_FLIGHT).stalled_seconds == 8.0  # 3, and 5 at most for the gap


def test_a_partition_that_is_never_fetched_is_noticed_while_others_advance() -> None:
    dog = Watchdog(STALL, EXIT)
    for second in range(62):
        verdict = dog.observe(
            float(second),
            Observation(
                member=True,
                readings=[reading(0, acknowledged=second), reading(1, position=5, end=9)],
                done=second,
            ),
        )
    assert verdict.reason == (
        "actions-1 at offset 5 (0 batches in flight, 4 records to fetch) passed over for 61 s "
        "while other partitions advance"
    )


def test_a_partition_that_waits_for_a_busy_worker_is_not_passed_over() -> None:
    """A slow encoder may take minutes for what the others have in flight."""
    dog = Watchdog(STALL, EXIT)
    for second in range(400):
        verdict = dog.observe(
            float(second),
            Observation(
                member=True,
                readings=[
                    reading(0, acknowledged=second, in_flight=4),
                    reading(1, position=5, end=9),
                    reading(2, in_flight=1, overtaken=30),
                ],
                done=second,
            ),
        )
    assert verdict.healthy


def test_a_batch_that_hundreds_have_overtaken_is_stuck() -> None:
    dog = Watchdog(STALL, EXIT)
    for second in range(62):
        verdict = dog.observe(
            float(second),
            Observation(
                member=True,
                readings=[
                    reading(0, acknowledged=second, in_flight=1),
                    reading(1, in_flight=1, overtaken=257),
                ],
                done=second,
            ),
        )
    assert not verdict.healthy
    assert "actions-1" in verdict.reason
    assert "actions-0" not in verdict.reason


readings = st.builds(
    reading,
    st.integers(0, 1),
    position=st.one_of(st.none(), st.integers(0, 3)),
    end=st.one_of(st.none(), st.integers(0, 3)),
    acknowledged=st.one_of(st.none(), st.integers(0, 3)),
    in_flight=st.integers(0, 1),
)
observations = st.builds(
    Observation, st.booleans(), st.lists(readings, max_size=2), st.just(()), st.integers(0, 2)
)


@given(st.lists(st.tuples(st.floats(0, 20), observations), min_size=1))
def test_whatever_is_seen_time_is_not_made_up(steps: list[tuple[float, Observation]]) -> None:
    dog = Watchdog(10.0, 30.0)
    now = 0.0
    for step, seen in steps:
        now += step
        verdict = dog.observe(now, seen)
        assert 0.0 <= verdict.stalled_seconds <= now + 1e-9
        assert verdict.healthy == (verdict.stalled_seconds < 10.0) == (verdict.reason == "")
        assert verdict.expired == (verdict.stalled_seconds >= 30.0)


# What goes on


@asynchronous
async def test_activities_last_as_long_as_their_block() -> None:
    clock = iter([1.0, 2.0])
    activities = Activities(lambda: next(clock))
    gate = asyncio.Event()

    class Waiting(FakeEncoding):
        async def encode(self, texts: Sequence[str]) -> Any:
            await gate.wait()
            return await super().encode(texts)

    encoding = WatchedEncoding(Waiting(), activities)
    call = asyncio.create_task(encoding.encode(["a", "b"]))
    await asyncio.sleep(0)
    with activities.during("publish", "1 records"):
        found = [(one.stage, one.what, one.since) for one in activities.current()]
        assert found == [("encode", "2 texts", 1.0), ("publish", "1 records", 2.0)]
    gate.set()
    assert len((await call).index) == 2
    assert activities.current() == []
    activities.advance(3)
    activities.count_also(lambda: 4)
    assert activities.done == 7


# The monitor


class FakeGroup:
    def __init__(self) -> None:
        self.member = True
        self.seen: list[PartitionReading] = []

    def is_member(self) -> bool:
        return self.member

    def readings(self) -> list[PartitionReading]:
        return self.seen


class FakeEnds:
    """Says what it is told, and that once it could not be asked."""

    def __init__(self, ends: Mapping[tuple[str, int], int]) -> None:
        self.known = ends
        self.failures = 1
        self.stopped = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.stopped = True

    async def ends(self, partitions: object) -> Mapping[tuple[str, int], int]:
        del partitions
        if self.failures:
            self.failures -= 1
            raise TimeoutError
        return self.known


@asynchronous
async def test_the_monitor_ends_a_worker_that_does_not_fetch() -> None:
    """The broker has more than the consumer knows of."""
    group, ends, health = FakeGroup(), FakeEnds({("actions", 0): 150}), Health()
    health.on_serving()
    group.seen = [reading(position=100, end=100)]
    seconds = iter(range(10_000))
    activities = Activities(time.monotonic)
    monitor = Monitor(
        lambda: group, ends, activities, health, Watchdog(STALL, EXIT),
        lambda: float(next(seconds)), interval=0.001,
    )  # fmt: skip
    with pytest.raises(ExceptionGroup) as caught:
        await monitor.run()
    (error,) = caught.value.exceptions
    assert isinstance(error, StalledError)
    assert "actions-0 at offset 100 (0 batches in flight, 50 records to fetch)" in str(error)
    assert "stage fetch" in str(error)
    assert ends.stopped
    assert not health.alive().ok
    assert health.stalled_seconds == EXIT


def test_a_worker_that_does_not_serve_yet_is_no_member() -> None:
    group, health = FakeGroup(), Health()
    seconds = iter(range(1_000))
    monitor = Monitor(
        lambda: group, FakeEnds({}), Activities(time.monotonic), health, Watchdog(STALL, EXIT),
        lambda: float(next(seconds)),
    )  # fmt: skip
    for _ in range(62):
        monitor.look()
    assert health.alive().line == "not a member of the consumer group for 61 s"
    health.on_serving()
    monitor.look()
    assert health.alive() == (True, "ok")


# The event loop


def test_a_heart_that_beats_is_never_silent() -> None:
    beats = Beats(2.0)
    for second in range(10):
        beats.beat()
        assert beats.look(float(second)) == 0.0


def test_silence_adds_up_and_a_stopped_process_is_not_silent() -> None:
    beats = Beats(2.0)
    beats.beat()
    assert [beats.look(now) for now in (0.0, 1.0, 2.0, 900.0)] == [0.0, 1.0, 2.0, 4.0]
    beats.beat()
    assert beats.look(901.0) == 0.0


@asynchronous
async def test_a_blocked_loop_is_told_and_ended(capfd: pytest.CaptureFixture[str]) -> None:
    told: list[str | None] = []
    left: list[bool] = []
    watch = LoopWatch(0.08, 0.3, told.append, time.monotonic, lambda: left.append(True))
    with watch:
        await asyncio.sleep(0.05)
        assert (told, left) == ([], [])
        deadline = time.monotonic() + 20
        while not left:
            assert time.monotonic() < deadline
            time.sleep(0.01)  # noqa: ASYNC251 # what is watched for
        while told[-1] is not None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
    assert told[0] is not None
    assert told[0].startswith("the event loop has not run for 0 s")
    assert "test_a_blocked_loop_is_told_and_ended" in capfd.readouterr().err  # the stacks
