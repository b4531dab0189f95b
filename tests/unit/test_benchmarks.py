"""What the benchmarks' figures rest on: the stretch that is measured, and the traffic."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Literal

import pytest

pytest.importorskip("psutil", reason='the extra "bench" is not installed')
pytest.importorskip("matplotlib", reason='the extra "bench" is not installed')

from streams_fakes import KafkaRecord

from benchmarks.common.results import Bar
from benchmarks.common.stopwatch import CpuSampler, stretch_of
from benchmarks.streams.traffic import films, movielens_like, passes, records_of
from streams.decode import ActionDecoder, Limits
from tidemark.errors import TidemarkError
from tidemark.movielens import find_movielens


@pytest.fixture
def cpu() -> Iterator[CpuSampler]:
    with CpuSampler({"self": os.getpid()}) as sampler:
        yield sampler


def test_a_stretch_runs_between_observed_points_and_counts_what_lay_between(
    cpu: CpuSampler,
) -> None:
    now = time.monotonic()
    progress = [(now, 0), (now + 1.0, 900), (now + 2.0, 2100), (now + 5.0, 8100), (now + 9.0, 9000)]
    stretch = stretch_of(progress, cpu, start=1000, end=8000)
    assert stretch.actions == 6000
    assert stretch.seconds == pytest.approx(3.0)
    assert stretch.rate == pytest.approx(2000.0)


@pytest.mark.parametrize(("start", "end"), [(1000, 9001), (9001, 9002), (2, 800)])
def test_a_run_without_the_stretch_is_refused(cpu: CpuSampler, start: int, end: int) -> None:
    progress = [(0.0, 0), (1.0, 900), (2.0, 9000)]
    with pytest.raises(ValueError, match="no stretch"):
        stretch_of(progress, cpu, start=start, end=end)


def test_the_sampler_sees_the_cpu_time_that_a_process_uses() -> None:
    with CpuSampler({"self": os.getpid()}) as sampler:
        began, used = time.monotonic(), time.process_time()
        while time.process_time() - used < 0.5:
            pass
        ended = time.monotonic()
    assert sampler.between(began, ended)["self"] == pytest.approx(0.5, abs=0.15)


def test_bars_are_met_at_the_figure_itself() -> None:
    assert Bar.at_least("rate", 20, 20.0, "x").met
    assert not Bar.at_least("rate", 20, 19.99, "x").met
    assert Bar.at_most("time", 60, 60.0, "ms").met
    assert not Bar.at_most("time", 60, 60.01, "ms").met


@pytest.fixture
def movielens() -> None:
    try:
        find_movielens()
    except TidemarkError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("movielens")
def test_every_user_comes_once_in_a_pass() -> None:
    users = [user for user, _, _ in passes(50, 130)]
    assert len(users) == 130
    for first in (0, 50):
        assert set(Counter(users[first : first + 50]).values()) == {1}
    assert len(set(users[100:])) == 30


@pytest.mark.usefixtures("movielens")
def test_the_log_names_every_film_before_the_clock_starts_and_is_the_same_each_time() -> None:
    known = [item for _, item, _ in movielens_like(1682)]
    assert known == [film.item_id for film in films()]
    assert list(movielens_like(2000)) == list(movielens_like(2000))


@pytest.mark.usefixtures("movielens")
@pytest.mark.parametrize("wire", ["msgpack", "json"])
def test_the_records_are_actions_in_the_wire_format(wire: Literal["msgpack", "json"]) -> None:
    decode = ActionDecoder(wire, Limits()).decode
    for key, value in records_of(movielens_like(20), wire):
        action = decode(KafkaRecord("actions", key, value), 1_800_000_000_000)
        assert (action.user_id.encode(), action.action) == (key, "rate")
