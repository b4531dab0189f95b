"""The verdict sees every way in which a run can go wrong, each by its own count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from encoders import HashingEncoder
from store.policies import Policy
from store.profile import Contribution, ProfileState
from streams.rules import ActionRule, ActionRules, RatingScale
from streams.schema import Action
from tidemark.soak.names import name_of, named
from tidemark.soak.replay import Expected, Logged, replay
from tidemark.soak.run import Happened, SoakReport
from tidemark.soak.verdict import IndexRow, Outcome, Verdict, judge

DIM = 16
WORDS = [f"word number {n}" for n in range(40)]
VECTORS = dict(zip(WORDS, HashingEncoder(DIM).encode(WORDS), strict=True))
RULES = ActionRules({"search": ActionRule(1.0, 0.5)}, RatingScale())


def said(number: int, user: str, *, event: str | None = None, text: str | None = None) -> Logged:
    words = WORDS[number % len(WORDS)] if text is None else text
    action = Action(
        user_id=user, action="search", ts=1_000 + number, text=words, item_id=f"i{number}",
    )  # fmt: skip
    return Logged(0, number, named(action, event or f"e{number}", repeatable=True))


#: Two users in turns.
LOG = [said(number, "ann" if number % 2 else "ben") for number in range(30)]


def folded(log: Sequence[Logged]) -> Expected:
    return replay(
        log, VECTORS, text_of=lambda action: action.text or "", rules=RULES,
        policy=Policy("adaptive"), dim=DIM, contributions=10, event_ids=8,
    )  # fmt: skip


def states(log: Sequence[Logged]) -> dict[str, ProfileState]:
    """What a worker that was given this log would publish."""
    return {
        user_id: ProfileState(
            encoder="e", policy="p", dim=DIM, vector=user.profile.vector.tobytes(),
            count=user.profile.count, last_ts=user.profile.last_ts, partition=0, applied={"a": 1},
            mass=user.profile.mass, sum_k=user.profile.sum_k, sum_k2=user.profile.sum_k2,
            contributions=[Contribution("search", item, 0.5, s) for item, s in user.latest],
        )
        for user_id, user in folded(log).users.items()
    }  # fmt: skip


def rows(held: dict[str, ProfileState]) -> dict[str, IndexRow]:
    return {user_id: IndexRow(state.count, state.array()) for user_id, state in held.items()}


@dataclass
class Run:
    """A run in which all went well, to be spoilt."""

    sent: list[str]
    log: list[Logged]
    outcome: Outcome

    def verdict(self) -> Verdict:
        return judge(self.sent, self.log, folded(self.log), self.outcome)


def run_of(log: Sequence[Logged], applied: Sequence[Logged] | None = None) -> Run:
    held = states(log if applied is None else applied)
    refused = {(one.partition, one.offset) for one in log if one.action.text not in VECTORS}
    sent = [name_of(one.action) for one in log]
    return Run(sent, list(log), Outcome(held, refused, rows(held), len(held)))


def failures(verdict: Verdict) -> dict[str, int]:
    return {name: count for name, count in verdict.failures().items() if count}


def test_a_run_without_fault_is_clean() -> None:
    verdict = run_of(LOG).verdict()
    assert verdict.clean
    assert failures(verdict) == {}
    assert (verdict.published, verdict.expected, verdict.applied) == (30, 30, 30)
    assert verdict.details == []


def test_duplicates_within_the_window_and_refused_texts_are_expected() -> None:
    again = [replace(LOG[number], offset=30 + number) for number in (28, 29)]
    refused = replace(said(40, "ann", text="not encodable"), offset=32)
    verdict = run_of([*LOG, *again, refused]).verdict()
    assert verdict.clean
    assert (verdict.published, verdict.expected) == (33, 30)
    assert (verdict.duplicates, verdict.refused) == (2, 1)


@pytest.mark.parametrize("number", [0, 15, 29])
def test_a_lost_action_is_counted(number: int) -> None:
    verdict = run_of(LOG, [one for one in LOG if one.offset != number]).verdict()
    assert failures(verdict) == {"lost": 1, "differing_profiles": 1}
    assert "14 actions applied, expected 15" in verdict.details[0]


@pytest.mark.parametrize("number", [0, 15, 29])
def test_an_action_applied_twice_is_counted(number: int) -> None:
    twice = replace(LOG[number], action=said(number, LOG[number].action.user_id, event="x").action)
    verdict = run_of(LOG, [*LOG[: number + 1], twice, *LOG[number + 1 :]]).verdict()
    assert failures(verdict) == {"applied_twice": 1, "differing_profiles": 1}


def test_one_lost_and_one_applied_twice_do_not_cancel_out() -> None:
    other = said(27, "ann", event="x")
    verdict = run_of(LOG, [*LOG[:25], *LOG[26:], other]).verdict()
    assert failures(verdict) == {"lost": 1, "applied_twice": 1, "differing_profiles": 1}


def test_two_swapped_actions_are_counted() -> None:
    swapped = [*LOG[:25], LOG[27], LOG[26], LOG[25], *LOG[28:]]  # 25 and 27 are ann's
    verdict = run_of(LOG, swapped).verdict()
    assert failures(verdict) == {"out_of_order": 1, "differing_profiles": 1}


def test_swapped_actions_that_are_no_longer_remembered_make_the_profile_differ() -> None:
    swapped = [LOG[0], LOG[3], LOG[2], LOG[1], *LOG[4:]]
    verdict = run_of(LOG, swapped).verdict()
    assert failures(verdict) == {"differing_profiles": 1}


def test_a_vector_that_is_off_by_little_differs() -> None:
    run = run_of(LOG)
    state = run.outcome.states["ann"]
    vector = state.array().copy()
    vector[3] += 3e-5
    state.vector = vector.tobytes()
    assert failures(run.verdict()) == {"differing_profiles": 1, "index_differences": 1}


def test_a_missing_user_and_one_too_many_are_counted() -> None:
    run = run_of(LOG, [*(one for one in LOG if one.action.user_id == "ann"), said(31, "cid")])
    assert failures(run.verdict()) == {"lost": 15, "applied_twice": 1, "differing_profiles": 2}


def test_a_wrong_row_of_the_index_is_counted() -> None:
    run = run_of(LOG)
    run.outcome.index = {**run.outcome.index, "ann": run.outcome.index["ben"]}
    assert failures(run.verdict()) == {"index_differences": 1}


def test_a_stale_a_missing_and_a_surplus_row_are_counted() -> None:
    run = run_of(LOG)
    ann = run.outcome.index["ann"]
    run.outcome.index = {"ann": IndexRow(ann.count - 1, ann.vector)}
    run.outcome.index_size = 4
    assert failures(run.verdict()) == {"index_differences": 4}


def test_dead_letters_are_compared_with_what_was_refused() -> None:
    run = run_of([*LOG, replace(said(40, "ann", text="not encodable"), offset=30)])
    run.outcome.letters = {(0, 7)}
    verdict = run.verdict()
    assert failures(verdict) == {"lost": 1, "unexpected_dead_letters": 1}
    assert "partition 0, offset 30: refused, but not dead-lettered" in verdict.details


def test_what_was_acknowledged_but_is_not_in_the_log_is_lost() -> None:
    run = run_of(LOG[:-1])
    run.sent.append("e29")
    assert failures(run.verdict()) == {"lost": 1}


def test_a_log_that_is_not_in_the_order_sent_is_seen() -> None:
    run = run_of(LOG)
    run.sent[4], run.sent[6] = run.sent[6], run.sent[4]
    assert failures(run.verdict()) == {"out_of_order": 1}


def test_overwritten_states_and_unfinished_records_are_failures() -> None:
    run = run_of(LOG)
    run.outcome.overwritten, run.outcome.unfinished = {"ann"}, 3
    assert failures(run.verdict()) == {"overwritten": 1, "unfinished": 3}


def test_the_replay_forgets_event_ids_as_the_worker_does() -> None:
    late = [replace(LOG[1], offset=50)]  # 15 of ann's actions later, the window is 8
    assert folded([*LOG, *late]).applied == 31
    soon = [replace(LOG[-1], offset=50)]
    assert folded([*LOG, *soon]).applied == 30


def test_the_report_can_be_read_again() -> None:
    verdict = run_of(LOG, LOG[:-1]).verdict()
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict
    assert verdict.lost == 1


@pytest.mark.parametrize(
    ("spoilt", "clean"),
    [
        ({}, True),
        ({"exits": ["worker 1, exit status 1"]}, False),
        ({"compacted": False}, False),
        ({"happened": [Happened(1, "duplicates", 0.0, "nothing was sent", missed=True)]}, False),
    ],
)
def test_a_report_is_clean_where_nothing_ended_by_itself_and_all_was_looked_at(
    spoilt: dict[str, Any], clean: bool
) -> None:
    whole: dict[str, Any] = {
        "seed": 1, "rate": 1.0, "workers": 1, "brokers": 1, "seconds": 1.0, "happened": [],
        "late_states": 0, "compacted": True, "exits": [], "verdict": run_of(LOG).verdict(),
    }  # fmt: skip
    assert SoakReport(**{**whole, **spoilt}).clean is clean
