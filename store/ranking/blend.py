"""A linear blend of the features, learned from the stream: what was taken against what was not.

At each positive action the item taken is held against items drawn at random that the user has not
seen, by a softmax (the sampled softmax of Bengio & Senécal, "Adaptive importance sampling to
accelerate training of a neural probabilistic language model", 2008: logits are corrected by the log
of the chance to be drawn). One step of Adagrad (Duchi et al., 2011), whose sums of squares fade
so that it goes on learning; a step changes a weight by at most `RATE`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.compiled import part
from store.errors import RankingError
from store.ranking.features import CONTEXTS, FEATURES, PRODUCTS, TEXT_MAPS, Scale, put_features
from store.ranking.text_map import new_text_maps, point, pointed_at, turn

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from store.ranking.columns import ItemColumns, Moment

__all__ = [
    "DRAWN", "FIRST_SCALE", "FIRST_WEIGHTS", "RATE", "Blend", "Draws", "grown_draws",
    "learn_step", "new_blend", "new_draws", "remember_choice", "scores_of",
]  # fmt: skip

#: Greatest change of a weight in a step.
RATE = 0.03
#: Items drawn at random beside each one taken.
DRAWN = 100
#: Of the recent choices so many are kept to draw from.
_RECENT_CHOICES = 4096
#: What a blend begins with, so that a service that has learned nothing yet ranks sensibly: set by
#: hand, near what was learned from the first halves of three logs. Learning moves on from there.
FIRST_WEIGHTS = {
    "text_short": 0.1, "text_long": 0.2, "text_nearest": 0.1, "text_last": 0.1,
    "popular_hours": 0.1, "popular_days": 0.3, "popular_month": 0.3, "popular_year": 0.3,
    "age": 0.0, "taste_month": 0.2, "taste_days": 0.0, "taste_year": 0.0, "taste_age": 0.0,
    "together": 0.1, "together_lift": 0.3, "follows": 0.2, "next": 0.1,
    "esteem": 0.0, "taste_esteem": 0.0, "together_far": 0.1,
    **dict.fromkeys(PRODUCTS, 0.0),
}  # fmt: skip
#: What features are taken to be like until that is seen, mean and standard deviation among items
#: drawn at random: they are much the same on the first halves of three logs.
FIRST_SCALE = {
    "text_short": (0.0, 0.13), "text_long": (0.0, 0.14), "text_nearest": (0.2, 0.12),
    "text_last": (0.0, 0.12), "popular_hours": (-0.8, 0.7), "popular_days": (0.0, 1.1),
    "popular_month": (1.0, 1.5), "popular_year": (2.0, 1.7), "age": (5.5, 1.1),
    "taste_month": (0.0, 1.0), "taste_days": (0.0, 1.0), "taste_year": (0.0, 1.0),
    "taste_age": (0.0, 0.5), "together": (-3.8, 1.1), "together_lift": (-5.3, 0.7),
    "follows": (-4.3, 0.5), "next": (-5.7, 0.5), "esteem": (0.4, 0.25),
    "taste_esteem": (0.0, 0.8), "together_far": (-3.4, 1.4),
    **dict.fromkeys(PRODUCTS, (0.0, 1.0)),
}  # fmt: skip
#: For so many steps' worth.
_FIRST_STEPS = 20.0
_FADING = 0.9995
_FIRST_SQUARES = 1e-2
#: Steps over which the running means are taken.
_MEMORY = 2000.0
_LEAST_VARIANCE = 1e-4
#: Features are cut off so many standard deviations from their mean.
_REACH = 6.0


class Blend(NamedTuple):
    """What is learned.

    Attributes:
        weights: ``(1 + C, F) float64``: of the features at any moment, and more by context.
        squares: ``(1 + C, F) float64`` faded sums of squared gradients.
        scale: what the features are like.
        steps: ``(1,) int64``.
        used: ``(1 + C, F) bool`` weights that are learned; the others stay 0.
        maps: ``(2, dim, dim) float32`` of texts, see `store.ranking.text_map`; ``(2, 0, 0)``: none.
    """

    weights: NDArray[np.float64]
    squares: NDArray[np.float64]
    scale: Scale
    steps: NDArray[np.int64]
    used: NDArray[np.bool_]
    maps: NDArray[np.float32]


class Draws(NamedTuple):
    """Items drawn beside the one taken, and scratch memory.

    Attributes:
        recent: ``(4096,) int32`` the latest choices, in a ring.
        filled: ``(1,) int64`` choices so far.
        drawn: ``(n,) float64`` how often each item stands in the ring.
        items: ``(1 + DRAWN,) int32`` the one taken first.
        features: ``(1 + DRAWN, F) float64``.
        chances: ``(1 + DRAWN,) float64``.
        gradient: ``(F,) float64``.
    """

    recent: NDArray[np.int32]
    filled: NDArray[np.int64]
    drawn: NDArray[np.float64]
    items: NDArray[np.int32]
    features: NDArray[np.float64]
    chances: NDArray[np.float64]
    gradient: NDArray[np.float64]


def new_blend(dim: int, *, without: Collection[str] = (), contexts: bool = True) -> Blend:
    """A blend that begins with `FIRST_WEIGHTS` and `FIRST_SCALE`.

    Args:
        dim: of the items' rows: their vectors, and their words where those are held.
        without: features to leave out, and `TEXT_MAPS`.
        contexts: whether weights depend on the moment.

    Raises:
        RankingError: there is no such feature.
    """
    known = (*FEATURES, TEXT_MAPS)
    if unknown := sorted(set(without) - set(known)):
        raise RankingError(f"there is no feature {unknown[0]!r}; known: {', '.join(known)}")
    used = np.zeros((1 + len(CONTEXTS), len(FEATURES)), np.bool_)
    used[: None if contexts else 1] = [name not in without for name in FEATURES]
    # by how well known an item is, alike at any moment: more weights would be more noise
    used[1:, [name in PRODUCTS for name in FEATURES]] = False
    weights = np.zeros(used.shape)
    weights[0] = [FIRST_WEIGHTS[name] for name in FEATURES]
    return Blend(
        np.where(used, weights, 0.0),
        np.full(used.shape, _FIRST_SQUARES),
        _first_scale(),
        np.zeros(1, np.int64),
        used,
        new_text_maps(0 if TEXT_MAPS in without else dim),
    )


def _first_scale() -> Scale:
    mean, deviation = np.array([FIRST_SCALE[name] for name in FEATURES]).T.copy()
    return Scale(mean, deviation**2)


def new_draws(room: int) -> Draws:
    """For so many items."""
    return Draws(
        np.zeros(_RECENT_CHOICES, np.int32),
        np.zeros(1, np.int64),
        np.zeros(room),
        np.zeros(1 + DRAWN, np.int32),
        np.zeros((1 + DRAWN, len(FEATURES))),
        np.zeros(1 + DRAWN),
        np.zeros(len(FEATURES)),
    )


def grown_draws(draws: Draws, room: int) -> Draws:
    """The same with room for more items."""
    drawn = np.zeros(room)
    drawn[: len(draws.drawn)] = draws.drawn
    return draws._replace(drawn=drawn)


@part
def remember_choice(draws: Draws, item: int) -> None:
    """The item was taken: it may be drawn beside the next ones."""
    place = draws.filled[0] % _RECENT_CHOICES
    if draws.filled[0] >= _RECENT_CHOICES:
        draws.drawn[draws.recent[place]] -= 1.0
    draws.recent[place] = item
    draws.drawn[item] += 1.0
    draws.filled[0] += 1


@part
def _random(state: NDArray[np.uint64], below: int) -> int:
    """The next of Marsaglia's xorshift64, as a number from 0 to below − 1."""
    x = state[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    state[0] = x
    return np.int64((x >> np.uint64(11)) % np.uint64(below))


@part
def _draw(items: ItemColumns, moment: Moment, draws: Draws, stamp: int, count: int) -> int:
    """Fill in items beside the one taken: half of all, half of those lately taken, none seen.

    Nor any that is not in the catalogue any more: nobody chooses against it.
    """
    filled = min(draws.filled[0], _RECENT_CHOICES)
    found = 1
    for _ in range(4 * DRAWN):
        if found == draws.items.shape[0]:
            break
        if filled < DRAWN or _random(moment.drawn, 2) == 0:
            item = np.int32(_random(moment.drawn, count))
        else:
            item = draws.recent[_random(moment.drawn, filled)]
        if item != draws.items[0] and moment.mark[item] != stamp and items.known[item]:
            draws.items[found] = item
            found += 1
    for place in range(found):
        recent = (
            draws.drawn[draws.items[place]] / max(filled, 1) if filled >= DRAWN else 1.0 / count
        )
        draws.chances[place] = math.log(0.5 / count + 0.5 * recent)
    return found


@part
def _weigh(blend: Blend, moment: Moment) -> None:
    """What each feature weighs at this moment, and what it is divided by."""
    for f in range(moment.weights.shape[0]):
        moment.per_spread[f] = 1.0 / math.sqrt(blend.scale.variance[f])
        moment.weights[f] = blend.weights[0, f]
        for c in range(moment.context.shape[0]):
            moment.weights[f] += blend.weights[1 + c, f] * moment.context[c]


@part
def _standardise(blend: Blend, moment: Moment, features: NDArray[np.float64]) -> None:
    """Have an item's features ``(F,)`` be in standard deviations, within reach."""
    for f in range(features.shape[0]):
        value = (features[f] - blend.scale.mean[f]) * moment.per_spread[f]
        features[f] = max(-_REACH, min(_REACH, value))


@part
def _score(items: ItemColumns, moment: Moment, features: NDArray[np.float64], item: int) -> float:
    """How well an item suits, by its standardised features ``(F,)`` and by its text."""
    total = pointed_at(items, moment, item)
    for f in range(features.shape[0]):
        total += moment.weights[f] * features[f]
    return total


@part
def learn_step(
    items: ItemColumns, moment: Moment, blend: Blend, draws: Draws, item: int, ts: int,
    stamp: int, count: int,
) -> bool:  # fmt: skip
    """Learn from one choice; the moment is open. False: there is nothing to hold it against.

    Args:
        items: as they were before the choice.
        moment: of the user who chose.
        blend: changed.
        draws: used.
        item: which was taken.
        ts: when, ms.
        stamp: items marked with it are not drawn.
        count: items of the catalogue.
    """
    draws.items[0] = item
    found = _draw(items, moment, draws, stamp, count)
    if found < 2:
        return False
    features = draws.features
    point(blend.maps, moment)
    for place in range(found):
        put_features(items, moment, blend.scale, ts, draws.items[place], features[place])
    blend.steps[0] += 1
    _follow_scale(blend, features, found)
    _weigh(blend, moment)
    most = -np.inf
    for place in range(found):
        _standardise(blend, moment, features[place])
        score = _score(items, moment, features[place], draws.items[place])
        draws.chances[place] = score - draws.chances[place]
        most = max(most, draws.chances[place])
    total = 0.0
    for place in range(found):
        draws.chances[place] = math.exp(draws.chances[place] - most)
        total += draws.chances[place]
    for place in range(found):
        draws.chances[place] /= total
    draws.chances[0] -= 1.0
    gradient = draws.gradient
    for f in range(gradient.shape[0]):
        gradient[f] = 0.0
    for place in range(found):
        for f in range(gradient.shape[0]):
            gradient[f] += draws.chances[place] * features[place, f]
    _descend(blend, gradient, moment.context)
    turn(blend.maps, items, moment, draws.items, draws.chances, found)
    return True


@part
def _follow_scale(blend: Blend, features: NDArray[np.float64], found: int) -> None:
    """Running mean and variance over the items drawn, without the one taken."""
    share = 1.0 / min(blend.steps[0] + _FIRST_STEPS, _MEMORY)
    mean, variance = blend.scale.mean, blend.scale.variance
    for f in range(mean.shape[0]):
        middle = 0.0
        for place in range(1, found):
            middle += features[place, f]
        middle /= found - 1
        spread = 0.0
        for place in range(1, found):
            spread += (features[place, f] - mean[f]) ** 2
        spread /= found - 1
        mean[f] += share * (middle - mean[f])
        # a floor: a feature that was the same for all so far would else be divided by nothing
        variance[f] = max(_LEAST_VARIANCE, variance[f] + share * (spread - variance[f]))


@part
def _descend(blend: Blend, gradient: NDArray[np.float64], context: NDArray[np.float64]) -> None:
    for c in range(1 + context.shape[0]):
        factor = 1.0 if c == 0 else context[c - 1]
        for f in range(gradient.shape[0]):
            if not blend.used[c, f]:
                continue
            g = gradient[f] * factor
            blend.squares[c, f] = blend.squares[c, f] * _FADING + g * g
            blend.weights[c, f] -= RATE * g / math.sqrt(blend.squares[c, f])


@part
def scores_of(
    items: ItemColumns, moment: Moment, blend: Blend, ts: int, wanted: NDArray[np.int32],
    features: NDArray[np.float64], out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Score items for an open moment.

    Args:
        items, blend: as they stand.
        moment: open.
        ts: when, ms.
        wanted: ``(k,) int32`` codes.
        features: ``(k, F) float64``, filled, in standard deviations.
        out: ``(k,) float32``, filled.
    """
    point(blend.maps, moment)
    _weigh(blend, moment)
    for place in range(wanted.shape[0]):
        put_features(items, moment, blend.scale, ts, wanted[place], features[place])
        _standardise(blend, moment, features[place])
        out[place] = _score(items, moment, features[place], wanted[place])
