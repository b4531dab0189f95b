"""What is known of how well an item suits a user at a moment: one number a feature.

Each is a logarithm or a cosine, so that a linear blend of them is a product of what they say, or
the product of two of these. All of it is kept up to date by counting; nothing here is trained.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.compiled import dot, part
from store.ranking.columns import FOLLOWED, HALF_LIVES_DAYS, NEAR
from store.ranking.pairs import NOBODY
from store.ranking.text_map import pointed_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.ranking.columns import ItemColumns, Moment
    from store.ranking.pairs import PairTable

__all__ = [
    "CONTEXTS",
    "FEATURES",
    "GROUPS",
    "PRIOR_USERS",
    "PRODUCTS",
    "TEXT",
    "TEXT_MAPS",
    "Scale",
    "close_moment",
    "open_moment",
    "put_context",
    "put_features",
]

#: What an item's features are, in the order of the columns.
_PLAIN = (
    "text_short",  # cosine to the profile of the latest actions, p' = 0.7·p + 0.3·s·v
    "text_long",  # cosine to the long-term profile
    "text_nearest",  # greatest cosine to one of the latest items
    "text_last",  # cosine to the latest item
    "popular_hours",  # log of the decayed count of users, half-life 12 hours
    "popular_days",  # 4 days
    "popular_month",  # 30 days
    "popular_year",  # 365 days
    "age",  # log of the days since the item was first acted on
    "taste_month",  # how popular (month) this user's items are, times how popular the item is
    "taste_days",  # the same by days
    "taste_year",  # the same by the year
    "taste_age",  # how old this user's items are, times how old the item is
    "together",  # users of the recent items came to it: cosine of the sets of users
    "together_lift",  # the same, held against its popularity
    "follows",  # users came to it soon after the recent items
    "next",  # users came to it soon after the latest item
    "esteem",  # how much those who came to it liked it: mean of s, held to 0 by few
    "taste_esteem",  # the same, times how much this user's items are liked
    "together_far",  # as together, of three times as many items, which count more alike
)
#: What the maps of the texts say (`store.ranking.text_map`): no feature itself, as a score has it
#: as it is; and what they are called where they are left out.
TEXT_MAPS = "text_maps"
#: How much a text says, by how well known the item is: what many turn to is found without its text,
#: and of what few know the text says most. Products of two features, in standard deviations (but
#: for what the maps say).
PRODUCTS = {
    "text_short_hours": ("text_short", "popular_hours"),
    "text_short_month": ("text_short", "popular_month"),
    "text_short_age": ("text_short", "age"),
    "text_short_together": ("text_short", "together"),
    "text_long_month": ("text_long", "popular_month"),
    "text_nearest_hours": ("text_nearest", "popular_hours"),
    "text_nearest_month": ("text_nearest", "popular_month"),
    "text_last_month": ("text_last", "popular_month"),
    "text_maps_hours": (TEXT_MAPS, "popular_hours"),
    "text_maps_month": (TEXT_MAPS, "popular_month"),
}
FEATURES = (*_PLAIN, *PRODUCTS)
TEXT = (*_PLAIN[:4], *PRODUCTS)
#: What a score is told to be made of, each of features that say much the same.
GROUPS = {
    "text": TEXT,
    "popularity": ("popular_hours", "popular_days", "popular_month", "popular_year"),
    "age": ("age",),
    "esteem": ("esteem",),
    "taste": ("taste_month", "taste_days", "taste_year", "taste_age", "taste_esteem"),
    "together": ("together", "together_lift", "together_far"),
    "follows": ("follows", "next"),
}
_DAYS, _MONTH, _YEAR, _AGE, _ESTEEM = 5, 6, 7, 8, 17
#: ``(products, 2)`` places of the features that are multiplied.
_FACTORS = np.array(
    [[(*_PLAIN, TEXT_MAPS).index(name) for name in pair] for pair in PRODUCTS.values()]
)
_FIRST_PRODUCT = _SAID = len(_PLAIN)
#: What a moment is like; each weight is one for any moment, and more or less by these.
CONTEXTS = (
    "session",  # 1 where the user did something in the last half hour
    "pause",  # log of the time since, from about −1 to 1
    "history",  # log of the number of actions, from about −1 to 2
)

_SESSION_SECONDS = 1800.0
_SHORT_K = 0.7
_AGING = 0.9  # of what goes together: each item further back counts for so much of the one after it
_AGING_FAR = 0.97
_FOLLOWING = 0.8
#: Users to be added to an item's, so that one that few came to tells little.
PRIOR_USERS = 5.0
#: Added before a logarithm is taken: about what is a single observation's worth or less.
_FEW_USERS, _LITTLE, _LESS = 0.3, 0.01, 0.003
_NEVER_DAYS = 2000.0
_DAY_MS = 86_400_000.0
_LN_2 = math.log(2.0)
_HOURS, _DAYS_4, _DAYS_30, _DAYS_365 = HALF_LIVES_DAYS
_TINY = 1e-6


class Scale(NamedTuple):
    """What features are like among items drawn at random: running mean and variance, ``(F,)``."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


@part
def put_context(moment: Moment, count: int, pause_ms: int) -> None:
    """What the moment is like: actions of the user so far, and how long ago the latest was."""
    seconds = max(0.0, pause_ms / 1000.0)
    moment.context[0] = 1.0 if seconds < _SESSION_SECONDS else 0.0
    moment.context[1] = math.log(seconds + 10.0) / 10.0 - 1.0
    moment.context[2] = math.log(count + 1.0) / 3.0 - 1.0


@part
def _decays(ts: int, origin: int, into: NDArray[np.float64]) -> None:
    days = (ts - origin) / _DAY_MS
    into[0] = math.exp(-_LN_2 * days / _HOURS)
    into[1] = math.exp(-_LN_2 * days / _DAYS_4)
    into[2] = math.exp(-_LN_2 * days / _DAYS_30)
    into[3] = math.exp(-_LN_2 * days / _DAYS_365)


@part
def _age(items: ItemColumns, item: int, ts: int) -> float:
    first = items.first[item]
    days = (ts - first) / _DAY_MS if first > 0 else _NEVER_DAYS
    return math.log(max(0.0, days) + 0.5)


@part
def _esteem(items: ItemColumns, item: int) -> float:
    return items.liked[item] / (items.rated[item] + PRIOR_USERS)


@part
def _add(table: PairTable, item: int, weight: float, into: NDArray[np.float32]) -> None:
    partners, counts = table.partners[item], table.counts[item]
    amount = np.float32(weight)
    for place in range(partners.shape[0]):
        if partners[place] != NOBODY:
            into[partners[place]] += amount * counts[place]


@part
def _wipe(table: PairTable, item: int, into: NDArray[np.float32]) -> None:
    partners = table.partners[item]
    for place in range(partners.shape[0]):
        if partners[place] != NOBODY:
            into[partners[place]] = np.float32(0.0)


@part
def open_moment(items: ItemColumns, moment: Moment, scale: Scale, ts: int) -> None:
    """Work out all that does not depend on the item. `close_moment` is to follow."""
    sums, numbers = moment.sums, moment.numbers
    _decays(ts, items.origin[0], numbers[4:8])
    for back in range(moment.counts[0]):
        item = moment.recent[back]
        share = 1.0 / math.sqrt(items.users[item] + PRIOR_USERS)
        if back < NEAR:
            _add(items.together, item, share * _AGING**back, sums[0])
        if back < FOLLOWED:
            _add(items.follows, item, share * _FOLLOWING**back, sums[1])
        if back == 0:
            _add(items.follows, item, share * share, sums[2])
        _add(items.together, item, share * _AGING_FAR**back, sums[3])
    _put_tastes(items, moment, scale, ts)
    _put_profiles(items, moment)
    _put_last(items, moment)


@part
def _put_tastes(items: ItemColumns, moment: Moment, scale: Scale, ts: int) -> None:
    """What this user's latest items are like, in standard deviations."""
    numbers = moment.numbers
    days = month = year = age = esteem = 0.0
    near = min(np.int64(NEAR), moment.counts[0])
    for back in range(near):
        item = moment.recent[back]
        days += math.log(items.popularity[1, item] * numbers[5] + _FEW_USERS)
        month += math.log(items.popularity[2, item] * numbers[6] + _FEW_USERS)
        year += math.log(items.popularity[3, item] * numbers[7] + _FEW_USERS)
        age += _age(items, item, ts)
        esteem += _esteem(items, item)
    share = 1.0 / max(near, 1)
    known = 1.0 if near > 0 else 0.0
    numbers[0] = known * _standard(month * share, scale, _MONTH)
    numbers[1] = known * _standard(days * share, scale, _DAYS)
    numbers[2] = known * _standard(age * share, scale, _AGE)
    numbers[9] = known * _standard(year * share, scale, _YEAR)
    numbers[10] = known * _standard(esteem * share, scale, _ESTEEM)


@part
def _standard(value: float, scale: Scale, feature: int) -> float:
    return (value - scale.mean[feature]) / math.sqrt(scale.variance[feature])


@part
def _put_profiles(items: ItemColumns, moment: Moment) -> None:
    """The short-term profile without the mean, of unit length; and the long-term one's length."""
    short, profile, mean = moment.short, moment.profile, items.mean
    dim = short.shape[0]
    for j in range(dim):
        short[j] = np.float32(0.0)
    weight = 1.0
    for back in range(moment.counts[1]):
        item = moment.acts[back]
        part_of = np.float32(weight * moment.liked[back])
        weight *= _SHORT_K
        if not items.known[item]:
            continue
        for j in range(dim):
            short[j] += part_of * (items.vectors[item, j] - mean[j])
    of_mean, along = dot(mean, mean), dot(profile, mean)
    scale = np.float32(1.0) / (np.sqrt(dot(short, short)) + np.float32(_TINY))
    for j in range(dim):
        short[j] *= scale
    # How much of the mean is in p is not kept; it is as much as p shows in its direction.
    without_words = profile.shape[0]
    of_its_kind = dot(mean[:without_words], mean)
    share = along / of_its_kind if of_its_kind > np.float32(_TINY) else np.float32(0.0)
    for j in range(without_words):
        profile[j] -= share * mean[j]
    scale = np.float32(1.0) / (np.sqrt(dot(profile, profile)) + np.float32(_TINY))
    for j in range(without_words):
        profile[j] *= scale
    numbers = moment.numbers
    numbers[3] = of_mean
    numbers[8] = dot(mean, short)


@part
def _put_last(items: ItemColumns, moment: Moment) -> None:
    last = moment.last
    if moment.counts[0] == 0 or not items.known[moment.recent[0]]:
        for j in range(last.shape[0]):
            last[j] = np.float32(0.0)
        return
    item = moment.recent[0]
    vector, length = items.vectors[item], items.lengths[item]
    for j in range(last.shape[0]):
        last[j] = (vector[j] - items.mean[j]) / length


@part
def close_moment(items: ItemColumns, moment: Moment) -> None:
    """Leave the scratch memory as `open_moment` found it."""
    sums = moment.sums
    for back in range(moment.counts[0]):
        item = moment.recent[back]
        _wipe(items.together, item, sums[3])
        if back < NEAR:
            _wipe(items.together, item, sums[0])
        if back < FOLLOWED:
            _wipe(items.follows, item, sums[1])
        if back == 0:
            _wipe(items.follows, item, sums[2])


@part
def put_features(
    items: ItemColumns,
    moment: Moment,
    scale: Scale,
    ts: int,
    item: int,
    out: NDArray[np.float64],
) -> None:
    """An item's features, into ``(F,)``; ``moment.aim`` is where the maps point to."""
    vector = items.vectors[item]
    short, profile, numbers = moment.short, moment.profile, moment.numbers
    length = items.lengths[item]
    out[0] = (dot(vector, short) - numbers[8]) / length
    # the long-term profile has nothing left along the mean
    out[1] = dot(profile, vector) / length
    _put_nearest(items, moment, item, out)
    for horizon in range(4):
        out[4 + horizon] = math.log(
            items.popularity[horizon, item] * numbers[4 + horizon] + _FEW_USERS
        )
    out[8] = _age(items, item, ts)
    out[9] = numbers[0] * _standard(out[_MONTH], scale, _MONTH)
    out[10] = numbers[1] * _standard(out[_DAYS], scale, _DAYS)
    out[11] = numbers[9] * _standard(out[_YEAR], scale, _YEAR)
    out[12] = numbers[2] * _standard(out[_AGE], scale, _AGE)
    share = 1.0 / math.sqrt(items.users[item] + PRIOR_USERS)
    together = moment.sums[0, item] * share
    out[13] = math.log(together + _LITTLE)
    out[14] = math.log(together * share + _LESS)
    out[15] = math.log(moment.sums[1, item] * share + _LITTLE)
    out[16] = math.log(moment.sums[2, item] + _LESS)
    out[17] = _esteem(items, item)
    out[18] = numbers[10] * _standard(out[17], scale, _ESTEEM)
    out[19] = math.log(moment.sums[3, item] * share + _LITTLE)
    said = pointed_at(items, moment, item)
    for place in range(_FACTORS.shape[0]):
        one, other = _FACTORS[place, 0], _FACTORS[place, 1]
        factor = said if one == _SAID else _standard(out[one], scale, one)
        out[_FIRST_PRODUCT + place] = factor * _standard(out[other], scale, other)


@part
def _put_nearest(items: ItemColumns, moment: Moment, item: int, out: NDArray[np.float64]) -> None:
    vector = items.vectors[item]
    of_mean = np.float32(moment.numbers[3])
    nearest = np.float32(-2.0)  # less than any cosine
    latest = np.float32(0.0)
    count = min(np.int64(10), moment.counts[0])
    for back in range(count):
        other = moment.recent[back]
        if not items.known[other]:
            continue
        beside = items.vectors[other]
        product = dot(vector, beside) + of_mean - items.along[item] - items.along[other]
        cosine = product / (items.lengths[item] * items.lengths[other])
        nearest = max(nearest, cosine)
        if back == 0:
            latest = cosine
    out[2] = nearest if nearest > np.float32(-2.0) else np.float32(0.0)
    out[3] = latest
