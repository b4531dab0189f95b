"""Which index a setting names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from store.errors import VectorIndexError
from store.indexes.exact import ExactIndex

if TYPE_CHECKING:
    from store.indexes.protocol import VectorIndex

__all__ = ["make_index"]


def make_index(
    kind: Literal["exact", "faiss"],
    dim: int,
    *,
    precision: Literal["float32", "float16"] = "float32",
) -> VectorIndex:
    """An empty index.

    Args:
        kind: ``exact`` (NumPy) or ``faiss``.
        dim: length of the vectors.
        precision: how ``faiss`` stores them; ``exact`` knows float32 only.

    Raises:
        VectorIndexError: no such index, or what it needs is not installed.
    """
    if kind == "exact":
        if precision != "float32":
            raise VectorIndexError(f"the exact index stores float32, not {precision}; use faiss")
        return ExactIndex(dim)
    if kind == "faiss":
        try:
            from store.indexes.faiss_flat import FaissFlatIndex  # noqa: PLC0415 - optional
        except ModuleNotFoundError as error:
            if error.name != "faiss":
                raise
            raise VectorIndexError(
                'the index "faiss" needs FAISS: pip install "tidemark[cpu]" (or tidemark[gpu])'
            ) from error
        return FaissFlatIndex(dim, precision)
    raise VectorIndexError(f"there is no index {kind!r}; expected exact or faiss")
