"""The plan of a soak run is a function of its seed, and leaves out nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from tidemark.errors import SoakError
from tidemark.soak import FaultKind, make_plan

HERE = set(FaultKind) - {FaultKind.leader_moved}  # what one broker can meet


def test_the_same_seed_gives_the_same_plan() -> None:
    assert make_plan(200, 7) == make_plan(200, 7)
    assert make_plan(200, 7) != make_plan(200, 8)


def test_a_longer_plan_begins_like_the_shorter() -> None:
    assert make_plan(50, 7)[:20] == make_plan(20, 7)


def test_every_kind_comes_before_any_comes_again() -> None:
    plan = make_plan(3 * len(HERE), 1)
    for start in range(0, len(plan), len(HERE)):
        assert {fault.kind for fault in plan[start : start + len(HERE)]} == HERE


def test_two_hundred_faults_hold_every_kind_many_times() -> None:
    counts = Counter(fault.kind for fault in make_plan(200, 3, brokers=3))
    assert counts.keys() == set(FaultKind)
    assert min(counts.values()) >= 12
    assert counts.total() == 200


def test_faults_meet_what_is_there() -> None:
    plan = make_plan(300, 5, workers=3, brokers=3)
    assert {fault.worker for fault in plan} == {0, 1, 2}
    assert {fault.node for fault in plan} == {0, 1, 2}
    assert [fault.number for fault in plan] == list(range(1, 301))
    assert all(fault.after > 0 and fault.seconds >= 0 and 0 <= fault.size < 1 for fault in plan)


def test_what_cannot_be_done_is_left_out() -> None:
    alone = {fault.kind for fault in make_plan(100, 5, workers=1)}
    assert alone == HERE - {FaultKind.worker_frozen, FaultKind.late_write}
    skipped = {fault.kind for fault in make_plan(100, 5, skip=[FaultKind.clock_step])}
    assert skipped == HERE - {FaultKind.clock_step}


def test_a_plan_of_nothing_is_refused() -> None:
    with pytest.raises(SoakError, match="expected at least one"):
        make_plan(1, 1, skip=list(FaultKind))
