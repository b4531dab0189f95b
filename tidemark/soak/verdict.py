"""What came of a log against what should have: pure, and every difference is counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tidemark.soak.names import name_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from store.profile import ProfileState
    from tidemark.soak.replay import Expected, ExpectedUser, Logged

__all__ = ["IndexRow", "Outcome", "Verdict", "judge"]

#: An encoder's rounding depends on its batch, and so does a fold's.
_TOLERANCE = 1e-5
#: So many differences are told one by one.
_TOLD = 20


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A user as the retrieval service holds them: ``(dim,) float32``, not normalised."""

    count: int
    vector: NDArray[np.float32]


@dataclass(slots=True)
class Outcome:
    """What was found when all had settled.

    Attributes:
        states: each user's newest version in what compaction left of ``profiles``.
        letters: partition and offset of every action that was dead-lettered.
        index: by user, as the retrieval service answers.
        index_size: profiles that the retrieval service counts.
        overwritten: users whose newest state an older one replaced, at any time in the run.
        unfinished: records of the log that no worker has committed.
    """

    states: Mapping[str, ProfileState]
    letters: Collection[tuple[int, int]]
    index: Mapping[str, IndexRow]
    index_size: int
    overwritten: Collection[str] = ()
    unfinished: int = 0


class Verdict(msgspec.Struct, kw_only=True):
    """Counts; the run is clean where all after ``applied`` are zero (see `faults`).

    Attributes:
        published: records sent and acknowledged, those sent again included.
        expected: of them, those that should count.
        duplicates: of them, those to be skipped.
        refused: of them, those to be dead-lettered.
        applied: actions that the profiles say they contain.
        lost: actions that are missing from the log, from a profile or from the dead letters.
        applied_twice: actions that a profile contains too often.
        out_of_order: actions that stand behind a later one of their user.
        differing_profiles: users whose vector or statistics differ by more than 1e-5, or who are
            missing, or should not be there.
        index_differences: users whose row in the index is not their profile.
        overwritten: users whose newest state was lost to an older one.
        unexpected_dead_letters: actions dead-lettered that should count.
        unfinished: records that were never committed.
        details: the first differences, in words.
    """

    published: int
    expected: int
    duplicates: int
    refused: int
    applied: int
    lost: int = 0
    applied_twice: int = 0
    out_of_order: int = 0
    differing_profiles: int = 0
    index_differences: int = 0
    overwritten: int = 0
    unexpected_dead_letters: int = 0
    unfinished: int = 0
    details: list[str] = msgspec.field(default_factory=list)

    def failures(self) -> dict[str, int]:
        """The counts that should be zero."""
        names = (
            "lost", "applied_twice", "out_of_order", "differing_profiles", "index_differences",
            "overwritten", "unexpected_dead_letters", "unfinished",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return not any(self.failures().values())


@dataclass(slots=True)
class _Tally:
    verdict: Verdict
    differing: set[str] = field(default_factory=set)

    def tell(self, what: str) -> None:
        if len(self.verdict.details) < _TOLD:
            self.verdict.details.append(what)


def judge(
    sent: Sequence[str], log: Sequence[Logged], expected: Expected, outcome: Outcome
) -> Verdict:
    """Compare.

    Args:
        sent: names of actions acknowledged, in the order sent, those sent again included.
        log: what lies in the topic, in offset order by partition.
        expected: `replay` of the log.
        outcome: what was found.
    """
    verdict = Verdict(
        published=len(sent),
        expected=expected.applied,
        duplicates=expected.duplicates,
        refused=len(expected.refused),
        applied=sum(state.count for state in outcome.states.values()),
        overwritten=len(outcome.overwritten),
        unfinished=outcome.unfinished,
    )
    tally = _Tally(verdict)
    for user_id in sorted(outcome.overwritten):
        tally.tell(f"user {user_id}: the newest state was overwritten by an older one")
    _judge_log(sent, log, tally)
    _judge_letters(expected, outcome, tally)
    for user_id in sorted(expected.users.keys() | outcome.states.keys()):
        _judge_user(user_id, expected.users.get(user_id), outcome.states.get(user_id), tally)
    verdict.differing_profiles = len(tally.differing)
    _judge_index(outcome, tally)
    return verdict


def _judge_log(sent: Sequence[str], log: Sequence[Logged], tally: _Tally) -> None:
    """Whether all that was acknowledged lies in the log, each user's in the order sent."""
    order = {name: place for place, name in reversed(list(enumerate(sent)))}
    lying = {name_of(logged.action) for logged in log}
    missing = [name for name in order if name not in lying]
    tally.verdict.lost += len(missing)
    for name in missing:
        tally.tell(f"action {name}: acknowledged, but not in the log")
    latest: dict[str, int] = {}
    seen: set[str] = set()
    for logged in log:
        name = name_of(logged.action)
        if name in seen or name not in order:
            continue
        seen.add(name)
        user_id = logged.action.user_id
        if order[name] < latest.get(user_id, -1):
            tally.verdict.out_of_order += 1
            tally.tell(f"action {name}: lies in the log behind a later one of user {user_id}")
        latest[user_id] = max(order[name], latest.get(user_id, -1))


def _judge_letters(expected: Expected, outcome: Outcome, tally: _Tally) -> None:
    letters = set(outcome.letters)
    missing, surplus = expected.refused - letters, letters - expected.refused
    tally.verdict.lost += len(missing)
    tally.verdict.unexpected_dead_letters = len(surplus)
    for partition, offset in sorted(missing):
        tally.tell(f"partition {partition}, offset {offset}: refused, but not dead-lettered")
    for partition, offset in sorted(surplus):
        tally.tell(f"partition {partition}, offset {offset}: dead-lettered, but nothing is wrong")


def _judge_user(
    user_id: str, wanted: ExpectedUser | None, state: ProfileState | None, tally: _Tally
) -> None:
    verdict = tally.verdict
    want = wanted.profile.count if wanted else 0
    got = state.count if state else 0
    if got != want:
        verdict.lost += max(0, want - got)
        verdict.applied_twice += max(0, got - want)
        tally.differing.add(user_id)
        tally.tell(f"user {user_id}: {got} actions applied, expected {want}")
    if wanted is None or state is None:
        tally.differing.add(user_id)
        return
    shown = [(one.item_id, one.strength) for one in state.contributions]
    _judge_latest(user_id, list(wanted.latest), shown, want == got, tally)
    close = np.allclose(state.array(), wanted.profile.vector, rtol=0, atol=_TOLERANCE)
    sums = np.allclose(
        (state.sum_k, state.sum_k2, state.mass),
        (wanted.profile.sum_k, wanted.profile.sum_k2, wanted.profile.mass),
        rtol=_TOLERANCE,
    )
    if not (close and sums and state.last_ts == wanted.profile.last_ts):
        tally.differing.add(user_id)
        away = float(np.abs(state.array() - wanted.profile.vector).max())
        tally.tell(f"user {user_id}: the profile differs, by up to {away:.2g} in its vector")


def _judge_latest(
    user_id: str,
    want: list[tuple[str | None, float]],
    got: list[tuple[str | None, float]],
    same_count: bool,
    tally: _Tally,
) -> None:
    """The last contributions: another order, or one for another where the counts agree."""
    if want == got:
        return
    missing, surplus = Counter(want) - Counter(got), Counter(got) - Counter(want)
    if not missing and not surplus:
        moved = len(want) - _longest_common(want, got)
        tally.verdict.out_of_order += moved
        tally.tell(f"user {user_id}: {moved} of the last {len(want)} actions are out of order")
    elif same_count:
        # As many as expected, but not the same: one lost for each that came too often.
        tally.verdict.lost += missing.total()
        tally.verdict.applied_twice += surplus.total()
        tally.tell(
            f"user {user_id}: among the last {len(want)} actions {missing.total()} are missing and "
            f"{surplus.total()} too many"
        )
    tally.differing.add(user_id)


def _longest_common(
    one: list[tuple[str | None, float]], two: list[tuple[str | None, float]]
) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(two) + 1)
    for left in one:
        before = 0
        for place, right in enumerate(two, start=1):
            above = row[place]
            row[place] = before + 1 if left == right else max(above, row[place - 1])
            before = above
    return row[-1]


def _judge_index(outcome: Outcome, tally: _Tally) -> None:
    wrong = 0
    for user_id, state in outcome.states.items():
        row = outcome.index.get(user_id)
        same = (
            row is not None
            and row.count == state.count
            and row.vector.shape == state.array().shape
            and np.allclose(row.vector, state.array(), rtol=0, atol=_TOLERANCE)
        )
        if not same:
            wrong += 1
            tally.tell(f"user {user_id}: the index does not hold the profile")
    surplus = outcome.index_size - len(outcome.states)
    if surplus:
        tally.tell(f"the index counts {outcome.index_size}, there are {len(outcome.states)}")
    tally.verdict.index_differences = wrong + max(0, surplus)
