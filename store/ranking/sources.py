"""Where candidates come from beside nearness: what goes with a user's items, what is popular."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.ranking.features import PRIOR_USERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.ranking.columns import ItemColumns, Moment

__all__ = ["going_together", "most_popular"]

#: Candidates of each kind of pairs, and of each half-life.
_TOGETHER, _POPULAR = 300, 50


def going_together(items: ItemColumns, moment: Moment, count: int) -> NDArray[np.int64]:
    """Codes of what goes with, and what follows, the items of an open moment; some twice.

    Args:
        items: as they stand.
        moment: open.
        count: items of the catalogue.
    """
    share = 1.0 / np.sqrt(items.users[:count] + PRIOR_USERS)
    found = []
    for sums in moment.sums[:2, :count]:
        places = np.flatnonzero(sums)
        if len(places) > _TOGETHER:
            kept = np.argpartition(-(sums[places] * share[places]), _TOGETHER)[:_TOGETHER]
            places = places[kept]
        found.append(places)
    return np.concatenate(found)


def most_popular(items: ItemColumns, count: int) -> NDArray[np.int64]:
    """Codes of the items that most users came to lately, by each half-life, each once."""
    counts = items.popularity[:, :count]
    most = min(_POPULAR, count)
    if not most:
        return np.zeros(0, np.int64)
    top = np.argpartition(-counts, most - 1, axis=1)[:, :most]
    return np.unique(top[counts[np.arange(len(counts))[:, None], top] > 0])
