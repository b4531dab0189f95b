"""Which changes of profiles a `Learner` is told of: so many a second, as each has its cost."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from store.ranking.changes import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from store.ranking.learner import Learner
    from store.user_profile import UserProfile

__all__ = ["SampledLearning"]

_Changed = tuple[str, "UserProfile | None", "UserProfile"]
#: Of profiles that were there before, so many are counted: what a start may take for it is seconds.
_HISTORY = 20_000


class SampledLearning:
    """Hands changes of profiles to a `Learner`: some to be counted, fewer to be learned from.

    What is counted are shares, which a sample tells as well: with more changes than are worth their
    cost, each is as likely to be taken as any other. What was taken waits until there is enough to
    hand over, in its order, or time for it: a call of the learner costs as much as ten changes.

    Args:
        learner: what learns.
        directions: of users as they are indexed yet, before the change.
        counted_per_second: changes that are counted, at most.
        learned_per_second: of these, that are learned from.
        at_once: changes that are waited for; see `catch_up`.
        seed: of which.

    Attributes:
        live: while it is not set, the history is read, and changes are counted only.
        now_ms: wall clock at the latest batch.
    """

    def __init__(
        self,
        learner: Learner,
        directions: Callable[[Sequence[str]], Mapping[str, NDArray[np.float32]]],
        *,
        counted_per_second: float,
        learned_per_second: float,
        at_once: int = 1,
        seed: int = 0,
    ) -> None:
        self._learner = learner
        self._directions = directions
        self._random = Random(seed)  # noqa: S311 # a sample, no secret
        self._counting = _Budget(counted_per_second)
        self._learning = _Budget(learned_per_second)
        self._of_history = _HISTORY
        self._at_once = at_once
        self._waiting: list[Change] = []
        self.live = False
        self.now_ms = 0

    def __call__(self, changed: Sequence[_Changed]) -> None:
        """These profiles are others now."""
        if not self.live:
            self._count([Change(before, now) for _, before, now in changed])
            return
        counted = self._draw(len(changed), self._counting.take(len(changed), self.now_ms))
        changes = [Change(before, now) for _, before, now in map(changed.__getitem__, counted)]
        learned = self._draw(len(counted), self._learning.take(len(counted), self.now_ms))
        if learned:
            directions = self._directions([changed[counted[at]][0] for at in learned])
            for at in learned:
                direction = directions.get(changed[counted[at]][0])
                changes[at] = changes[at]._replace(direction=direction)
        self._waiting += changes
        if len(self._waiting) >= self._at_once:
            self.catch_up()

    def catch_up(self) -> None:
        """Hand over what waits."""
        waiting, self._waiting = self._waiting, []
        self._learner.observe(waiting)

    def put(self, profiles: Sequence[UserProfile]) -> None:
        """These profiles were there before: their seen items are counted, of the first ones."""
        self._count([Change(None, one) for one in profiles])

    def _count(self, changes: Sequence[Change]) -> None:
        some = changes[: self._of_history]
        self._of_history -= len(some)
        self._learner.observe(some)

    def _draw(self, count: int, wanted: int) -> list[int]:
        """Places, at random; in their order where all are wanted."""
        return list(range(count)) if wanted == count else self._random.sample(range(count), wanted)


class _Budget:
    """So many a second, and after a pause no more than a second's at once."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        # one more than a second's, so that what is left of a whole one is not lost
        self._most = per_second + 1.0
        self._left = per_second
        self._seen_ms: int | None = None

    def take(self, wanted: int, now_ms: int) -> int:
        passed = 0 if self._seen_ms is None else max(0, now_ms - self._seen_ms) / 1000
        self._seen_ms = now_ms
        self._left = min(self._most, self._left + passed * self._per_second)
        taken = min(int(self._left), wanted)
        self._left -= taken
        return taken
