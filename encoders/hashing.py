"""An encoder without a model: words and character trigrams hashed to signed buckets.

Feature hashing: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009.
It knows spelling, not meaning: for tests, demos and load trials, and for the words that a ranking
knows beside a model's vectors (`store.ranking.words`), which a change here makes others.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    #: Buckets and what is added to them, ``(k,)`` each.
    Features = tuple[NDArray[np.int64], NDArray[np.float64]]

__all__ = ["HashingEncoder"]

# The bound keeps the features of one long run of letters small; the run is cut, not lost.
_WORD = re.compile(r"\w{1,64}")
_BUCKETS = 8
# A multiple of 1/8: sums and their squares are exact in float64, in whatever order they are added.
_TRIGRAM_WEIGHT = 0.375
_CACHED_WORDS = 1 << 15
_ROWS_AT_ONCE = 1024


class HashingEncoder:
    """Unit vectors in which texts that share words or parts of words have a higher cosine.

    The same text gives the same bits in every process and on every platform.

    Args:
        dim: length of the vectors, at least 1.
        seed: another seed gives unrelated directions.

    Raises:
        ValueError: dim is below 1.
    """

    def __init__(self, dim: int = 384, seed: int = 0) -> None:
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        self._dim = dim
        self._seed = seed
        self._key = str(seed).encode()
        self._features = lru_cache(_CACHED_WORDS)(self._hash_word)

    @property
    def encoder_id(self) -> str:
        """Names the scheme, the dimension and the seed."""
        return f"hashing-v1:dim{self._dim}-seed{self._seed}"

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts, in their order.

        Returns:
            ``(n, dim) float32``, rows of norm 1.
        """
        vectors = np.empty((len(texts), self._dim), np.float32)
        for start in range(0, len(texts), _ROWS_AT_ONCE):
            part = texts[start : start + _ROWS_AT_ONCE]
            vectors[start : start + len(part)] = self._encode_part(part)
        return vectors

    def _encode_part(self, texts: Sequence[str]) -> NDArray[np.float64]:
        lists = [[self._features(word) for word in _WORD.findall(text.lower())] for text in texts]
        found = [features for row in lists for features in row]
        sums: NDArray[np.float64] = np.zeros((len(texts), self._dim))
        if found:
            rows = np.repeat(
                np.arange(len(texts)),
                [sum(len(index) for index, _ in row) for row in lists],
            )
            cells = rows * self._dim + np.concatenate([index for index, _ in found])
            weights = np.concatenate([weight for _, weight in found])
            flat = np.bincount(cells, weights=weights, minlength=sums.size).astype(np.float64)
            sums = flat.reshape(sums.shape)
        norms = np.sqrt(np.einsum("ij,ij->i", sums, sums))
        # Without word characters, or all cancelled out: one bucket for the text as it is.
        for row in map(int, np.flatnonzero(norms == 0.0)):
            bucket, sign = self._buckets([b"t" + texts[row].encode("utf-8", "surrogatepass")], 1)
            sums[row] = 0.0
            sums[row, bucket] = sign
            norms[row] = 1.0
        sums /= norms[:, None]
        return sums

    def _hash_word(self, word: str) -> Features:
        marked = f"#{word}#"
        tokens = [b"w" + word.encode()]
        tokens += [b"c" + marked[i : i + 3].encode() for i in range(len(marked) - 2)]
        index, signs = self._buckets(tokens, _BUCKETS)
        weights = np.full(len(signs), _TRIGRAM_WEIGHT)
        weights[:_BUCKETS] = 1.0
        return index, signs * weights

    def _buckets(self, tokens: Sequence[bytes], count: int) -> Features:
        """So many of each token, one token's after the other's, and +1 or −1."""
        digests = [
            hashlib.blake2b(token, digest_size=4 * count, key=self._key).digest()
            for token in tokens
        ]
        numbers = np.frombuffer(b"".join(digests), dtype="<u4").astype(np.int64)
        return (numbers >> 1) % self._dim, (1 - 2 * (numbers & 1)).astype(np.float64)
