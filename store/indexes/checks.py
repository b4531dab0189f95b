"""What every index refuses, in the same words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from store.errors import VectorIndexError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

    from store.indexes.filters import Metadata
    from store.indexes.protocol import IndexPart

__all__ = ["check_counts", "check_part", "check_vectors"]


def check_vectors(vectors: NDArray[np.float32], dim: int) -> None:
    """Refuse what is not ``(n, dim) float32``, all finite. Raises `VectorIndexError`."""
    # callers outside mypy's reach pass lists and float64: the annotation is not a guarantee
    given: object = vectors
    if not isinstance(given, np.ndarray) or given.dtype != np.float32:
        kind = getattr(given, "dtype", type(given).__name__)
        raise VectorIndexError(f"vectors are {kind}; expected a float32 array")
    if vectors.ndim != 2 or vectors.shape[1] != dim:  # noqa: PLR2004 - rows and columns
        raise VectorIndexError(f"vectors are {vectors.shape}; expected (n, {dim})")
    if not np.isfinite(vectors).all():
        raise VectorIndexError("vectors hold NaN or infinity; expected finite values")


def check_counts(
    keys: Sequence[str], vectors: NDArray[Any], metadata: Sequence[Metadata] | None
) -> None:
    """Refuse an upsert whose parts are not as many. Raises `VectorIndexError`."""
    if len(keys) != len(vectors):
        raise VectorIndexError(f"{len(keys)} keys came with {len(vectors)} vectors")
    if metadata is not None and len(keys) != len(metadata):
        raise VectorIndexError(f"{len(keys)} keys came with metadata of {len(metadata)}")


def check_part(part: IndexPart, precision: str, width: int, dtype: DTypeLike) -> None:
    """Refuse a part that was stored in another way. Raises `VectorIndexError`."""
    count, vectors = len(part.keys), part.vectors
    if part.precision != precision:
        raise VectorIndexError(f"a part is in {part.precision}; this index stores {precision}")
    if vectors.shape != (count, width) or vectors.dtype != dtype:
        raise VectorIndexError(
            f"a part of {count} keys has vectors {vectors.shape} {vectors.dtype}; "
            f"expected ({count}, {width}) {np.dtype(dtype)}"
        )
