"""Many queries at once, each with keys of its own that may not be returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.indexes.filters import Filter
from store.indexes.protocol import Hits

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from store.indexes.protocol import VectorIndex

__all__ = ["search_each"]

#: Up to so many excluded keys are fetched with the others and dropped. A query with more is
#: searched by itself: all others of the batch would fetch as many.
MAX_OVERFETCH = 512


def search_each(
    index: VectorIndex,
    queries: NDArray[np.float32],
    k: int,
    excluded: Sequence[Collection[str]],
    fields: Mapping[str, Collection[str]],
) -> list[Hits]:
    """The k best keys for each query: in one search, but for queries that exclude very many.

    Args:
        index: to search.
        queries: ``(n, dim) float32``.
        k: how many, at least 1.
        excluded: for each query the keys that it may not get.
        fields: as of `Filter`, for all of them.

    Raises:
        VectorIndexError: as `VectorIndex.search`.
    """
    together = [at for at, keys in enumerate(excluded) if len(keys) <= MAX_OVERFETCH]
    found: dict[int, Hits] = {}
    if together:
        spare = max(len(excluded[at]) for at in together)
        answers = index.search(queries[together], k + spare, Filter(fields=fields))
        for at, hits in zip(together, answers, strict=True):
            found[at] = _without(hits, excluded[at], k)
    for at in range(len(queries)):
        if at not in found:
            found[at] = index.search(queries[at : at + 1], k, Filter(excluded[at], fields))[0]
    return [found[at] for at in range(len(queries))]


def _without(hits: Hits, excluded: Collection[str], k: int) -> Hits:
    keys = set(excluded)
    if keys.isdisjoint(hits.keys):
        return Hits(hits.keys[:k], hits.scores[:k])
    kept = [at for at, key in enumerate(hits.keys) if key not in keys][:k]
    return Hits([hits.keys[at] for at in kept], hits.scores[np.array(kept, np.int64)])
