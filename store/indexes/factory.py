"""Which index a setting names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from store.errors import VectorIndexError
from store.indexes.exact import ExactIndex

if TYPE_CHECKING:
    from store.indexes.faiss_flat import Precision
    from store.indexes.growing import Acceleration
    from store.indexes.milvus_target import MilvusTarget
    from store.indexes.protocol import VectorIndex

__all__ = ["IndexKind", "make_index"]

IndexKind = Literal["exact", "faiss", "milvus"]


def make_index(
    kind: IndexKind,
    dim: int,
    *,
    precision: Precision | None = None,
    growth: Acceleration = "sketch",
    above: int | None = None,
    leading: int | None = None,
    name: str = "vectors",
    milvus: MilvusTarget | None = None,
) -> VectorIndex:
    """An empty index.

    Args:
        kind: ``exact`` (NumPy), ``faiss`` or ``milvus``.
        dim: length of the vectors.
        precision: how they are stored; by default bfloat16 in ``faiss``. ``exact`` and
            ``milvus`` know float32 only.
        growth: what accelerates ``faiss`` beyond some hundred thousand vectors; see
            `store.indexes.growing.Growth`. A GPU does where FAISS finds one.
        above: from how many on.
        leading: coordinates that nearness is about; see there.
        name: of what is in it: Milvus' collection is called so. What it held is dropped.
        milvus: where that is.

    Raises:
        VectorIndexError: no such index, or what it needs is not installed.
    """
    if kind == "exact":
        if precision not in {None, "float32"}:
            raise VectorIndexError(f"the exact index stores float32, not {precision}; use faiss")
        return ExactIndex(dim)
    if kind == "faiss":
        try:
            from store.indexes.gpu import gpus  # noqa: PLC0415 - optional
            from store.indexes.growing import GrowingIndex, Growth  # noqa: PLC0415
        except ModuleNotFoundError as error:
            if error.name != "faiss":
                raise
            raise VectorIndexError(
                'the index "faiss" needs FAISS: pip install "tidemark[cpu]" (or tidemark[gpu])'
            ) from error
        by: Acceleration = "gpu" if gpus() else growth
        chosen = (
            Growth(by=by, leading=leading) if above is None else Growth(above, by, leading=leading)
        )
        return GrowingIndex(dim, precision or "bfloat16", chosen)
    if kind == "milvus":
        return _make_milvus(dim, precision, name, milvus)
    raise VectorIndexError(f"there is no index {kind!r}; expected exact, faiss or milvus")


def _make_milvus(
    dim: int, precision: Precision | None, name: str, target: MilvusTarget | None
) -> VectorIndex:
    if precision not in {None, "float32"}:
        raise VectorIndexError(f"Milvus stores float32 here, not {precision}; use faiss")
    if target is None:
        raise VectorIndexError('the index "milvus" needs to know where: set retrieval.milvus_uri')
    try:
        from store.indexes.milvus import MilvusIndex  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        if error.name != "pymilvus":
            raise
        raise VectorIndexError(
            'the index "milvus" needs pymilvus: pip install "tidemark[milvus]" for a server, '
            '"tidemark[milvus-lite]" for a path'
        ) from error
    return MilvusIndex(dim, name, target)
