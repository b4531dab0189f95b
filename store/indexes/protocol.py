"""The contract every vector index keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Hits", "VectorIndex"]


class Hits(NamedTuple):
    """The answer to one query, best first; shorter than k only where no more rows qualify.

    Attributes:
        keys: n ≤ k keys.
        scores: ``(n,) float32`` inner products, descending; ties in any order.
    """

    keys: list[str]
    scores: NDArray[np.float32]


@runtime_checkable
class VectorIndex(Protocol):
    """Keys and their vectors, searched by inner product.

    Not safe for use from several threads: one owner thread makes every call. Vectors are copied
    in; what comes out is the caller's. A key that is written again is replaced; the last of
    several equal keys in one call stands.
    """

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        ...

    def __len__(self) -> int:
        """Keys held."""
        ...

    def __contains__(self, key: object) -> bool:
        """Whether a key is held."""
        ...

    def upsert(self, keys: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Insert or replace.

        Args:
            keys: n keys.
            vectors: ``(n, dim) float32``, all finite.

        Raises:
            VectorIndexError: shape, dtype or values are not as said; nothing is written then.
        """
        ...

    def delete(self, keys: Sequence[str]) -> int:
        """Remove keys; those not held are ignored. Returns how many were held."""
        ...

    def get(self, key: str) -> NDArray[np.float32] | None:
        """The key's vector, ``(dim,) float32`` as it is stored, or None."""
        ...

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        exclude: Collection[str] = (),
        allow: Collection[str] | None = None,
    ) -> list[Hits]:
        """The k best keys for each query.

        Args:
            queries: ``(n, dim) float32``, all finite.
            k: how many, at least 1.
            exclude: keys that may not be returned.
            allow: if given, only these keys may be returned. Applied within the search: k keys
                come back whenever k qualify.

        Raises:
            VectorIndexError: shape, dtype, values or k are not as said.
        """
        ...
