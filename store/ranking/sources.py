"""Where candidates come from beside nearness: what goes with a user's items, what is popular."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.compiled import compiled
from store.ranking.columns import FOLLOWED, NEAR
from store.ranking.features import PRIOR_USERS
from store.ranking.pairs import NOBODY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.ranking.columns import ItemColumns, Moment
    from store.ranking.pairs import PairTable

__all__ = ["going_together", "most_popular", "partners_of"]

#: Candidates of each kind of pairs, and of each half-life.
_TOGETHER, _POPULAR = 300, 50


def going_together(items: ItemColumns, moment: Moment, number: int) -> NDArray[np.int32]:
    """Codes of what goes with, and what follows, the items of an open moment; some twice.

    What it takes does not grow with the catalogue.

    Args:
        items: as they stand.
        moment: open; its marks are used.
        number: of the question, from 1 on, another one each time.
    """
    found = []
    for sums, table, reach, stamp in (
        (moment.sums[0], items.together, NEAR, -2 * number),
        (moment.sums[1], items.follows, FOLLOWED, -2 * number - 1),
    ):
        codes = np.empty(reach * table.partners.shape[1], np.int32)
        codes = codes[: partners_of(table, moment, reach, stamp, codes)]
        if len(codes) > _TOGETHER:
            worth = sums[codes] / np.sqrt(items.users[codes] + PRIOR_USERS)
            codes = codes[np.argpartition(-worth, _TOGETHER)[:_TOGETHER]]
        found.append(codes)
    return np.concatenate(found)


def most_popular(items: ItemColumns, count: int, horizon: int) -> NDArray[np.int64]:
    """Codes of the items that most users came to lately.

    Args:
        items: as they stand.
        count: of the catalogue.
        horizon: which half-life, of `store.ranking.columns.HALF_LIVES_DAYS`.
    """
    counts = items.popularity[horizon, :count]
    most = min(_POPULAR, count)
    if not most:
        return np.zeros(0, np.int64)
    top = np.argpartition(-counts, most - 1)[:most]
    return top[counts[top] > 0]


@compiled
def partners_of(
    table: PairTable, moment: Moment, reach: int, stamp: int, out: NDArray[np.int32]
) -> int:
    """Fill in the partners of the moment's latest items, each once; returns how many.

    Args:
        table: of pairs.
        moment: marked.
        reach: so many of the latest items.
        stamp: a number that is in no mark.
        out: ``(reach · width,) int32``, filled.
    """
    found = 0
    for back in range(min(np.int64(reach), moment.counts[0])):
        partners = table.partners[moment.recent[back]]
        for place in range(partners.shape[0]):
            partner = partners[place]
            if partner != NOBODY and moment.mark[partner] != stamp:
                moment.mark[partner] = stamp
                out[found] = partner
                found += 1
    return found
