"""What a `Learner` knows, in parts of some thousand items, to be written down and put back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from store.ranking.features import CONTEXTS, FEATURES
from store.ranking.pairs import NOBODY, put_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from store.ranking.learner import Learner
    from store.ranking.pairs import PairTable

__all__ = ["RankingPart", "parts_of_learner", "put_part"]

logger = logging.getLogger(__name__)

#: Goes up where the meaning of what is learned changes, as where items' words are others or hashed
#: in another way (`store.ranking.words`); what was learned under another is left.
VERSION = 3
#: Items of a part: some milliseconds.
_PART = 1_024


class RankingPart(msgspec.Struct, array_like=True, frozen=True, tag="ranking"):
    """Items from a code on, and with the first ones what was learned.

    Attributes:
        version: of what is learned, with the features' names.
        features, contexts: what weights stand for.
        begin: code of the first item.
        total: items that there were when the first part was made.
        width: of the tables of pairs; it may be another one where they are put back.
        ids: the items'.
        columns: of the items, by name, as bytes of the arrays.
        learned: the blend and the stream's clock, likewise; empty but in the first part.
        dim: of the vectors.
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
    dim: int = 0


def parts_of_learner(learner: Learner) -> Iterator[RankingPart]:
    """All that is known, of the items that there are now."""
    total, width, dim = len(learner), _width(learner), _dim(learner)
    for begin in range(0, max(total, 1), _PART):
        end = min(begin + _PART, total)
        yield RankingPart(
            VERSION, list(FEATURES), list(CONTEXTS), begin, total,
            width, learner.ids(begin, end),
            {name: array.tobytes() for name, array in _columns(learner, begin, end).items()},
            {name: array.tobytes() for name, array in _learned(learner).items()}
            if not begin else {},
            dim,
        )  # fmt: skip


def put_part(learner: Learner, part: RankingPart) -> bool:
    """Know what a part says; the parts come in their order, to a learner that knows nothing.

    Returns:
        Whether it could be used: not what was learned with other features, say.
    """
    given = (part.version, part.features, part.contexts, part.dim)
    here = (VERSION, list(FEATURES), list(CONTEXTS), _dim(learner))
    if given != here:
        if not part.begin:
            logger.warning(
                "the ranking is learned anew: the snapshot's is of version %d with %d features "
                "and %d dimensions, this is of %d, %d and %d",
                part.version, len(part.features), part.dim, VERSION, len(FEATURES), _dim(learner),
            )  # fmt: skip
        return False
    if lacking := _lacking(learner, part):
        if part.begin:
            _cut_loose_ends(learner)
            said = f"the ranking knows {part.begin} of {part.total} items"
        else:
            said = "the ranking is learned anew"
        logger.warning("%s: the snapshot's has no whole %s", said, lacking)
        return False
    if part.begin != len(learner):
        return False  # behind one that was left out
    end = learner.restore_ids(part.begin, part.ids)
    for name, array in _counted(learner, part.begin, end).items():
        array[...] = np.frombuffer(part.columns[name], array.dtype).reshape(array.shape)
    for name, table in _tables(learner).items():
        partners = np.frombuffer(part.columns[f"{name}.partners"], np.int32)
        # one that came while the parts were made is in none of them
        known = (partners >= 0) & (partners < part.total)
        counts = np.frombuffer(part.columns[f"{name}.counts"], np.float32)
        put_rows(
            table, part.begin,
            np.where(known, partners, np.int32(NOBODY)).reshape(-1, part.width),
            counts.reshape(-1, part.width),
        )  # fmt: skip
    if not part.begin:
        for name, array in _learned(learner).items():
            array[...] = np.frombuffer(part.learned[name], array.dtype).reshape(array.shape)
    return True


def _cut_loose_ends(learner: Learner) -> None:
    """Drop partners whose own part does not come: their codes will be other items'."""
    for table in _tables(learner).values():
        table.partners[table.partners >= len(learner)] = NOBODY


def _width(learner: Learner) -> int:
    """Partners of an item."""
    return learner.items.together.partners.shape[1]


def _dim(learner: Learner) -> int:
    """Numbers of a vector."""
    return learner.items.vectors.shape[1]


def _lacking(learner: Learner, part: RankingPart) -> str:
    """What of a part is missing or of another length; nothing where it is whole."""
    if part.width < 1:
        return "width"
    of_one = {name: array.nbytes for name, array in _columns(learner, 0, 1).items()}
    for name in _pairs(learner, 0, 1):
        of_one[name] = of_one[name] // _width(learner) * part.width
    wanted = {name: size * len(part.ids) for name, size in of_one.items()}
    found = {name: len(part.columns.get(name, b"")) for name in wanted}
    if not part.begin:
        wanted |= {name: array.nbytes for name, array in _learned(learner).items()}
        found |= {name: len(part.learned.get(name, b"")) for name in _learned(learner)}
    return ", ".join(name for name in wanted if wanted[name] != found[name])


def _columns(learner: Learner, begin: int, end: int) -> dict[str, NDArray[np.generic]]:
    return {**_counted(learner, begin, end), **_pairs(learner, begin, end)}


def _counted(learner: Learner, begin: int, end: int) -> dict[str, NDArray[np.generic]]:
    items = learner.items
    return {
        "popularity": items.popularity[:, begin:end],
        "first": items.first[begin:end],
        "users": items.users[begin:end],
        "liked": items.liked[begin:end],
        "rated": items.rated[begin:end],
    }


def _pairs(learner: Learner, begin: int, end: int) -> dict[str, NDArray[np.generic]]:
    return {
        f"{name}.{column}": array[begin:end]
        for name, table in _tables(learner).items()
        for column, array in table._asdict().items()
    }


def _tables(learner: Learner) -> dict[str, PairTable]:
    return {"together": learner.items.together, "follows": learner.items.follows}


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
