"""A map of profiles and items: a sample of both, in the plane in which they differ most."""

from __future__ import annotations

import asyncio
import time
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from store.dashboard import exploring
from store.dashboard.asking import asked_of
from store.dashboard.projection import choose, principal_plane

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.dashboard.exploring import Points
    from store.generations import Generation

__all__ = ["MapMaker"]

#: Ids that the sample is drawn from, of each kind: listing them takes the owner some milliseconds.
MOST_LISTED = 200_000
#: Vectors that the owner copies at once, others' questions in between.
_AT_ONCE = 256


class MapMaker:
    """Makes a map at most every so often; who asks meanwhile is given the same one.

    Args:
        most: items, and profiles, at most.
        seconds: that a map is kept.
        clock: seconds, from any beginning.
    """

    def __init__(
        self,
        most: int = 2_000,
        seconds: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._making = asyncio.Lock()
        # Weakly: a generation that answers no more is let go.
        self._made: tuple[weakref.ref[Generation], float, dict[str, Any]] | None = None

    async def map(self, generation: Generation) -> dict[str, Any]:
        """The map of what this generation holds; made at most `seconds` ago."""
        async with self._making:
            if self._made is not None:
                of, at, made = self._made
                if of() is generation and self._clock() - at < self._seconds:
                    return made
            made = await self._make(generation)
            self._made = (weakref.ref(generation), self._clock(), made)
            return made

    async def _make(self, generation: Generation) -> dict[str, Any]:
        user_ids, item_ids = await asked_of(generation, exploring.listed, MOST_LISTED)
        chosen = await asyncio.to_thread(
            lambda: (choose(user_ids, self._most), choose(item_ids, self._most))
        )
        users = await _copied(generation, exploring.user_points, chosen[0])
        items = await _copied(generation, exploring.item_points, chosen[1])
        view = generation.view
        return {
            **await asyncio.to_thread(_drawn, users, items),
            "generation": generation.name,
            "total": {"users": view.profile_count, "items": view.item_count},
            "drawn_from": {"users": len(user_ids), "items": len(item_ids)},
        }


async def _copied(
    generation: Generation, points: Callable[..., Points], ids: list[str]
) -> list[Points]:
    return [
        await asked_of(generation, points, ids[start : start + _AT_ONCE])
        for start in range(0, len(ids), _AT_ONCE)
    ]


def _drawn(users: list[Points], items: list[Points]) -> dict[str, Any]:
    parts = [*users, *items]
    vectors = [part.vectors for part in parts]
    points, explained = principal_plane(
        np.concatenate(vectors) if vectors else np.zeros((0, 0), np.float32)
    )
    count = sum(len(part.ids) for part in users)
    return {
        "explained": explained,
        "users": _columns(users, points[:count]),
        "items": _columns(items, points[count:]),
    }


def _columns(parts: list[Points], points: Any) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for part in parts for name in part.columns)
    return {
        "id": [one for part in parts for one in part.ids],
        "x": np.round(points[:, 0].astype(np.float64), 4).tolist(),
        "y": np.round(points[:, 1].astype(np.float64), 4).tolist(),
        **{name: [one for part in parts for one in part.columns[name]] for name in names},
    }
