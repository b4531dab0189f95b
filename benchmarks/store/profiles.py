"""Profiles as the worker would make them, of real texts' vectors, any number of them.

A profile is 5 to 30 texts folded by ``p' = k·p + (1-k)·v``, k = min(0.9, n/(n+1)), and brought to
length 1. The texts are the films and review sentences that the encoders are measured with. A user
has one to three interests, each a text; four of five texts are drawn of the 64 that are most alike
one of these, the fifth of all. Without tastes all are drawn of all, which nobody does, and which
leaves an approximate search little to go by: the profiles then lie about evenly in a narrow cone.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.encoders.texts import film_texts, review_sentences
from encoders import DEFAULT_MODEL, load_encoder
from store.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "ChangingProfiles", "Texts", "keys_of", "load_texts", "make_items", "make_profiles",
    "profile_blocks",
]  # fmt: skip

_BLOCK = 8_192
_FEWEST, _MOST = 5, 30
_KEEP = 0.9
_INTERESTS, _ALIKE, _ASTRAY = 3, 64, 0.2


class Texts(NamedTuple):
    """``(n, dim)`` unit vectors of texts, and ``(n, 64)`` which others are most alike each."""

    vectors: NDArray[np.float32]
    alike: NDArray[np.int64]

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self.vectors.shape[1])


def load_texts(*, quick: bool) -> Texts:
    """About 12,000 texts; encoded once and kept in ``TMPDIR``.

    Raises:
        TidemarkError: the texts are not there.
    """
    texts = film_texts() + review_sentences()
    if quick:
        texts = texts[::8]
    digest = hashlib.sha256("\n".join([DEFAULT_MODEL, *texts]).encode()).hexdigest()
    path = Path(tempfile.gettempdir()) / f"tidemark-bench-texts-{digest[:16]}.npy"
    if not path.exists():
        print(f"encoding {len(texts):,} texts, kept in {path}")
        unfinished = path.with_suffix(f".{os.getpid()}.npy")
        np.save(unfinished, load_encoder(DEFAULT_MODEL).encode(texts))
        unfinished.replace(path)
    vectors: NDArray[np.float32] = np.load(path)
    alike = [
        np.argpartition(-(some @ vectors.T), _ALIKE, axis=1)[:, :_ALIKE]
        for some in np.array_split(vectors, 16)
    ]
    return Texts(vectors, np.concatenate(alike))


def keys_of(count: int) -> list[str]:
    """Ids of users, by row."""
    return [f"user-{row}" for row in range(count)]


def profile_blocks(
    texts: Texts, count: int, *, tastes: bool = True
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """First row and ``(≤8192, dim)`` profiles, the same each time; the array is used again."""
    block = np.empty((_BLOCK, texts.dim), np.float32)
    for start in range(0, count, _BLOCK):
        some = block[: min(_BLOCK, count - start)]
        random = np.random.default_rng([start, 1])
        lengths = random.integers(_FEWEST, _MOST + 1, _BLOCK)
        interests = _interests(texts, start, _BLOCK) if tastes else None
        # Drawn for a whole block also where fewer are wanted: so those are the same.
        _fold(texts.vectors, _drawn(texts, random, _BLOCK, _MOST, interests), lengths, some)
        yield start, some


def _interests(texts: Texts, start: int, count: int) -> NDArray[np.int64]:
    """``(count, 3)`` texts of the users of a block, of whom some have the same twice."""
    random = np.random.default_rng([start, 2])
    chosen = random.integers(0, len(texts.vectors), (_BLOCK, _INTERESTS))
    distinct = random.integers(1, _INTERESTS + 1, (_BLOCK, 1))
    places = np.arange(_INTERESTS) % distinct
    return np.take_along_axis(chosen, places, axis=1)[:count]


def _drawn(
    texts: Texts,
    random: np.random.Generator,
    count: int,
    each: int,
    interests: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    """``(count, each)`` numbers of texts."""
    drawn = random.integers(0, len(texts.vectors), (count, each))
    if interests is None:
        return drawn
    which = random.integers(0, _INTERESTS, (count, each))
    like = texts.alike[
        np.take_along_axis(interests, which, axis=1), random.integers(0, _ALIKE, (count, each))
    ]
    return np.where(random.random((count, each)) < _ASTRAY, drawn, like)


def make_profiles(texts: Texts, count: int, *, tastes: bool = True) -> NDArray[np.float32]:
    """All in one array, ``(count, dim)``."""
    profiles = np.empty((count, texts.dim), np.float32)
    for start, block in profile_blocks(texts, count, tastes=tastes):
        profiles[start : start + len(block)] = block
    return profiles


def make_items(texts: Texts, count: int) -> NDArray[np.float32]:
    """``(count, dim)`` items: the texts themselves, then sums of a text and some of one like it."""
    random = np.random.default_rng(3)
    one = random.integers(0, len(texts.vectors), max(0, count - len(texts.vectors)))
    place = random.integers(0, _ALIKE, len(one))
    other = texts.alike[one, place]
    other = np.where(other == one, texts.alike[one, place - 1], other)  # none is like itself
    vectors = texts.vectors
    share = random.uniform(0.2, 0.8, (len(one), 1)).astype(np.float32)
    made = np.concatenate([vectors[:count], vectors[one] + share * vectors[other]])
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


class ChangingProfiles:
    """The truth: profiles of which some change, a batch at a time, by ``0.9·p + 0.1·v``.

    Args:
        texts: of which the new v are drawn, by the users' tastes.
        count: profiles.
        batch: how many change at once, all different.
        tastes: whether users have any.

    Attributes:
        profiles: ``(count, dim)`` as they are after all batches given out.
        keys: of the profiles.
    """

    def __init__(self, texts: Texts, count: int, batch: int, *, tastes: bool = True) -> None:
        self.profiles = make_profiles(texts, count, tastes=tastes)
        self.keys = keys_of(count)
        self._texts = texts
        self._batch = batch
        self._random = np.random.default_rng(4)
        self._interests = None
        if tastes:
            starts = range(0, count, _BLOCK)
            blocks = [_interests(texts, one, min(_BLOCK, count - one)) for one in starts]
            self._interests = np.concatenate(blocks)

    def next(self) -> tuple[list[str], NDArray[np.float32]]:
        """Keys and their new vectors."""
        rows = np.unique(self._random.integers(0, len(self.profiles), self._batch))
        while len(rows) < self._batch:
            more = self._random.integers(0, len(self.profiles), self._batch - len(rows))
            rows = np.unique(np.append(rows, more))
        self._random.shuffle(rows)
        interests = None if self._interests is None else self._interests[rows]
        drawn = _drawn(self._texts, self._random, len(rows), 1, interests)[:, 0]
        vectors = np.float32(_KEEP) * self.profiles[rows]
        vectors += np.float32(1 - _KEEP) * self._texts.vectors[drawn]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.profiles[rows] = vectors
        return [self.keys[row] for row in rows.tolist()], vectors

    def take(self, count: int) -> list[tuple[list[str], NDArray[np.float32]]]:
        """So many batches, made before a clock runs."""
        return [self.next() for _ in range(count)]


@compiled
def _fold(
    texts: NDArray[np.float32], drawn: NDArray[np.int64], lengths: NDArray[np.int64], out: Any
) -> None:
    for i in range(out.shape[0]):
        for n in range(lengths[i]):
            k = np.float32(min(_KEEP, n / (n + 1)))
            rest = np.float32(1.0) - k
            text = drawn[i, n]
            for d in range(np.uint64(texts.shape[1])):
                before = out[i, d] if n else np.float32(0.0)
                out[i, d] = k * before + rest * texts[text, d]
        total = np.float32(0.0)
        for d in range(np.uint64(texts.shape[1])):
            total += out[i, d] * out[i, d]
        length = np.sqrt(total)
        for d in range(np.uint64(texts.shape[1])):
            out[i, d] /= length
