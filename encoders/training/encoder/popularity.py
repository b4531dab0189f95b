"""How popular each item was at a time: what the training holds constant; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoders.training.encoder.actions import Actions

__all__ = ["HALF_LIVES_DAYS", "Popularity", "popularity_over_time"]

#: Of the decayed counts: hours, days, a month, a year.
HALF_LIVES_DAYS = (0.5, 4.0, 30.0, 365.0)
_DAY_MS = 86_400_000.0
#: What every count begins with, so that its logarithm exists.
_PRIOR = 0.3
_MOST_LOOKS = 200
_MEMORY = 128 * 1024 * 1024


class Popularity(NamedTuple):
    """Decayed counts of actions, looked at now and then.

    Attributes:
        places: ``(looks,) int64`` of the actions just before which they were looked at, ascending.
        logs: ``(looks, half-lives, items) float32``: log(count + 0.3).
    """

    places: NDArray[np.int64]
    logs: NDArray[np.float32]

    def look_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The last look before each of these places; the first where there is none."""
        found = np.searchsorted(self.places, places, side="right") - 1
        return np.maximum(found, 0)


def popularity_over_time(actions: Actions) -> Popularity:
    """Counts by item, halved every half-life, at up to 200 evenly spread actions.

    Of large catalogues it is looked at less often, so that it stays within 128 MiB.
    """
    size = 4 * len(HALF_LIVES_DAYS) * actions.catalogue
    looks = int(np.clip(_MEMORY // size, 1, _MOST_LOOKS))
    places = np.unique(np.linspace(0, len(actions), looks, endpoint=False).astype(np.int64))
    logs = np.zeros((len(places), len(HALF_LIVES_DAYS), actions.catalogue), np.float32)
    _count(actions.items, actions.ts, np.array(HALF_LIVES_DAYS) * _DAY_MS, places, logs)
    return Popularity(places, logs)


@numba.njit  # type: ignore[untyped-decorator]
def _count(
    items: NDArray[np.int32],
    ts: NDArray[np.int64],
    half_lives: NDArray[np.float64],
    places: NDArray[np.int64],
    logs: NDArray[np.float32],
) -> None:
    counts = np.zeros((len(half_lives), logs.shape[2]))
    now, at = ts[0], 0
    for place in range(len(items)):
        elapsed = ts[place] - now
        if elapsed > 0:
            for h in range(len(half_lives)):
                counts[h] *= 2.0 ** (-elapsed / half_lives[h])
            now = ts[place]
        if at < len(places) and places[at] == place:
            logs[at] = np.log(counts + _PRIOR).astype(np.float32)
            at += 1
        if items[place] >= 0:
            for h in range(len(half_lives)):
                counts[h, items[place]] += 1
