"""What texts come after what texts, learned from the stream: two linear maps of the items' rows.

Cosines say that alike follows alike. The maps learn the rest: that a teapot is followed by cups.
From the user's short-term profile a and latest item b they point to ``A·a + B·b``, and an item
with the row v, of vector and words, scores ``vᵀ(A·a + B·b)``. A and B begin at zero, where they add
nothing, and each choice that the blend learns from moves them by a step of gradient descent on the
same softmax: with the chances π of the items held against each other, and y = 1 for the one taken,
``A ← A − RATE · Σ (π − y) v aᵀ``. All rows are without the catalogue's mean and of unit length, so
that one rate serves every encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.compiled import dot, part
from store.ranking.words import WORDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.ranking.columns import ItemColumns, Moment

__all__ = ["MOST_DIM", "RATE", "REACH", "new_text_maps", "point", "pointed_at", "turn"]

#: Of .04, .1, .2 and .5 what did best on the first halves of three logs (docs/evaluation.md).
RATE = 0.1
#: Greatest length of what the maps point to, so that no stream can have them drown all else.
REACH = 10.0
#: Rows of more numbers, a vector's and the words' beside it, have no maps: a step would take
#: milliseconds.
MOST_DIM = 1024 + WORDS


def new_text_maps(dim: int) -> NDArray[np.float32]:
    """``(2, dim, dim) float32`` A and B, of zeros; ``(2, 0, 0)`` beyond `MOST_DIM`."""
    side = dim if dim <= MOST_DIM else 0
    return np.zeros((2, side, side), np.float32)


@part
def point(maps: NDArray[np.float32], moment: Moment) -> None:
    """Fill in ``moment.aim`` for an open moment: ``A·a + B·b``, no longer than `REACH`."""
    aim = moment.aim
    for i in range(aim.shape[0]):
        aim[i] = np.float32(0.0)
    for i in range(maps.shape[1]):
        aim[i] = dot(maps[0, i], moment.short) + dot(maps[1, i], moment.last)
    length = np.sqrt(dot(aim, aim))
    if length > np.float32(REACH):
        for i in range(aim.shape[0]):
            aim[i] *= np.float32(REACH) / length


@part
def pointed_at(items: ItemColumns, moment: Moment, item: int) -> float:
    """``vᵀ aim`` of an item."""
    aim = moment.aim
    return (dot(items.vectors[item], aim) - dot(items.mean, aim)) / items.lengths[item]


@part
def turn(
    maps: NDArray[np.float32], items: ItemColumns, moment: Moment, drawn: NDArray[np.int32],
    errors: NDArray[np.float64], found: int,
) -> None:  # fmt: skip
    """One step; ``moment.aim`` is used up.

    Args:
        maps: changed.
        items: as they were before the choice.
        moment: open.
        drawn: ``(≥ found,)`` codes of the items held against each other.
        errors: ``(≥ found,)`` π − y of each.
        found: how many.
    """
    side = maps.shape[1]
    if side == 0:
        return
    gradient = moment.aim
    for i in range(side):
        gradient[i] = np.float32(0.0)
    for place in range(found):
        item = drawn[place]
        share = np.float32(errors[place]) / items.lengths[item]
        vector = items.vectors[item]
        for i in range(side):
            gradient[i] += share * (vector[i] - items.mean[i])
    for i in range(side):
        move = np.float32(RATE) * gradient[i]
        for j in range(side):
            maps[0, i, j] -= move * moment.short[j]
            maps[1, i, j] -= move * moment.last[j]
