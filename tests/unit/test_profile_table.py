"""The table of a partition: what counts, what is forgotten, and that a restart changes nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from store_fakes import NOW, VOCABULARY, Given, apply, forget, hash_of, take, weighed
from streams_fakes import DIM, IDENTITY, make_profile, unit_rows

from store.errors import EncoderMismatchError
from store.influence import Influence
from store.policies import Policy
from store.profile import (
    Fence,
    ProfileState,
    contribution_weights,
    decode_fence,
    decode_profile,
    encode_fence,
    encode_profile,
)
from store.reference import ReferenceProfile, fold_one, part_that_counts, passes
from store.robustness import Robustness
from store.table import Identity, Memory, ProfileTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VECTORS = unit_rows(6)
SMALL = Memory(seen=3, contributions=4, event_ids=2)
POLICIES = [
    Policy("constant", k=0.7),
    Policy("decay", half_life_seconds=5),
    Policy("adaptive", alpha=0.5, k_min=0.2, k_max=0.9),
    Policy("influence", influence=Influence(half_life_seconds=5, actions={}, repeated=0.25)),
]
#: At three actions in a minute of the streams' twenty seconds, and a gate that most do not pass.
GUARDS = [Robustness(), Robustness(actions_per_minute=3), Robustness(outlier_deviations=0.5)]


def new_table(
    policy: Policy = POLICIES[0], memory: Memory = SMALL, robustness: Robustness | None = None
) -> ProfileTable:
    identity = Identity(IDENTITY.encoder, DIM, policy)
    return ProfileTable(3, identity, memory, VOCABULARY, robustness)


def after(*actions: Given, memory: Memory = SMALL) -> tuple[ProfileTable, dict[str, int]]:
    """A new table to which these were applied in one batch, and the counts."""
    table = new_table(memory=memory)
    return table, apply(table, actions, VECTORS)


def vector_in(table: ProfileTable, user_id: str = "ann") -> list[float]:
    values: list[float] = table.state(user_id).array().tolist()
    return values


# What counts


def test_an_action_is_folded_and_told() -> None:
    table, applied = after(weighed(7, row=2, item_id="i", event_id="e", strength=0.5, published=9))
    state = table.state("ann")
    np.testing.assert_array_equal(state.array(), np.float32(0.5) * VECTORS[2])
    assert (state.count, state.last_ts, state.partition) == (1, NOW + 7000, 3)
    assert (state.encoder, state.dim, state.policy) == (
        IDENTITY.encoder,
        DIM,
        "constant(k=0.7)",
    )
    assert (state.applied, state.fresh_from) == ({"actions": 7}, 9)
    assert (state.seen, state.event_ids) == (["i"], [hash_of("e")])
    (contribution,) = state.contributions
    assert (contribution.action, contribution.item_id) == ("view", "i")
    assert (contribution.k, contribution.strength) == (0.0, 0.5)
    assert take(table) == (["ann"], [])
    assert applied == {"applied": 1}


@pytest.mark.parametrize("offset", [0, 4, 5])
def test_an_offset_at_or_below_the_applied_one_is_skipped(offset: int) -> None:
    table, _ = after(weighed(5))
    take(table)
    before = table.state("ann")
    applied = apply(table, [weighed(offset, row=1, item_id="i", event_id="e")], VECTORS)
    assert applied == {"fenced": 1}
    assert take(table) == ([], [])
    assert table.state("ann") == before


def test_offset_zero_counts() -> None:
    table, applied = after(weighed(0))
    assert applied == {"applied": 1}
    assert table.state("ann").applied == {"actions": 0}


def test_each_source_topic_has_its_own_fence() -> None:
    table, _ = after(weighed(50))
    assert apply(table, [weighed(10)], VECTORS, "orders") == {"applied": 1}
    assert apply(table, [weighed(10)], VECTORS, "orders") == {"fenced": 1}
    assert apply(table, [weighed(50)], VECTORS) == {"fenced": 1}
    assert table.state("ann").applied == {"actions": 50, "orders": 10}


def test_each_user_has_a_fence() -> None:
    table, _ = after(weighed(5, "ann"))
    assert apply(table, [weighed(4, "bob")], VECTORS) == {"applied": 1}


def test_an_event_seen_before_is_skipped_and_counted() -> None:
    table, applied = after(weighed(0, event_id="e"), weighed(1, row=1, event_id="e"))
    assert applied == {"applied": 1, "duplicate": 1}
    assert table.state("ann").count == 1
    assert vector_in(table) == VECTORS[0].tolist()


def test_actions_without_an_event_id_are_never_repeats() -> None:
    assert after(weighed(0), weighed(1))[1] == {"applied": 2}


def test_two_users_may_use_the_same_event_id() -> None:
    _, applied = after(weighed(0, "ann", event_id="e"), weighed(1, "bob", event_id="e"))
    assert applied == {"applied": 2}


def test_the_window_of_event_ids_is_bounded() -> None:
    table, _ = after(*(weighed(n, event_id=f"e{n}") for n in range(3)))
    assert table.state("ann").event_ids == [hash_of("e1"), hash_of("e2")]
    again = [weighed(3, event_id="e1"), weighed(4, event_id="e0")]
    assert apply(table, again, VECTORS) == {"duplicate": 1, "applied": 1}


def test_a_repeat_does_not_keep_its_event_id_in_the_window() -> None:
    # else the same log would give another window after a restart between the two
    table, _ = after(weighed(0, event_id="a"), weighed(1, event_id="b"), weighed(2, event_id="a"))
    assert table.state("ann").event_ids == [hash_of("a"), hash_of("b")]


def test_seen_items_are_in_order_without_repeats_and_bounded() -> None:
    items = ["a", "b", None, "a", "c"]
    table, _ = after(*(weighed(n, item_id=item) for n, item in enumerate(items)))
    assert table.state("ann").seen == ["b", "a", "c"]
    apply(table, [weighed(9, item_id="d")], VECTORS)
    assert table.state("ann").seen == ["a", "c", "d"]


def test_contributions_are_the_latest() -> None:
    table, _ = after(*(weighed(n, item_id=f"i{n}") for n in range(6)))
    assert [one.item_id for one in table.state("ann").contributions] == ["i2", "i3", "i4", "i5"]


def test_windows_shrink_to_a_lowered_setting() -> None:
    roomy, _ = after(
        *(weighed(n, item_id=f"i{n}", event_id=f"e{n}") for n in range(6)),
        memory=Memory(seen=6, contributions=6, event_ids=6),
    )
    table = new_table()
    table.take_over("ann", roomy.state("ann"))
    apply(table, [weighed(6, item_id="i6", event_id="e6")], VECTORS)
    state = table.state("ann")
    assert state.seen == ["i4", "i5", "i6"]
    assert state.event_ids == [hash_of("e5"), hash_of("e6")]
    assert [one.item_id for one in state.contributions] == ["i3", "i4", "i5", "i6"]


def test_fresh_from_is_the_oldest_action_since_the_last_publication() -> None:
    table, _ = after(weighed(0, published=30), weighed(1, published=20), weighed(2, published=25))
    assert table.state("ann").fresh_from == 20
    apply(table, [weighed(0, published=40)], VECTORS, "orders")
    assert table.state("ann").fresh_from == 20
    take(table)
    apply(table, [weighed(3, published=50)], VECTORS)
    assert table.state("ann").fresh_from == 50


def test_fresh_from_is_not_that_of_a_forgotten_profile() -> None:
    table, _ = after(weighed(0, published=20), forget(1, ts=500), weighed(2, published=40, ts=600))
    assert table.state("ann").fresh_from == 40


def test_a_state_that_was_handed_out_does_not_change() -> None:
    table, _ = after(weighed(0, item_id="a", event_id="e"))
    state = table.state("ann")
    kept = encode_profile(state)
    apply(table, [weighed(1, item_id="b", event_id="f", row=1)], VECTORS)
    assert encode_profile(state) == kept


def test_more_users_than_rows_at_the_start() -> None:
    actions = [weighed(n, f"u{n % 300}", row=n % 6) for n in range(900)]
    table, applied = after(*actions)
    assert len(table) == 300
    assert len(take(table)[0]) == 300
    assert applied == {"applied": 900}
    for user_id in ("u0", "u63", "u64", "u128", "u299"):
        alone, _ = after(*(action for action in actions if action.user_id == user_id))
        assert table.state(user_id) == alone.state(user_id)


@given(
    st.sampled_from(POLICIES),
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([1.0, 0.5, -0.3])), min_size=1),
)
def test_contributions_rebuild_the_vector(policy: Policy, actions: list[tuple[int, float]]) -> None:
    table = new_table(policy, Memory(contributions=len(actions)))
    apply(table, [weighed(n, row=row, strength=s) for n, (row, s) in enumerate(actions)], VECTORS)
    weights = contribution_weights(table.state("ann").contributions)
    rebuilt = np.array(weights) @ VECTORS[[row for row, _ in actions]]
    np.testing.assert_allclose(rebuilt, vector_in(table), atol=1e-5)


def test_the_table_folds_as_the_reference_does() -> None:
    policy = Policy("decay", half_life_seconds=5)
    table, profile = new_table(policy), ReferenceProfile.empty(DIM)
    for offset, (row, strength, weight) in enumerate([(0, 1.0, 1.0), (3, -0.3, 0.5), (1, 0.5, 3)]):
        action = weighed(offset, row=row, strength=strength, weight=weight)
        apply(table, [action], VECTORS)
        fold_one(
            profile, VECTORS[row], strength=strength, weight=weight, ts=action.ts, policy=policy
        )
    state = table.state("ann")
    np.testing.assert_allclose(state.array(), profile.vector, atol=1e-6)
    assert (state.count, state.last_ts) == (profile.count, profile.last_ts)
    assert (state.mass, state.sum_k, state.sum_k2) == pytest.approx(
        (profile.mass, profile.sum_k, profile.sum_k2)
    )


# Forgetting


def test_forget_leaves_a_fence_and_nothing_else() -> None:
    table, applied = after(weighed(0), weighed(1, "bob"), forget(2, ts=500))
    assert "ann" not in table
    assert "bob" in table
    assert len(table) == 1
    assert table.fence("ann") == Fence(partition=3, applied={"actions": 2}, forgotten_ts=500)
    assert table.fence("bob") is None
    assert take(table) == (["bob"], ["ann"])
    assert applied == {"applied": 2, "forget": 1}


def test_forget_of_a_user_never_seen_leaves_a_fence() -> None:
    table, _ = after(forget(4, ts=500))
    assert table.fence("ann") == Fence(partition=3, applied={"actions": 4}, forgotten_ts=500)
    assert take(table) == ([], ["ann"])


def test_a_forget_is_fenced_like_any_action() -> None:
    table, _ = after(weighed(5))
    assert apply(table, [forget(5)], VECTORS) == {"fenced": 1}
    assert "ann" in table
    apply(table, [forget(6)], VECTORS)
    assert apply(table, [forget(6)], VECTORS) == {"fenced": 1}


@pytest.mark.parametrize("ts", [1, 499, 500])
def test_events_from_before_a_forget_do_not_bring_the_user_back(ts: int) -> None:
    table, _ = after(weighed(0), forget(1, ts=500))
    take(table)
    applied = apply(table, [weighed(2, ts=ts)], VECTORS)
    assert applied == {"forgotten_user": 1}
    assert take(table) == ([], [])
    assert "ann" not in table


def test_a_later_event_starts_a_fresh_profile_that_remembers_the_forget() -> None:
    table, _ = after(weighed(0, item_id="a", event_id="e"), weighed(1), forget(2, ts=500))
    take(table)
    apply(table, [weighed(3, row=4, ts=501)], VECTORS)
    state = table.state("ann")
    assert (state.count, state.seen, state.event_ids) == (1, [], [])
    assert len(state.contributions) == 1
    assert vector_in(table) == VECTORS[4].tolist()
    assert (state.forgotten_ts, state.applied) == (500, {"actions": 3})
    assert take(table) == (["ann"], [])
    assert table.fence("ann") is None
    late = apply(table, [weighed(4, ts=500)], VECTORS)
    assert late == {"forgotten_user": 1}


def test_the_fence_keeps_the_offsets_of_every_topic() -> None:
    table, _ = after(weighed(5))
    apply(table, [weighed(9), forget(10, ts=NOW)], VECTORS, "orders")
    assert table.fence("ann") == Fence(
        partition=3, applied={"actions": 5, "orders": 10}, forgotten_ts=NOW
    )
    again = apply(table, [weighed(5, ts=NOW + 1)], VECTORS)
    assert again == {"fenced": 1}
    back = apply(table, [weighed(6, ts=NOW + 1)], VECTORS)
    assert back == {"applied": 1}
    assert table.state("ann").applied == {"actions": 6, "orders": 10}


def test_an_earlier_forget_does_not_open_the_door_again() -> None:
    table, _ = after(forget(0, ts=500), forget(1, ts=300))
    fence = table.fence("ann")
    assert fence is not None
    assert fence.forgotten_ts == 500
    apply(table, [weighed(2, ts=600), forget(3, ts=400)], VECTORS)
    fence = table.fence("ann")
    assert fence is not None
    assert (fence.forgotten_ts, fence.applied) == (500, {"actions": 3})


def test_forgotten_and_back_in_one_batch_is_a_change() -> None:
    table, _ = after(weighed(0), forget(1, ts=500), weighed(2, row=1, ts=600))
    assert take(table) == (["ann"], [])
    assert vector_in(table) == VECTORS[1].tolist()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_row_that_is_used_again_has_no_trace_of_its_first_user(policy: Policy) -> None:
    history = [weighed(n, "ann", row=n, weight=2) for n in range(4)]
    newcomer = [weighed(n, "bob", row=n % 3) for n in range(5, 9)]
    used, fresh = new_table(policy), new_table(policy)
    apply(used, [*history, forget(4), *newcomer], VECTORS)
    apply(fresh, newcomer, VECTORS)
    assert len(used) == 1
    assert encode_profile(used.state("bob")) == encode_profile(fresh.state("bob"))


# Taking over


def test_taking_a_fence_over_removes_the_user() -> None:
    table, _ = after(weighed(0, "bob"), weighed(1))
    fence = Fence(partition=3, applied={"actions": 2}, forgotten_ts=500)
    table.take_over("ann", fence)
    assert "ann" not in table
    assert table.fence("ann") == fence
    apply(table, [weighed(3, "cid", row=5)], VECTORS)
    assert vector_in(table, "cid") == VECTORS[5].tolist()
    assert vector_in(table, "bob") == VECTORS[0].tolist()


def test_taking_a_state_over_replaces_what_is_held() -> None:
    table, _ = after(forget(0), weighed(1, "bob"))
    for user_id in ("ann", "bob"):
        table.take_over(user_id, make_profile(7, partition=3))
        assert table.state(user_id) == make_profile(7, partition=3)
        assert table.fence(user_id) is None
    assert len(table) == 2


@pytest.mark.parametrize(
    ("state", "parts"),
    [
        (make_profile(encoder="other"), ["'other' (dim 4)", "'fake-encoder' (dim 4)"]),
        (make_profile(dim=2, vector=bytes(8)), ["(dim 2)", "(dim 4)"]),
        (make_profile(policy="constant(k=0.5)"), ["constant(k=0.5)", "constant(k=0.7)"]),
    ],
    ids=["encoder", "dim", "policy"],
)
def test_what_was_made_otherwise_is_refused(state: ProfileState, parts: list[str]) -> None:
    table = new_table()
    with pytest.raises(EncoderMismatchError, match="new profiles topic") as caught:
        table.take_over("ann", state)
    assert all(part in str(caught.value) for part in parts)
    assert len(table) == 0


# Whatever the batches and the restarts


@dataclass(frozen=True)
class Stream:
    """A log of one partition of two topics, in the order it was read."""

    entries: list[tuple[str, Given]]

    def batches(self, start: int, end: int, cuts: Iterable[int]) -> list[tuple[int, int]]:
        edges = sorted({start, end, *(cut for cut in cuts if start < cut < end)})
        return list(pairwise(edges))


@st.composite
def streams(draw: st.DrawFn, topics: Sequence[str] = ("actions",)) -> Stream:
    entries = []
    offsets = dict.fromkeys(topics, 0)
    for _ in range(draw(st.integers(1, 40))):
        topic = draw(st.sampled_from(topics))
        offsets[topic] += draw(st.integers(1, 3))
        user_id = draw(st.sampled_from(["ann", "bob", "cid"]))
        ts = NOW + draw(st.integers(0, 20_000))
        if draw(st.integers(0, 9)) == 0:
            entries.append((topic, forget(offsets[topic], user_id, ts=ts)))
            continue
        action = weighed(
            offsets[topic],
            user_id,
            row=draw(st.integers(0, 5)),
            ts=ts,
            item_id=draw(st.none() | st.sampled_from("abcde")),
            event_id=draw(st.none() | st.sampled_from("vwxyz")),
            weight=draw(st.sampled_from([0.5, 1.0, 3.0])),
            strength=draw(st.sampled_from([1.0, 0.3, -1.0])),
            published=NOW + draw(st.integers(0, 1000)),
        )
        entries.append((topic, action))
    return Stream(entries)


def feed(
    table: ProfileTable, stream: Stream, start: int, end: int, cuts: Iterable[int]
) -> dict[str, int]:
    """Apply a stretch of the log; every batch is of one topic. The counts of all."""
    counts: Counter[str] = Counter()
    for first, last in stream.batches(start, end, cuts):
        run: list[Given] = []
        topic = stream.entries[first][0]
        for of, action in stream.entries[first:last]:
            if of != topic:
                counts.update(apply(table, run, VECTORS, topic))
                topic, run = of, []
            run.append(action)
        counts.update(apply(table, run, VECTORS, topic))
    return dict(counts)


def versions(table: ProfileTable) -> dict[str, bytes]:
    """What would be published of every user, but for the time that freshness is measured from."""
    found = {}
    for user_id in ("ann", "bob", "cid"):
        fence = table.fence(user_id)
        if user_id in table:
            state = table.state(user_id)
            state.fresh_from = 0
            found[user_id] = encode_profile(state)
        elif fence is not None:
            found[user_id] = encode_fence(fence)
    return found


def restored(table: ProfileTable, user_id: str) -> ProfileState | Fence | None:
    """A user's version, through the bytes of the topic."""
    if user_id in table:
        return decode_profile(encode_profile(table.state(user_id)))
    fence = table.fence(user_id)
    return None if fence is None else decode_fence([("tidemark-fence", encode_fence(fence))])


CUTS = st.lists(st.integers(0, 40), max_size=8)


@given(
    st.sampled_from(POLICIES), st.sampled_from(GUARDS), streams(("actions", "orders")), CUTS, CUTS
)
def test_any_batching_gives_the_same_bytes(
    policy: Policy, guards: Robustness, stream: Stream, cuts: list[int], other_cuts: list[int]
) -> None:
    tables = new_table(policy, robustness=guards), new_table(policy, robustness=guards)
    for table, chosen in zip(tables, (cuts, other_cuts), strict=True):
        feed(table, stream, 0, len(stream.entries), chosen)
    assert versions(tables[0]) == versions(tables[1])


class Reference:
    """The same rules for one action at a time, in dicts and lists."""

    def __init__(self, policy: Policy, memory: Memory, guards: Robustness) -> None:
        self.policy, self.memory, self.guards = policy, memory, guards
        self.profiles: dict[str, ReferenceProfile] = {}
        self.seen: dict[str, list[str]] = {}
        self.events: dict[str, list[str]] = {}
        self.latest: dict[str, list[tuple[str | None, float]]] = {}
        self.applied: dict[str, dict[str, int]] = {}
        self.forgotten: dict[str, int] = {}

    def apply(self, topic: str, one: Given) -> str:
        user, applied = one.user_id, self.applied.setdefault(one.user_id, {})
        if one.offset <= applied.get(topic, -1):
            return "fenced"
        if one.row == -1:
            for held in (self.profiles, self.seen, self.events, self.latest):
                held.pop(user, None)
            applied[topic] = one.offset
            self.forgotten[user] = max(self.forgotten.get(user, 0), one.ts)
            return "forget"
        if one.ts <= self.forgotten.get(user, 0):
            return "forgotten_user"
        if one.event_id is not None and one.event_id in self.events.get(user, []):
            return "duplicate"
        known = self.profiles.get(user, ReferenceProfile.empty(DIM))
        if not passes(known, one.ts, self.guards):
            return "capped"
        applied[topic] = one.offset
        profile = self.profiles[user] = known
        kept = part_that_counts(profile, VECTORS[one.row], self.guards)
        k = fold_one(
            profile, VECTORS[one.row],
            strength=kept * one.strength, weight=one.weight, ts=one.ts, policy=self.policy,
            repeated=one.item_id in self.seen.get(user, []),
        )  # fmt: skip
        self._keep(self.seen, user, one.item_id, self.memory.seen)
        self._keep(self.events, user, one.event_id, self.memory.event_ids)
        latest = self.latest.setdefault(user, [])
        latest.append((one.item_id, k))
        del latest[: -self.memory.contributions]
        return "applied" if kept == 1.0 else "outlier"

    def _keep(self, held: dict[str, list[str]], user: str, value: str | None, limit: int) -> None:
        window = held.setdefault(user, [])
        if value is not None:
            held[user] = [*(one for one in window if one != value), value][-limit:]


@given(st.sampled_from(POLICIES), st.sampled_from(GUARDS), streams(("actions", "orders")), CUTS)
def test_any_batching_gives_what_one_at_a_time_gives(
    policy: Policy, guards: Robustness, stream: Stream, cuts: list[int]
) -> None:
    table, reference = new_table(policy, robustness=guards), Reference(policy, SMALL, guards)
    counts = feed(table, stream, 0, len(stream.entries), cuts)
    outcomes = [reference.apply(topic, one) for topic, one in stream.entries]
    assert counts == {name: outcomes.count(name) for name in outcomes}
    assert len(table) == len(reference.profiles)
    for user_id, applied in reference.applied.items():
        profile = reference.profiles.get(user_id)
        if profile is None:
            expected = Fence(
                partition=3, applied=applied, forgotten_ts=reference.forgotten.get(user_id, 0)
            )
            assert table.fence(user_id) == (expected if applied else None)
            continue
        state = table.state(user_id)
        np.testing.assert_allclose(state.array(), profile.vector, atol=1e-5)
        assert (state.count, state.last_ts) == (profile.count, profile.last_ts)
        assert (state.applied, state.forgotten_ts) == (applied, reference.forgotten.get(user_id, 0))
        assert state.seen == reference.seen[user_id]
        assert state.event_ids == [hash_of(one) for one in reference.events[user_id]]
        assert [one.item_id for one in state.contributions] == [
            item for item, _ in reference.latest[user_id]
        ]
        np.testing.assert_allclose(
            [one.k for one in state.contributions],
            [k for _, k in reference.latest[user_id]],
            atol=1e-5,
        )


@given(
    st.sampled_from(POLICIES),
    streams(),
    CUTS,
    st.lists(st.integers(0, 40), min_size=3, max_size=3),
    st.sets(st.sampled_from(["ann", "bob", "cid"])),
)
@example(  # a repeat and a late event on either side of the cut
    POLICIES[1],
    Stream(
        [
            ("actions", weighed(0, event_id="v", ts=NOW + 9)),
            ("actions", weighed(1, event_id="v", ts=NOW + 9)),
            ("actions", weighed(2, event_id="w", ts=NOW + 3)),
            ("actions", forget(3, ts=NOW + 5)),
            ("actions", weighed(4, event_id="v", ts=NOW + 4)),
            ("actions", weighed(5, event_id="v", ts=NOW + 6)),
        ]
    ),
    [2, 4],
    [1, 3, 5],
    {"ann"},
)
def test_a_crash_anywhere_changes_nothing(
    policy: Policy, stream: Stream, cuts: list[int], points: list[int], unpublished: set[str]
) -> None:
    """The first worker is stopped while it publishes, the next reads again from the commit.

    1. All before ``committed`` was read, and of every user a version is in the topic.
    2. All before ``reached`` was folded; of some users the new versions were published, of
       others, ``unpublished``, not.
    3. The next worker takes over what is in the topic and reads from ``committed``, or from
       before it.
    """
    total = len(stream.entries)
    reread, committed, reached = sorted(min(point, total) for point in points)
    whole = new_table(policy)
    feed(whole, stream, 0, total, cuts)

    first, second = new_table(policy), new_table(policy)
    feed(first, stream, 0, committed, cuts)
    topic = {user_id: restored(first, user_id) for user_id in ("ann", "bob", "cid")}
    feed(first, stream, committed, reached, cuts)
    topic |= {u: restored(first, u) for u in topic if u not in unpublished}
    for user_id, found in topic.items():
        if found is not None:
            second.take_over(user_id, found)
    feed(second, stream, reread, total, cuts)

    assert versions(second) == versions(whole)


@given(streams())
def test_taking_over_gives_back_what_was_published(stream: Stream) -> None:
    table, second = new_table(), new_table()
    feed(table, stream, 0, len(stream.entries), [])
    for user_id in versions(table):
        found = restored(table, user_id)
        assert found is not None
        second.take_over(user_id, found)
        assert restored(second, user_id) == found


def test_a_row_is_not_shared_by_users_taken_over_and_new_ones() -> None:
    table = new_table()
    for n in range(100):
        vector = np.full(DIM, n, "<f4").tobytes()
        table.take_over(f"u{n}", make_profile(n, vector=vector))
    table.take_over("u50", Fence(partition=3, applied={"actions": 200}, forgotten_ts=1))
    apply(table, [weighed(201, "new", row=3)], VECTORS)
    assert vector_in(table, "new") == VECTORS[3].tolist()
    assert vector_in(table, "u49") == [49.0] * DIM
    assert vector_in(table, "u99") == [99.0] * DIM
