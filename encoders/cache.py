"""Vectors of texts seen lately, in memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["ENTRY_OVERHEAD", "VectorCache"]

#: Bytes of an entry beside its vector and text: the objects' headers and the dictionary's slot.
ENTRY_OVERHEAD = 320


class VectorCache:
    """Least recently used texts leave first. Every call comes from one thread.

    Args:
        max_bytes: bound on `bytes_used`; 0 disables the cache.

    Attributes:
        bytes_used: vectors, UTF-8 texts and `ENTRY_OVERHEAD` for each.
        hits, misses, evictions: since the start.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ValueError(f"max_bytes must be at least 0, got {max_bytes}")
        self.max_bytes = max_bytes
        self.bytes_used = 0
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self._entries: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get_many(self, texts: Sequence[str]) -> list[NDArray[np.float32] | None]:
        """The vector of each text, ``(dim,) float32`` and read-only, or None."""
        found: list[NDArray[np.float32] | None] = []
        for text in texts:
            vector = self._entries.get(text)
            if vector is None:
                self.misses += 1
            else:
                self.hits += 1
                self._entries.move_to_end(text)
            found.append(vector)
        return found

    def put_many(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep copies, in order; what is larger than the whole cache is not kept.

        Args:
            texts: n texts; a text that is held is replaced.
            vectors: ``(n, dim) float32``.
        """
        for text, row in zip(texts, vectors, strict=True):
            old = self._entries.pop(text, None)
            if old is not None:
                self.bytes_used -= _size(text, old)
            size = _size(text, row)
            if size > self.max_bytes:
                continue
            while self.bytes_used + size > self.max_bytes:
                self.bytes_used -= _size(*self._entries.popitem(last=False))
                self.evictions += 1
            # A copy of its own: a view would keep the whole batch alive beyond the bound.
            vector = np.array(row, np.float32)
            vector.flags.writeable = False
            self._entries[text] = vector
            self.bytes_used += size


def _size(text: str, vector: NDArray[np.float32]) -> int:
    return 4 * vector.size + len(text.encode("utf-8", "surrogatepass")) + ENTRY_OVERHEAD
