"""How far a group is behind, of what the brokers told."""

from __future__ import annotations

from streams.group_lag import GroupState, Member, Unread, lag_of

A, B = ("actions", 0), ("actions", 1)
HOST = Member("m-1", "faust", "10.0.0.1", frozenset({A}))


def state(*partitions: object, members: tuple[Member, ...] | None = (HOST,)) -> GroupState:
    return GroupState("tidemark", "Stable", members, "", tuple(partitions), 0)  # type: ignore[arg-type] # of lag_of


def test_records_and_seconds() -> None:
    first, second = lag_of(
        {A: 10}, {B: Unread(0, 5, 9_000), A: Unread(10, 12, 4_000)}, (HOST,), 10_000
    )
    assert (first.committed, first.end, first.records, first.seconds) == (10, 12, 2, 6.0)
    assert first.owner is HOST
    assert (second.committed, second.records, second.seconds, second.owner) == (None, 5, 1.0, None)
    found = state(first, second)
    assert (found.records, found.seconds) == (7, 6.0)
    assert found.unowned == (second,)
    assert state(first, members=None).unowned is None


def test_marks_of_transactions_are_not_waited_for() -> None:
    (one,) = lag_of({A: 10}, {A: Unread(12, 12, None)}, None, 0)
    assert (one.records, one.seconds, one.end) == (0, 0.0, 12)


def test_what_has_expired_is_not_to_be_read() -> None:
    (one,) = lag_of({A: 10}, {A: Unread(50, 60, 1_000)}, None, 1_500)
    assert (one.records, one.seconds) == (10, 0.5)


def test_a_clock_that_is_behind_gives_no_negative_age() -> None:
    (one,) = lag_of({A: 0}, {A: Unread(0, 1, 5_000)}, None, 1_000)
    assert one.seconds == 0.0
