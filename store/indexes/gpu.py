"""A copy of all rows on a GPU, which looks at every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from store.indexes.faiss_library import faiss
from store.indexes.frozen import FrozenCopy

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from store.indexes.accelerator import Rows

__all__ = ["GpuCopy", "build_gpu_copy", "gpus"]

_CHUNK = 65_536
#: Rows that come back for each query: spare ones for those that changed or are filtered out.
_FIRST_EFFORT, _LEAST_EFFORT, _MOST_EFFORT = 512, 256, 2_048


def gpus() -> int:
    """How many GPUs this build of FAISS finds; none without faiss-gpu."""
    return int(faiss.get_num_gpus())


class GpuCopy(FrozenCopy):
    """Filters are looked at here: on a GPU FAISS would ignore them without a word.

    Args:
        index: on a GPU, where it may not be asked by two threads at a time; entry i is row i.
        count: entries.
    """

    def __init__(self, index: Any, count: int) -> None:
        super().__init__("copy on a GPU", count, _FIRST_EFFORT)
        self._index = index

    @property
    def least_effort(self) -> int:
        """Rows that come back."""
        return _LEAST_EFFORT

    @property
    def most_effort(self) -> int:
        """FAISS gives no more on a GPU."""
        return _MOST_EFFORT

    def _near(self, queries: NDArray[np.float32], wanted: int) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = self._index.search(queries, min(wanted, _MOST_EFFORT))[1]
        return rows


def build_gpu_copy(rows: Rows, make: Callable[[int], Any] | None = None) -> GpuCopy:
    """Copy all rows, in half precision.

    Args:
        rows: to copy.
        make: an empty index of a dim on a GPU; by default on the first one.
    """
    index = (make or _on_first_gpu)(rows.dim)
    for start in range(0, rows.count, _CHUNK):
        index.add(rows.vectors(np.arange(start, min(start + _CHUNK, rows.count))))
    return GpuCopy(index, rows.count)


def _on_first_gpu(dim: int) -> Any:
    settings = faiss.GpuIndexFlatConfig()
    settings.useFloat16 = True
    return faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), dim, settings)
