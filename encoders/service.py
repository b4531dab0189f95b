"""Encoding for asyncio: threads before the encoder, caches, and every text encoded once."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from encoders.disk_writer import DiskWriter
from encoders.errors import EncoderClosedError, EncoderError, EncodingFailedError
from encoders.isolation import encode_each
from encoders.protocol import CountsTexts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from encoders.cache import VectorCache
    from encoders.disk_cache import DiskCache
    from encoders.protocol import TextEncoder

__all__ = ["EncodedBatch", "EncoderService", "ServiceStats"]

logger = logging.getLogger(__name__)

#: While the texts of one are on the device, the other turns those that came meanwhile to tokens.
_THREADS = 2
#: Calls that wait are answered together up to so many texts; the last may bring more.
_MERGED_TEXTS = 8_192


@dataclass(frozen=True, slots=True, eq=False)
class EncodedBatch:
    """The answer to one call.

    Attributes:
        vectors: ``(m, dim) float32``, unit rows: one for each distinct text that was encoded.
        index: ``(n,) int32``: the row of each text asked for, or -1 where it failed.
        errors: why, by text; `retriable` says whether to ask again or to give the text up.
    """

    vectors: NDArray[np.float32]
    index: NDArray[np.int32]
    errors: dict[str, EncoderError]


@dataclass(frozen=True, slots=True)
class ServiceStats:
    """Counters since the start.

    Attributes:
        texts_requested: as asked for, repeats included.
        texts_encoded: that the encoder gave a vector for.
        texts_merged: that were being encoded for another call already.
        texts_cut: that were longer than the encoder reads.
        cache_hits, cache_misses: distinct texts, in memory.
        evictions: entries that left the cache in memory.
        disk_hits, disk_misses: of the misses in memory, on disk.
        disk_evictions: entries that this process took from the cache on disk.
        disk_failures: reads and writes of it that failed.
        failures: distinct texts that failed.
        encode_seconds: time in the encoder; calls may overlap.
        tokens: of the texts encoded.
        padding_tokens: computed beside these, to fill up batches.
    """

    texts_requested: int
    texts_encoded: int
    texts_merged: int
    texts_cut: int
    cache_hits: int
    cache_misses: int
    evictions: int
    disk_hits: int
    disk_misses: int
    disk_evictions: int
    disk_failures: int
    failures: int
    encode_seconds: float
    tokens: int
    padding_tokens: int


@dataclass(slots=True, eq=False)
class _Call:
    texts: tuple[str, ...]
    answer: Future[EncodedBatch] = field(default_factory=Future)


@dataclass(slots=True, eq=False)
class _Work:
    """Texts that one thread encodes, and others may wait for."""

    done: threading.Event = field(default_factory=threading.Event)
    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    errors: dict[str, EncoderError] = field(default_factory=dict)


class EncoderService:
    """Owns the encoder, the caches and the threads that call them.

    Calls that wait are answered together; none waits for others to come. A text that is being
    encoded for one call is not encoded again for another.

    Args:
        encoder: called from two threads.
        cache: in memory, in front of the encoder.
        disk: asked where the memory does not know; None for none. Closed with the service.
    """

    def __init__(
        self, encoder: TextEncoder, cache: VectorCache, disk: DiskCache | None = None
    ) -> None:
        self._encoder = encoder
        self._cache = cache
        self._disk = disk
        self._executor = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="encoder")
        self._writer = None if disk is None else DiskWriter(disk)
        # No bound is needed: each caller awaits its answer, so no more wait than there are callers.
        self._waiting: deque[_Call] = deque()
        #: Guards all that follows and the cache in memory.
        self._lock = threading.Lock()
        self._in_flight: dict[str, _Work] = {}
        self._requested = 0
        self._encoded = 0
        self._merged = 0
        self._failures = 0
        self._seconds = 0.0

    @property
    def encoder(self) -> TextEncoder:
        """In whose front this is."""
        return self._encoder

    @property
    def encoder_id(self) -> str:
        """Of the encoder."""
        return self._encoder.encoder_id

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._encoder.dim

    async def encode(self, texts: Sequence[str]) -> EncodedBatch:
        """Encode each distinct text once, those in a cache not at all.

        A text that fails is in `EncodedBatch.errors`; the others are not touched by it. An empty
        text is a failure. A caller that is cancelled leaves the threads to finish its batch.

        Raises:
            EncoderClosedError: the service was closed.
        """
        return await asyncio.wrap_future(self._submit(texts))

    def encode_now(self, texts: Sequence[str]) -> EncodedBatch:
        """As `encode`, for callers without an event loop: it blocks."""
        return self._submit(texts).result()

    @property
    def progress(self) -> int:
        """Grows as texts are encoded, also within a long call of an encoder that counts them."""
        counted = self._encoder.texts_done if isinstance(self._encoder, CountsTexts) else 0
        return self._encoded + counted

    def stats(self) -> ServiceStats:
        """Counters; while a call is running they may be of slightly different moments."""
        disk = self._disk
        counted = self._encoder if isinstance(self._encoder, CountsTexts) else None
        return ServiceStats(
            texts_requested=self._requested,
            texts_encoded=self._encoded,
            texts_merged=self._merged,
            texts_cut=0 if counted is None else counted.texts_cut,
            cache_hits=self._cache.hits,
            cache_misses=self._cache.misses,
            evictions=self._cache.evictions,
            disk_hits=0 if disk is None else disk.hits,
            disk_misses=0 if disk is None else disk.misses,
            disk_evictions=0 if disk is None else disk.evictions,
            disk_failures=0 if disk is None else disk.failures,
            failures=self._failures,
            encode_seconds=self._seconds,
            tokens=0 if counted is None else counted.tokens_done,
            padding_tokens=0 if counted is None else counted.padding_done,
        )

    def close(self) -> None:
        """Answer the calls already made, then stop the threads. May be called again.

        What cannot be written on disk within a second or so is not.
        """
        self._executor.shutdown(wait=True)
        if self._writer is not None:
            self._writer.close()

    def _submit(self, texts: Sequence[str]) -> Future[EncodedBatch]:
        call = _Call(tuple(texts))
        self._waiting.append(call)
        try:
            self._executor.submit(self._serve)
        except RuntimeError as error:
            raise EncoderClosedError("the encoder service is closed: no text is taken") from error
        return call.answer

    def _serve(self) -> None:
        """In a thread: answer what waits; nothing may be left, as a thread before took it all."""
        calls: list[_Call] = []
        with self._lock:
            texts = 0
            while self._waiting and (not calls or texts < _MERGED_TEXTS):
                call = self._waiting.popleft()
                if call.answer.set_running_or_notify_cancel():
                    calls.append(call)
                    texts += len(call.texts)
        if not calls:
            return
        try:
            vectors, errors = self._vectors_of(calls)
            for call in calls:
                call.answer.set_result(_batch(call.texts, vectors, errors, self.dim))
        except BaseException as error:  # a defect: told to the callers, whose threads it is not
            for call in calls:
                if not call.answer.done():
                    call.answer.set_exception(error)
            raise

    def _vectors_of(
        self, calls: list[_Call]
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, EncoderError]]:
        """What the calls' texts have: a vector or an error each."""
        texts = dict.fromkeys(text for call in calls for text in call.texts)
        errors: dict[str, EncoderError] = {}
        if "" in texts:
            del texts[""]
            errors[""] = EncodingFailedError("an empty text has no vector")
        distinct = list(texts)
        mine, others, work = list[str](), dict[_Work, list[str]](), _Work()
        with self._lock:
            self._requested += sum(len(call.texts) for call in calls)
            found = self._cache.get_many(distinct)
            for text, vector in zip(distinct, found, strict=True):
                if vector is None:
                    owner = self._in_flight.setdefault(text, work)
                    if owner is work:
                        mine.append(text)
                    else:
                        others.setdefault(owner, []).append(text)
            self._merged += sum(map(len, others.values()))
        vectors = {t: v for t, v in zip(distinct, found, strict=True) if v is not None}
        # Own work first: two threads that wait for each other's have both done it.
        if mine:
            self._do(work, mine)
            vectors |= work.vectors
            errors |= work.errors
        for other, shared in others.items():
            other.done.wait()
            vectors |= {text: other.vectors[text] for text in shared if text in other.vectors}
            errors |= {text: other.errors[text] for text in shared if text in other.errors}
        with self._lock:
            self._failures += len(errors)
        return vectors, errors

    def _do(self, work: _Work, texts: list[str]) -> None:
        """Look on disk, encode the rest, keep it, and let those know who wait."""
        new: list[str] = []
        fresh: NDArray[np.float32] = np.empty((0, self.dim), np.float32)
        try:
            stored = [None] * len(texts) if self._disk is None else self._disk.get_many(texts)
            work.vectors = {t: v for t, v in zip(texts, stored, strict=True) if v is not None}
            started = time.perf_counter()
            new, fresh, work.errors = encode_each(
                self._encoder, [text for text in texts if text not in work.vectors]
            )
            seconds = time.perf_counter() - started
            work.vectors.update(zip(new, fresh, strict=True))
            if self._writer is not None and new:
                self._writer.offer(new, fresh)
            with self._lock:
                self._seconds += seconds
                self._encoded += len(new)
                known = list(work.vectors)
                if known:
                    self._cache.put_many(known, np.stack(list(work.vectors.values())))
        except BaseException as error:
            failed = EncodingFailedError(f"{type(error).__name__}: {error}", retriable=True)
            work.errors = {text: failed for text in texts if text not in work.vectors}
            raise
        finally:
            with self._lock:
                for text in texts:
                    del self._in_flight[text]
            work.done.set()


def _batch(
    texts: tuple[str, ...],
    vectors: dict[str, NDArray[np.float32]],
    errors: dict[str, EncoderError],
    dim: int,
) -> EncodedBatch:
    """What one call gets of what was found for several."""
    rows = dict.fromkeys(text for text in texts if text in vectors)
    row_of = {text: row for row, text in enumerate(rows)}
    return EncodedBatch(
        np.array([vectors[text] for text in rows], np.float32).reshape(len(rows), dim),
        np.fromiter((row_of.get(text, -1) for text in texts), np.int32, len(texts)),
        {text: errors[text] for text in dict.fromkeys(texts) if text in errors},
    )
