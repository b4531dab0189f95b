"""The contract every vector index keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from store.indexes.filters import NO_FILTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from store.indexes.filters import Filter, Metadata

__all__ = ["Hits", "IndexPart", "VectorIndex"]


class Hits(NamedTuple):
    """The answer to one query, best first; shorter than k only where no more rows qualify.

    Attributes:
        keys: n ≤ k different keys: there is no padding.
        scores: ``(n,) float32`` inner products of the query with the vectors as they are stored,
            descending; ties in any order.
    """

    keys: list[str]
    scores: NDArray[np.float32]


class IndexPart(NamedTuple):
    """Some of an index, to be kept elsewhere.

    Attributes:
        keys: n keys.
        vectors: ``(n, width)`` as the index stores them; `precision` says how.
        precision: such as ``bfloat16``.
        metadata: of each key.
    """

    keys: list[str]
    vectors: NDArray[Any]
    precision: str
    metadata: list[Metadata]


@runtime_checkable
class VectorIndex(Protocol):
    """Keys and their vectors, searched by inner product.

    Not safe for use from several threads: one owner thread makes every call. What is written is
    seen by the next search. Vectors are copied in; what comes out is the caller's. A key that is
    written again is replaced; the last of several equal keys in one call stands.
    """

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        ...

    @property
    def kind(self) -> str:
        """What it is at the moment, for operators: such as ``faiss-flat bfloat16``."""
        ...

    @property
    def recall(self) -> float | None:
        """Share of the true best that searches find, as probed lately; None where all is found."""
        ...

    def __len__(self) -> int:
        """Keys held."""
        ...

    def __contains__(self, key: object) -> bool:
        """Whether a key is held."""
        ...

    def upsert(
        self,
        keys: Sequence[str],
        vectors: NDArray[np.float32],
        metadata: Sequence[Metadata] | None = None,
    ) -> None:
        """Insert or replace.

        Args:
            keys: n keys.
            vectors: ``(n, dim) float32``, all finite.
            metadata: n, for filters; None leaves held keys theirs, and gives new ones none.

        Raises:
            VectorIndexError: shape, dtype or values are not as said; nothing is written then.
        """
        ...

    def delete(self, keys: Sequence[str]) -> int:
        """Remove keys; those not held are ignored. Returns how many were held."""
        ...

    def get(self, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Vectors, ``(dim,) float32`` as they are stored, of those of the keys that are held."""
        ...

    def search(self, queries: NDArray[np.float32], k: int, where: Filter = NO_FILTER) -> list[Hits]:
        """The k best keys for each query.

        Args:
            queries: ``(n, dim) float32``, all finite.
            k: how many, at least 1.
            where: which keys may be returned. Applied within the search: k keys come back whenever
                k qualify.

        Raises:
            VectorIndexError: shape, dtype, values or k are not as said.
        """
        ...

    def snapshot(self, keys: Sequence[str] | None = None) -> Iterator[IndexPart]:
        """All that is held, part by part, to be written down beside serving.

        Other calls may come between two parts. Every key held from before the first until after
        the last part is in one, with a vector that it had in between.

        Args:
            keys: those that are held of these, in one part.
        """
        ...

    def restore(self, parts: Iterable[IndexPart]) -> None:
        """Upsert what `snapshot` of an index of this dim gave.

        Raises:
            VectorIndexError: a part does not fit.
        """
        ...

    def maintain(self) -> bool:
        """Do some of the work put off, for a millisecond or two; whether there is more.

        The owner calls it between other calls, often. Results are right without, and may come
        more slowly.
        """
        ...

    def close(self) -> None:
        """Let go of threads and files. May be called again."""
        ...
