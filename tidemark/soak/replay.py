"""What the profiles should be: the log, folded one action at a time in plain NumPy."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from store.reference import ReferenceProfile, fold_one, part_that_counts, passes
from store.robustness import Robustness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from store.policies import Policy
    from streams.rules import ActionRules
    from streams.schema import Action

__all__ = ["Expected", "ExpectedUser", "Logged", "replay"]


@dataclass(frozen=True, slots=True)
class Logged:
    """An action as it lies in the log."""

    partition: int
    offset: int
    action: Action


@dataclass(slots=True)
class ExpectedUser:
    """A user's profile as it should be.

    Attributes:
        latest: the last actions applied, item and strength, oldest first.
        seen: items recently seen, oldest first.
    """

    profile: ReferenceProfile
    latest: deque[tuple[str | None, float]]
    event_ids: dict[str, None] = field(default_factory=dict)
    seen: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class Expected:
    """What should have come of a log.

    Attributes:
        users: by id.
        refused: partition and offset of the actions to be dead-lettered.
        duplicates: actions to be skipped, for their event was applied before.
        capped: actions to be skipped, for their user had too many.
    """

    users: dict[str, ExpectedUser] = field(default_factory=dict)
    refused: set[tuple[int, int]] = field(default_factory=set)
    duplicates: int = 0
    capped: int = 0

    @property
    def applied(self) -> int:
        """Actions that should count."""
        return sum(user.profile.count for user in self.users.values())


def replay(
    log: Iterable[Logged],
    vectors: Mapping[str, NDArray[np.float32]],
    *,
    text_of: Callable[[Action], str],
    rules: ActionRules,
    policy: Policy,
    dim: int,
    contributions: int,
    event_ids: int,
    seen: int = 200,
    robustness: Robustness | None = None,
) -> Expected:
    """Fold a log.

    Args:
        log: in offset order by partition; a user's actions are in one partition.
        vectors: by text, ``(dim,) float32`` of norm 1; a text without one is refused.
        text_of: the text of an action.
        rules: weigh an action.
        policy: chooses k.
        dim: length of the vectors.
        contributions: how many a profile keeps.
        event_ids: how many a profile keeps.
        seen: how many recently seen items a profile keeps.
        robustness: what is capped, and what counts less; by default nothing.
    """
    guards = Robustness() if robustness is None else robustness
    expected = Expected()
    for logged in log:
        action = logged.action
        vector = vectors.get(text_of(action))
        if vector is None:
            # Refused before anything else is looked at: its event counts as never seen.
            expected.refused.add((logged.partition, logged.offset))
            continue
        user = expected.users.get(action.user_id)
        if user is not None and action.event_id is not None and action.event_id in user.event_ids:
            expected.duplicates += 1
            continue
        if user is None:
            user = ExpectedUser(ReferenceProfile.empty(dim), deque(maxlen=contributions))
            expected.users[action.user_id] = user
        if not passes(user.profile, action.ts, guards):
            expected.capped += 1
            continue
        weight, strength = rules.weigh(action)
        strength *= part_that_counts(user.profile, vector, guards)
        fold_one(
            user.profile, vector, strength=strength, weight=weight, ts=action.ts, policy=policy,
            repeated=action.item_id in user.seen,
        )  # fmt: skip
        if action.item_id is not None:
            _remember(user.seen, action.item_id, seen)
        # A profile carries it as float32.
        user.latest.append((action.item_id, float(np.float32(strength))))
        if action.event_id is not None:
            _remember(user.event_ids, action.event_id, event_ids)
    return expected


def _remember(window: dict[str, None], one: str, limit: int) -> None:
    """Put it last; of too many, drop the first."""
    window.pop(one, None)
    window[one] = None
    if len(window) > limit:
        del window[next(iter(window))]
