"""Offsets to commit: never past what is unfinished, and all of them in the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
)

from streams.offsets import Delivery, OffsetTracker

PARTITIONS = st.sampled_from(["a", "b"])


class Tracking(RuleBasedStateMachine):
    """The tracker against a list of what was handed over, finished or not, since the last forget.

    Deliveries are drawn whether or not their partition was forgotten since, so late ones are
    finished too.
    """

    deliveries: Bundle[Delivery[str]] = Bundle("deliveries")

    def __init__(self) -> None:
        super().__init__()
        self.tracker: OffsetTracker[str] = OffsetTracker()
        self.last = {"a": -1, "b": -1}
        self.log: dict[str, list[Delivery[str]]] = {"a": [], "b": []}
        self.finished: list[Delivery[str]] = []
        self.sent = {"a": 0, "b": 0}  # as the broker has it, since the last forget

    @rule(target=deliveries, partition=PARTITIONS, size=st.integers(1, 5))
    def deliver(self, partition: str, size: int) -> Delivery[str]:
        self.last[partition] += size
        delivery = self.tracker.deliver(partition, self.last[partition])
        assert delivery.next_offset == self.last[partition] + 1
        self.log[partition].append(delivery)
        return delivery

    @rule(delivery=consumes(deliveries))
    def done(self, delivery: Delivery[str]) -> None:
        self.tracker.done(delivery)
        self.finished.append(delivery)

    @rule(partition=PARTITIONS)
    def commit(self, partition: str) -> None:
        offset = self.tracker.committable(partition)
        if offset is not None:
            assert offset > self.sent[partition]
            self.tracker.committed(partition, offset)
            self.sent[partition] = offset
            assert self.tracker.committable(partition) is None

    @rule(partition=PARTITIONS)
    def forget(self, partition: str) -> None:
        self.tracker.forget([partition])
        self.log[partition] = []
        self.sent[partition] = 0
        assert self.tracker.committable(partition) is None
        assert self.tracker.in_flight(partition) == 0

    @invariant()
    def commits_up_to_the_first_unfinished_and_no_further(self) -> None:
        for partition, log in self.log.items():
            expected = 0
            for delivery in log:
                if not any(delivery is one for one in self.finished):
                    break
                expected = delivery.next_offset
            offset = self.tracker.committable(partition)
            assert (self.sent[partition] if offset is None else offset) == expected

    @invariant()
    def tells_where_there_is_something_to_commit(self) -> None:
        there = {p for p in "ab" if self.tracker.committable(p) is not None}
        assert set(self.tracker.partitions()) == there

    @invariant()
    def counts_what_is_unfinished(self) -> None:
        for partition, log in self.log.items():
            open_ = [one for one in log if not any(one is done for done in self.finished)]
            assert self.tracker.in_flight(partition) == len(open_)


TestTracking = Tracking.TestCase


@given(st.integers(1, 12).flatmap(lambda n: st.permutations(range(n))))
def test_whatever_the_order_all_is_committed_in_the_end(order: list[int]) -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    deliveries = [tracker.deliver("a", 10 * n + 9) for n in range(len(order))]
    finished: set[int] = set()
    for number in order:
        tracker.done(deliveries[number])
        finished.add(number)
        # all before the first unfinished one, and nothing of it
        ahead = next((n for n in range(len(order)) if n not in finished), len(order))
        assert tracker.committable("a") == (10 * ahead or None)
    assert tracker.committable("a") == 10 * len(order)
    assert tracker.in_flight("a") == 0


def test_a_delivery_from_before_forget_changes_nothing() -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    stale = [tracker.deliver("a", 9), tracker.deliver("a", 19)]
    tracker.forget(["a"])
    fresh = tracker.deliver("a", 9)  # read again from the commit
    for delivery in stale:
        tracker.done(delivery)
    assert tracker.committable("a") is None
    assert tracker.partitions() == []
    assert tracker.in_flight("a") == 1
    tracker.done(fresh)
    assert tracker.committable("a") == 10


def test_a_commit_that_was_overtaken_leaves_the_newer_offset() -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    tracker.done(tracker.deliver("a", 4))
    tracker.done(tracker.deliver("a", 7))  # while 5 is on its way to the broker
    tracker.committed("a", 5)
    assert tracker.committable("a") == 8


def test_partitions_do_not_wait_for_each_other() -> None:
    tracker: OffsetTracker[tuple[str, int]] = OffsetTracker()
    tracker.deliver(("t", 0), 3)
    tracker.done(tracker.deliver(("t", 1), 5))
    assert tracker.partitions() == [("t", 1)]
    assert tracker.committable(("t", 0)) is None
    assert tracker.committable(("t", 1)) == 6


def test_finishing_twice_is_finishing_once() -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    first, second = tracker.deliver("a", 0), tracker.deliver("a", 1)
    tracker.done(first)
    tracker.done(first)
    assert tracker.committable("a") == 1
    assert not second.done


def test_forget_of_what_is_unknown_is_nothing() -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    tracker.forget(["a", "b"])
    tracker.committed("a", 5)
    assert tracker.partitions() == []
    assert tracker.in_flight("a") == 0


def test_what_is_acknowledged_is_known_until_the_partition_is_given_up() -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    first, second = tracker.deliver("a", 4), tracker.deliver("a", 9)
    assert tracker.acknowledged("a") is None
    tracker.done(second)
    assert tracker.acknowledged("a") is None
    tracker.done(first)
    assert tracker.acknowledged("a") == 10
    tracker.committed("a", 10)
    assert tracker.acknowledged("a") == 10
    tracker.forget(["a"])
    assert tracker.acknowledged("a") is None


def test_a_batch_is_overtaken_by_those_handed_over_after_it_and_done() -> None:
    tracker: OffsetTracker[str] = OffsetTracker()
    tracker.deliver("a", 0)
    later = [tracker.deliver("b", offset) for offset in range(3)]
    assert (tracker.overtaken("a"), tracker.overtaken("b"), tracker.overtaken("c")) == (0, 0, 0)
    tracker.done(later[1])
    assert (tracker.overtaken("a"), tracker.overtaken("b")) == (2, 1)
    tracker.done(later[0])
    assert (tracker.overtaken("a"), tracker.overtaken("b")) == (2, 0)
