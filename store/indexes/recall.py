"""How much of the truth searches find, and how much effort that takes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from store.indexes.kernels import offer
from store.indexes.rows import nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from store.indexes.accelerator import Accelerator
    from store.indexes.rows import Best

__all__ = ["RecallProbe"]

_K = 100
#: Probes that are averaged.
_WINDOW = 12
_MORE, _LESS = 1.3, 0.9
#: Effort is saved where so much of what may be missed is found all the same.
_SPARE = 0.5
#: Of a score, by the order in which its products are added.
_ROUNDING = 1e-5
#: Segments that are looked at in one step: about a millisecond.
_SEGMENTS = 1


class RecallProbe:
    """Compares a search with looking at all rows, a few segments at a time between other calls.

    Rows that are written meanwhile do not count: the one saw what the other did not.

    Args:
        target: share of the true best 100 that is wanted.
    """

    k = _K

    def __init__(self, target: float) -> None:
        self._target = target
        self._shares: deque[float] = deque(maxlen=_WINDOW)
        self._query: NDArray[np.float32] | None = None
        self._found, self._found_rows = nothing(0, _K)
        self._best, self._rows = nothing(1, _K)
        self._next = 0
        self._written: list[NDArray[np.int64]] = []
        self.recall: float | None = None

    @property
    def running(self) -> bool:
        """Whether there is more to look at."""
        return self._query is not None

    def begin(self, query: NDArray[np.float32], found: Best) -> None:
        """A search for ``(1, dim)`` found these ``(1, k)`` scores and rows."""
        self._query, self._next = query, 0
        self._found, self._found_rows = found
        self._written.clear()
        self._best, self._rows = nothing(1, found[1].shape[1])

    def on_written(self, rows: NDArray[np.int64]) -> None:
        """These rows hold something else from now on."""
        if self.running:
            self._written.append(rows)

    def step(
        self,
        segments: list[tuple[int, NDArray[Any]]],
        scan: Callable[[NDArray[np.float32], int, list[Any]], Best],
        accelerator: Accelerator,
    ) -> None:
        """Look at some more; after the last, tell the accelerator to make more or less effort."""
        assert self._query is not None  # noqa: S101 # it is running
        some = segments[self._next : self._next + _SEGMENTS]
        self._next += _SEGMENTS
        if some:
            work = [(start, rows, None) for start, rows in some]
            scores, rows = scan(self._query, self._best.shape[1], work)
            kept = rows[0] >= 0
            offer(scores[:, kept], rows[0, kept], self._best, self._rows)
        if self._next < len(segments):
            return
        self._query = None
        written = np.concatenate([np.empty(0, np.int64), *self._written])
        self._written.clear()
        there = (self._rows[0] >= 0) & ~np.isin(self._rows[0], written)
        true = self._best[0, there]
        if not len(true):
            return
        # By score, too: of rows that are as good as each other it is no matter which were found.
        least = float(true.min()) - _ROUNDING * float(np.abs(true).max())
        found = (self._found_rows[0] >= 0) & ~np.isin(self._found_rows[0], written)
        good = np.isin(self._found_rows[0], self._rows[0, there]) | (self._found[0] >= least)
        self._shares.append(min(1.0, float((good & found).sum()) / len(true)))
        self.recall = float(np.mean(self._shares))
        self._steer(accelerator)

    def _steer(self, accelerator: Accelerator) -> None:
        effort = accelerator.effort
        if self._shares[-1] < self._target and self.recall < self._target:  # type: ignore[operator] # set before
            effort = int(effort * _MORE) + 1
        elif len(self._shares) == _WINDOW and self.recall > 1 - (1 - self._target) * _SPARE:  # type: ignore[operator]
            effort = int(effort * _LESS)
        effort = min(max(effort, accelerator.least_effort), accelerator.most_effort)
        if effort != accelerator.effort:
            accelerator.effort = effort
            self._shares.clear()  # they were found with another
