"""What a `Learner` knows, in parts of some thousand items, to be written down and put back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from store.ranking.features import CONTEXTS, FEATURES
from store.ranking.pairs import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from store.ranking.learner import Learner

__all__ = ["RankingPart", "parts_of_learner", "put_part"]

logger = logging.getLogger(__name__)

#: Goes up where the meaning of what is learned changes; what was learned under another is left.
VERSION = 2
#: Items of a part: some milliseconds.
_PART = 1_024


class RankingPart(msgspec.Struct, array_like=True, frozen=True, tag="ranking"):
    """Items from a code on, and with the first ones what was learned.

    Attributes:
        version: of what is learned, with the features' names.
        features, contexts: what weights stand for.
        begin: code of the first item.
        total: items that there were when the first part was made.
        ids: the items'.
        columns: of the items, by name, as bytes of the arrays.
        learned: the blend and what it draws from, likewise; empty but in the first part.
    """

    version: int
    features: list[str]
    contexts: list[str]
    begin: int
    total: int
    width: int
    ids: list[str]
    columns: dict[str, bytes]
    learned: dict[str, bytes]


def parts_of_learner(learner: Learner) -> Iterator[RankingPart]:
    """All that is known, of the items that there are now."""
    total = len(learner)
    for begin in range(0, max(total, 1), _PART):
        end = min(begin + _PART, total)
        yield RankingPart(
            VERSION, list(FEATURES), list(CONTEXTS), begin, total,
            learner.items.together.partners.shape[1], learner.ids(begin, end),
            {name: array.tobytes() for name, array in _columns(learner, begin, end).items()},
            {name: array.tobytes() for name, array in _learned(learner).items()}
            if not begin else {},
        )  # fmt: skip


def put_part(learner: Learner, part: RankingPart) -> bool:
    """Know what a part says; the parts come in their order, to a learner that knows nothing.

    Returns:
        Whether it could be used: not what was learned with other features, say.
    """
    given = (part.version, part.features, part.contexts, part.width)
    here = (
        VERSION, list(FEATURES), list(CONTEXTS), learner.items.together.partners.shape[1],
    )  # fmt: skip
    if given != here:
        if not part.begin:
            logger.warning(
                "the ranking is learned anew: the snapshot's is of version %d with %d features and "
                "%d partners, this is of %d, %d and %d",
                part.version, len(part.features), part.width, VERSION, len(FEATURES), here[3],
            )  # fmt: skip
        return False
    end = learner.restore_ids(part.begin, part.ids)
    for name, array in _columns(learner, part.begin, end).items():
        values = np.frombuffer(part.columns[name], array.dtype).reshape(array.shape)
        if name.endswith("partners"):
            # one that came while the parts were made is in none of them
            values = np.where(values < part.total, values, NOBODY)
        array[...] = values
    if part.learned:
        for name, array in _learned(learner).items():
            array[...] = np.frombuffer(part.learned[name], array.dtype).reshape(array.shape)
    return True


def _columns(learner: Learner, begin: int, end: int) -> dict[str, NDArray[np.generic]]:
    items = learner.items
    return {
        "popularity": items.popularity[:, begin:end],
        "first": items.first[begin:end],
        "users": items.users[begin:end],
        "liked": items.liked[begin:end],
        "rated": items.rated[begin:end],
        "together.partners": items.together.partners[begin:end],
        "together.counts": items.together.counts[begin:end],
        "follows.partners": items.follows.partners[begin:end],
        "follows.counts": items.follows.counts[begin:end],
    }


def _learned(learner: Learner) -> dict[str, NDArray[np.generic]]:
    blend, items = learner.blend, learner.items
    return {
        "weights": blend.weights,
        "squares": blend.squares,
        "mean": blend.scale.mean,
        "variance": blend.scale.variance,
        "steps": blend.steps,
        "text_maps": blend.maps,
        "origin": items.origin,
        "latest": items.latest,
    }
