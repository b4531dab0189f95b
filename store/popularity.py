"""How many users' recently seen items hold each item."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Popularity"]


class Popularity:
    """Counts kept from the differences between a user's old and new seen items.

    A pure function of the users' current states: whatever led to them, `counts` is what counting
    them from scratch gives.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        #: How often something changed.
        self.changes = 0

    def counts(self) -> dict[str, int]:
        """A copy: users per item, items without any left out."""
        return dict(self._counts)

    def count(self, item_id: str) -> int:
        """Users whose recently seen items hold the item."""
        return self._counts.get(item_id, 0)

    def most(self) -> int:
        """Users of the item that most have seen; 0 where there is none."""
        return max(self._counts.values(), default=0)

    def change(self, old: Iterable[str], new: Iterable[str]) -> None:
        """A user's seen items were ``old`` and are ``new``."""
        before, after = set(old), set(new)
        self.changes += before != after
        for item_id in after - before:
            self._counts[item_id] = self._counts.get(item_id, 0) + 1
        for item_id in before - after:
            left = self._counts[item_id] - 1
            if left:
                self._counts[item_id] = left
            else:
                del self._counts[item_id]

    def top(self, k: int, qualifies: Callable[[str], bool]) -> list[str]:
        """The k items that qualify and most users have seen, best first, ties by id.

        Items that nobody has seen are left out.
        """
        ranked = (
            (-count, item_id) for item_id, count in self._counts.items() if qualifies(item_id)
        )
        return [item_id for _, item_id in heapq.nsmallest(k, ranked)]
