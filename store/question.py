"""What is asked of the indexes, in a form that lets several questions be answered by one search."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from store.indexes.filters import Filter

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from store.indexes.protocol import Hits, VectorIndex

__all__ = ["Question", "Search", "answered"]

Answer = TypeVar("Answer")


class Search(NamedTuple):
    """What a question wants to know of an index.

    Attributes:
        name: of the index, for operators.
        within: the index to search.
        query: ``(dim,) float32``.
        k: how many, at least 1.
        excluded: keys that may not come back.
        fields: as of `store.indexes.filters.Filter`.
    """

    name: str
    within: VectorIndex
    query: NDArray[np.float32]
    k: int
    excluded: Collection[str]
    fields: Mapping[str, Collection[str]]


#: Yields searches one after another, is sent their hits, and returns its answer.
Question = Generator[Search, "Hits", Answer]


def answered(question: Question[Answer]) -> Answer:
    """Answer a question by itself."""
    try:
        search = next(question)
        while True:
            where = Filter(search.excluded, search.fields)
            (hits,) = search.within.search(search.query[np.newaxis], search.k, where)
            search = question.send(hits)
    except StopIteration as stop:
        answer: Answer = stop.value
        return answer
