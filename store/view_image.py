"""What retrieval holds, in parts that can be written down beside serving and put back.

A part is whole in itself: of each user or item in it, all that is held, as of one moment. Between
two parts the view goes on. So a snapshot is of no one moment, and needs none: it is read together
with the topics from where its first part was made, and of each key the newest version stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from store.indexes.protocol import IndexPart
from store.profile import Fence  # noqa: TC001 # msgspec reads the annotations
from store.ranking.image import RankingPart
from store.user_profile import UserProfile  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.indexes.protocol import VectorIndex

__all__ = ["FencesPart", "ItemsPart", "Part", "ProfilesPart", "Vectors", "take_vectors"]


class Vectors(msgspec.Struct, array_like=True, frozen=True):
    """An `IndexPart` as bytes, in this machine's byte order."""

    keys: list[str]
    rows: bytes
    width: int
    dtype: str
    precision: str
    metadata: list[dict[str, list[str]]]

    def part(self) -> IndexPart:
        """As the index takes it."""
        rows = np.frombuffer(self.rows, self.dtype).reshape(len(self.keys), self.width)
        return IndexPart(
            self.keys, rows, self.precision, list(self.metadata) or [{}] * len(self.keys)
        )


class ProfilesPart(msgspec.Struct, array_like=True, frozen=True, tag="profiles"):
    """Users and what is held of each; vectors of those whose profile has a direction."""

    users: list[str]
    profiles: list[UserProfile]
    vectors: Vectors


class FencesPart(msgspec.Struct, array_like=True, frozen=True, tag="fences"):
    """Forgotten users."""

    users: list[str]
    fences: list[Fence]


class ItemsPart(msgspec.Struct, array_like=True, frozen=True, tag="items"):
    """Items by id, each with what is held of it; deleted ones with their source offset."""

    ids: list[str]
    titles: list[str]
    categories: list[tuple[str, ...]]
    attributes: list[dict[str, str]]
    offsets: list[int]
    vectors: Vectors
    deleted: dict[str, int]


Part = ProfilesPart | FencesPart | ItemsPart | RankingPart


def take_vectors(index: VectorIndex, keys: Sequence[str]) -> Vectors:
    """Of those of the keys that are held."""
    (found,) = index.snapshot(keys)
    plain = not any(found.metadata)
    return Vectors(
        keys=found.keys,
        rows=found.vectors.tobytes(),
        width=found.vectors.shape[1],
        dtype=found.vectors.dtype.str,
        precision=found.precision,
        metadata=[]
        if plain
        else [{name: list(values) for name, values in one.items()} for one in found.metadata],
    )
