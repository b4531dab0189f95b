"""Vector indexes behind one contract (`store.indexes.protocol.VectorIndex`).

``exact`` is NumPy: the reference, and enough for small numbers. ``faiss_flat`` scans the same rows
with FAISS, in several precisions. Both keep a key's row through a slot map and overwrite it in
place. ``milvus`` has them on another machine, or on many.
"""

from __future__ import annotations

from store.indexes.factory import make_index
from store.indexes.filters import NO_FILTER, Filter, Metadata
from store.indexes.protocol import Hits, IndexPart, VectorIndex

__all__ = ["NO_FILTER", "Filter", "Hits", "IndexPart", "Metadata", "VectorIndex", "make_index"]
