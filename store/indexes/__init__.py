"""Vector indexes behind one contract (`store.indexes.protocol.VectorIndex`).

``exact`` is NumPy: the reference, and enough for small numbers. ``faiss_flat`` scans the same rows
with FAISS, in float32 or float16. Both keep a key's row through a slot map and overwrite it in
place.
"""

from __future__ import annotations

from store.indexes.factory import make_index
from store.indexes.protocol import Hits, VectorIndex

__all__ = ["Hits", "VectorIndex", "make_index"]
