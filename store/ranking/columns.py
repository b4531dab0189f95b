"""What is known of items, users and the moment, as columns that the compiled loops work on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.ranking.pairs import empty_table, grown_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.ranking.pairs import PairTable

__all__ = [
    "ACTS",
    "FOLLOWED",
    "HALF_LIVES_DAYS",
    "NEAR",
    "RECENT",
    "ItemColumns",
    "Moment",
    "grown_items",
    "new_items",
    "new_moment",
]

#: Half-lives of the four popularities: of hours, of days, of a month, of a year.
HALF_LIVES_DAYS = (0.5, 4.0, 30.0, 365.0)
#: Of the items that a user has seen, so many of the latest tell what goes with them: with the
#: first of these an item is counted as together, and as following.
RECENT, NEAR, FOLLOWED = 60, 20, 10
#: Of a user's actions, so many of the latest make up the short-term profile: as many as a profile's
#: record tells of by default.
ACTS = 10


class ItemColumns(NamedTuple):
    """Rows by item code.

    Attributes:
        vectors: ``(n, dim) float32`` unit rows, and the items' words beside them where those are
            held (`store.ranking.words`); zeros for an item without a vector.
        known: ``(n,) bool`` whether the item is in the catalogue now, with a vector.
        along: ``(n,) float32`` inner product with `mean`.
        lengths: ``(n,) float32`` norm of what is left of the vector without `mean`.
        mean: ``(dim,) float32`` mean of the catalogue's vectors: the direction that texts of one
            kind share, and which tells none of them from another.
        popularity: ``(4, n) float64`` decayed counts of the users who came to the item, each in
            units of ``2^((now − origin)/half_life)``, so that time costs nothing.
        origin: ``(1,) int64`` ms since the epoch.
        latest: ``(1,) int64`` event time of the latest action, ms: the stream's own clock.
        first: ``(n,) int64`` when the item was first acted on, ms; 0: never.
        users: ``(n,) float64`` users who came to the item.
        liked: ``(n,) float64`` sum of the strengths s of their actions.
        rated: ``(n,) float64`` how many of these.
        together: what users came to beside it, in either order.
        follows: what users came to after it, by closeness.
    """

    vectors: NDArray[np.float32]
    known: NDArray[np.bool_]
    along: NDArray[np.float32]
    lengths: NDArray[np.float32]
    mean: NDArray[np.float32]
    popularity: NDArray[np.float64]
    origin: NDArray[np.int64]
    latest: NDArray[np.int64]
    first: NDArray[np.int64]
    users: NDArray[np.float64]
    liked: NDArray[np.float64]
    rated: NDArray[np.float64]
    together: PairTable
    follows: PairTable


class Moment(NamedTuple):
    """A user as a ranking is asked for, and scratch memory that every ranking uses again.

    Attributes:
        recent: ``(RECENT,) int32`` items that the user has seen, the latest first.
        acts: ``(ACTS,) int32`` items of the user's latest actions, the latest first.
        liked: ``(ACTS,) float32`` strengths s of these actions.
        counts: ``(2,) int64`` how many of the two are filled.
        profile: ``(≤ dim,) float32`` the long-term profile p, which has no words.
        context: ``(C,) float64`` how this moment is; see `store.ranking.features.CONTEXTS`.
        short: ``(dim,) float32`` the short-term profile, made of the acts.
        last: ``(dim,) float32`` the latest item's vector without the mean, of unit length; zeros
            where there is none.
        aim: ``(dim,) float32`` where the text maps point from these two.
        sums: ``(4, n) float32`` by item: how much it goes with the recent ones.
        numbers: ``(11,) float64`` of the user, that do not depend on the item.
        weights: ``(F,) float64`` what each feature weighs at this moment.
        per_spread: ``(F,) float64`` one over each feature's standard deviation.
        mark: ``(n,) int64`` the number of the moment for which the item is left out.
        drawn: ``(1,) uint64`` the random numbers' state.
    """

    recent: NDArray[np.int32]
    acts: NDArray[np.int32]
    liked: NDArray[np.float32]
    counts: NDArray[np.int64]
    profile: NDArray[np.float32]
    context: NDArray[np.float64]
    short: NDArray[np.float32]
    last: NDArray[np.float32]
    aim: NDArray[np.float32]
    sums: NDArray[np.float32]
    numbers: NDArray[np.float64]
    weights: NDArray[np.float64]
    per_spread: NDArray[np.float64]
    mark: NDArray[np.int64]
    drawn: NDArray[np.uint64]


def new_items(dim: int, room: int, width: int) -> ItemColumns:
    """Columns for so many items, of which nothing is known; `width` is of the tables of pairs."""
    return ItemColumns(
        vectors=np.zeros((room, dim), np.float32),
        known=np.zeros(room, np.bool_),
        along=np.zeros(room, np.float32),
        lengths=np.ones(room, np.float32),
        mean=np.zeros(dim, np.float32),
        popularity=np.zeros((len(HALF_LIVES_DAYS), room)),
        origin=np.zeros(1, np.int64),
        latest=np.zeros(1, np.int64),
        first=np.zeros(room, np.int64),
        users=np.zeros(room),
        liked=np.zeros(room),
        rated=np.zeros(room),
        together=empty_table(room, width),
        follows=empty_table(room, width),
    )


def grown_items(items: ItemColumns, room: int) -> ItemColumns:
    """The same with room for more."""
    held = len(items.users)
    larger = new_items(items.vectors.shape[1], room, items.together.partners.shape[1])
    for name in ("vectors", "known", "along", "lengths", "first", "users", "liked", "rated"):
        getattr(larger, name)[:held] = getattr(items, name)
    larger.popularity[:, :held] = items.popularity
    return larger._replace(
        mean=items.mean,
        origin=items.origin,
        latest=items.latest,
        together=grown_table(items.together, room),
        follows=grown_table(items.follows, room),
    )


def new_moment(
    dim: int, room: int, features: int, contexts: int, seed: int = 0, *, beside: int = 0
) -> Moment:
    """A moment of nobody, for so many items; `beside` of the dim numbers are their words."""
    return Moment(
        recent=np.zeros(RECENT, np.int32),
        acts=np.zeros(ACTS, np.int32),
        liked=np.zeros(ACTS, np.float32),
        counts=np.zeros(2, np.int64),
        profile=np.zeros(dim - beside, np.float32),
        context=np.zeros(contexts),
        short=np.zeros(dim, np.float32),
        last=np.zeros(dim, np.float32),
        aim=np.zeros(dim, np.float32),
        sums=np.zeros((4, room), np.float32),
        numbers=np.zeros(11),
        weights=np.zeros(features),
        per_spread=np.zeros(features),
        mark=np.zeros(room, np.int64),
        # never 0, where a xorshift would stay
        drawn=np.array([seed * 2 + 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF | 1], np.uint64),
    )
