"""Which changes of profiles a `Learner` is told of: so many a second, as each has its cost."""

from __future__ import annotations

from itertools import islice
from random import Random
from typing import TYPE_CHECKING

from store.ranking.changes import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from store.ranking.learner import Learner
    from store.user_profile import UserProfile

__all__ = ["CHANGES_AT_ONCE", "LEARNED_FIRST", "SampledLearning"]

#: Changes of profiles that a service tells the blend of at once: at a thousand a second it lags by
#: so many milliseconds, and a call of it no longer costs more than what it counts.
CHANGES_AT_ONCE = 64
#: A blend that knows nothing yet learns from so many changes however fast they come, so that a
#: first import, over in seconds, teaches it something: less than a second's work, once. It learns
#: of users who were there before, one choice of a change: of an import's few large batches, which
#: bring users with all that they ever did, that is little. To learn from these as well, each choice
#: held against what came before it, was tried on three logs and helped on one: what is counted of
#: one user of a batch is ahead of what the next one did.
LEARNED_FIRST = 2_000

_Changed = tuple[str, "UserProfile | None", "UserProfile"]
#: Of profiles that were there before, so many are counted, and so many between two batches: what a
#: start may take for it is seconds, and a batch waits for milliseconds.
_HISTORY, _HISTORY_AT_ONCE = 20_000, 16
#: Changes wait for so many batches at most.
_MOST_BATCHES = 8


class SampledLearning:
    """Hands changes of profiles to a `Learner`: some to be counted, fewer to be learned from.

    What is counted are shares, which a sample tells as well: with more changes than are worth their
    cost, each is as likely to be taken as any other. What was taken waits, in its order, until
    there is enough to hand over or eight batches have passed: a call of the learner costs as much
    as ten changes.

    Args:
        learner: what learns.
        directions: of users as they are indexed yet, before the change.
        counted_per_second: changes that are counted, at most.
        learned_per_second: of these, that are learned from.
        learned_first: that are learned from beside these, while the blend has taken fewer steps;
            none where none a second are.
        at_once: changes that are waited for.
        seed: of which.

    Attributes:
        live: set by `begin`.
        restored: whether the learner knows the history up to some moment, from a snapshot. Then
            what follows is counted as it is read; else the history is counted from the profiles
            that it leaves, once all items are known that it is of.
        now_ms: wall clock at the latest batch.
    """

    def __init__(
        self,
        learner: Learner,
        directions: Callable[[Sequence[str]], Mapping[str, NDArray[np.float32]]],
        *,
        counted_per_second: float,
        learned_per_second: float,
        learned_first: int = 0,
        at_once: int = 1,
        seed: int = 0,
    ) -> None:
        self._learner = learner
        self._directions = directions
        self._random = Random(seed)  # noqa: S311 # a sample, no secret
        self._counting = _Budget(counted_per_second)
        self._learning = _Budget(learned_per_second)
        self._learned_first = learned_first if learned_per_second else 0
        self._history: list[UserProfile] = []
        self._read = 0
        self._at_once = at_once
        self._waiting: list[Change] = []
        self._batches = 0
        self.live = self.restored = False
        self.now_ms = 0

    @property
    def counts_history(self) -> bool:
        """Whether there is some left to be counted."""
        return bool(self._history)

    def __call__(self, changed: Sequence[_Changed]) -> None:
        """These profiles are others now."""
        if not self.live:
            if self.restored:
                some = changed[: _HISTORY - self._read]
                self._read += len(some)
                self._learner.observe([Change(before, now) for _, before, now in some])
            return
        counted = self._draw(len(changed), self._counting.take(len(changed), self.now_ms))
        changes = [Change(before, now) for _, before, now in map(changed.__getitem__, counted)]
        # of one who is new there is no profile from before, to learn from
        known = [at for at, change in enumerate(changes) if change.before is not None]
        wanted = self._learning.take(len(known), self.now_ms)
        if learned := [known[at] for at in self._draw(len(known), wanted)]:
            directions = self._directions([changed[counted[at]][0] for at in learned])
            for at in learned:
                direction = directions.get(changed[counted[at]][0])
                changes[at] = changes[at]._replace(direction=direction)
        self._waiting += changes
        if len(self._waiting) >= self._at_once:
            self.catch_up()

    def begin(self, latest: Iterable[UserProfile]) -> None:
        """The history is read: what comes now is sampled.

        Args:
            latest: the profiles there are, those that came last first.
        """
        self.live = True
        self._learning.add(max(0, self._learned_first - int(self._learner.blend.steps[0])))
        if not self.restored:
            self._history = list(islice(latest, _HISTORY))

    def between_batches(self) -> None:
        """Count some of the history, and hand over what has waited for long enough."""
        if self._history:
            some = self._history[: -_HISTORY_AT_ONCE - 1 : -1]  # the oldest of them first
            del self._history[-_HISTORY_AT_ONCE:]
            self._learner.observe([Change(None, one) for one in some])
        if self._waiting:
            self._batches += 1
            if self._batches == _MOST_BATCHES:
                self.catch_up()

    def catch_up(self) -> None:
        """Hand over what waits."""
        waiting, self._waiting, self._batches = self._waiting, [], 0
        self._learner.observe(waiting)

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
        self._once = 0
        self._seen_ms: int | None = None

    def add(self, once: int) -> None:
        """So many more, whenever they are wanted."""
        self._once += once

    def take(self, wanted: int, now_ms: int) -> int:
        passed = 0 if self._seen_ms is None else max(0, now_ms - self._seen_ms) / 1000
        self._seen_ms = now_ms
        self._left = min(self._most, self._left + passed * self._per_second)
        at_once = min(self._once, wanted)
        self._once -= at_once
        taken = min(int(self._left), wanted - at_once)
        self._left -= taken
        return at_once + taken
