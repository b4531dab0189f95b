"""Which index a setting names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from store.errors import VectorIndexError
from store.indexes.exact import ExactIndex

if TYPE_CHECKING:
    from store.indexes.faiss_flat import Precision
    from store.indexes.protocol import VectorIndex

__all__ = ["IndexKind", "make_index"]

IndexKind = Literal["exact", "faiss"]


def make_index(
    kind: IndexKind,
    dim: int,
    *,
    precision: Precision | None = None,
    growth: Literal["ivf", "hnsw"] = "ivf",
) -> VectorIndex:
    """An empty index.

    Args:
        kind: ``exact`` (NumPy) or ``faiss``.
        dim: length of the vectors.
        precision: how they are stored; by default bfloat16 in ``faiss``. ``exact`` knows float32
            only.
        growth: what accelerates ``faiss`` beyond some hundred thousand vectors: ``ivf`` for what is
            written all the time, ``hnsw`` for what changes slowly.

    Raises:
        VectorIndexError: no such index, or what it needs is not installed.
    """
    if kind == "exact":
        if precision not in {None, "float32"}:
            raise VectorIndexError(f"the exact index stores float32, not {precision}; use faiss")
        return ExactIndex(dim)
    if kind == "faiss":
        try:
            from store.indexes.growing import GrowingIndex, Growth  # noqa: PLC0415 - optional
        except ModuleNotFoundError as error:
            if error.name != "faiss":
                raise
            raise VectorIndexError(
                'the index "faiss" needs FAISS: pip install "tidemark[cpu]" (or tidemark[gpu])'
            ) from error
        return GrowingIndex(dim, precision or "bfloat16", Growth(by=growth))
    raise VectorIndexError(f"there is no index {kind!r}; expected exact or faiss")
