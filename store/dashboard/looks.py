"""The last looks at each process, and windows on them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from store.dashboard.figures import Window

if TYPE_CHECKING:
    from collections.abc import Collection

    from store.dashboard.figures import Look

__all__ = ["Looks"]


class Looks:
    """Looks at several processes, the last ``kept`` seconds of each."""

    def __init__(self, kept: float = 30.0) -> None:
        self._kept = kept
        self._looks: dict[str, deque[Look]] = {}

    def add(self, process: str, look: Look) -> None:
        """The latest look at a process."""
        looks = self._looks.setdefault(process, deque())
        if looks and look.at <= looks[-1].at:
            return
        looks.append(look)
        # One at or before the beginning stays: also where looks are rare there are two.
        while len(looks) > 2 and looks[1].at <= look.at - self._kept:  # noqa: PLR2004
            looks.popleft()

    def keep(self, processes: Collection[str]) -> None:
        """Forget the processes that are not named."""
        self._looks = {name: one for name, one in self._looks.items() if name in processes}

    def window(self, seconds: float) -> Window:
        """The last so many seconds of each process, or a little more."""
        pairs = {}
        for process, looks in self._looks.items():
            now = looks[-1]
            earlier = [one for one in list(looks)[:-1] if one.at <= now.at - seconds]
            before = earlier[-1] if earlier else (looks[0] if len(looks) > 1 else None)
            pairs[process] = (before, now)
        return Window(pairs)
