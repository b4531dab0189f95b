"""The actions that are measured, and the catalogue they are on. Seeded: the same in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tidemark.movielens import find_movielens, read_films, read_ratings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from streams.schema import Action, Item

__all__ = ["Rated", "films", "movielens_like", "passes", "ready_vectors", "records_of"]

_ENCODERS: dict[str, msgspec.msgpack.Encoder | msgspec.json.Encoder] = {
    "msgpack": msgspec.msgpack.Encoder(),
    "json": msgspec.json.Encoder(),
}
#: Event times: one millisecond apart, from 2025-06-15 on.
_FIRST_TS = 1_750_000_000_000

#: (user_id, item_id, rating)
Rated = tuple[str, str, float]


def films() -> list[Item]:
    """MovieLens 100K's catalogue, 1,682 films."""
    return read_films(find_movielens())


def ratings() -> list[Action]:
    """MovieLens 100K's 100,000 ratings in time order."""
    return read_ratings(find_movielens())


def movielens_like(count: int) -> Iterator[Rated]:
    """Actions of MovieLens 100K's 943 users: first every film once, then ratings drawn at random.

    The first 1,682 make every text known (the cache is warm after them). The others keep how active
    the users and how popular the films are, but not the order: in MovieLens a user's ratings follow
    each other, which would let a batch of thousands change only a few profiles.
    """
    log = ratings()
    users = sorted({action.user_id for action in log}, key=int)
    catalogue = films()
    for number, film in enumerate(catalogue[:count]):
        yield users[number % len(users)], film.item_id, 4.0
    drawn = np.random.default_rng(1).integers(0, len(log), max(0, count - len(catalogue)))
    for row in drawn.tolist():
        action = log[row]
        assert action.item_id is not None  # noqa: S101 # every rating names a film
        yield action.user_id, action.item_id, action.rating or 0.0


def passes(users: int, count: int) -> Iterator[Rated]:
    """Actions of users who come once in every pass, in an order of their own each time.

    Where a micro-batch is smaller than a pass, nearly every action publishes a record.
    """
    random = np.random.default_rng(users)
    items = [film.item_id for film in films()]
    left = count
    while left > 0:
        order = random.permutation(users)[:left]
        chosen = random.integers(0, len(items), len(order))
        for user, item in zip(order.tolist(), chosen.tolist(), strict=True):
            yield f"u{user:07d}", items[item], 4.0
        left -= len(order)


def records_of(rated: Iterator[Rated], wire: str = "msgpack") -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of each, in the wire format of ``actions``."""
    encode = _ENCODERS[wire].encode
    for number, (user, item, rating) in enumerate(rated):
        yield (
            user.encode(),
            encode(
                {
                    "user_id": user,
                    "action": "rate",
                    "ts": _FIRST_TS + number,
                    "item_id": item,
                    "rating": rating,
                }
            ),
        )


def item_records() -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of the catalogue."""
    for film in films():
        yield film.item_id.encode(), _ENCODERS["msgpack"].encode(film)


def ready_vectors(dim: int = 384) -> NDArray[np.float32]:
    """A unit vector for every film, by number: ``(1683, dim) float32``, for the peers."""
    vectors = np.random.default_rng(2).standard_normal((1 + len(films()), dim), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
