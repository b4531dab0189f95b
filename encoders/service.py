"""Encoding for asyncio: one thread, a cache in front, and no text that can stop the others."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoders.errors import EncoderClosedError, EncoderError, EncodingFailedError
from encoders.protocol import CountsTexts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from encoders.cache import VectorCache
    from encoders.protocol import TextEncoder

__all__ = ["EncodedBatch", "EncoderService", "ServiceStats"]

logger = logging.getLogger(__name__)

#: Encoded when a batch fails, to tell a bad text from an encoder that fails on every text.
PROBE = "probe"


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
        cache_hits, cache_misses: distinct texts of a call.
        evictions: entries that left the cache.
        failures: distinct texts of a call that failed.
        encode_seconds: time in the encoder.
    """

    texts_requested: int
    texts_encoded: int
    cache_hits: int
    cache_misses: int
    evictions: int
    failures: int
    encode_seconds: float


class EncoderService:
    """Owns the encoder, the cache and the one thread that calls them.

    Args:
        encoder: called from the service's thread only.
        cache: in front of the encoder; likewise.
    """

    def __init__(self, encoder: TextEncoder, cache: VectorCache) -> None:
        self._encoder = encoder
        self._cache = cache
        # The executor's queue has no bound of its own and needs none: each caller awaits its
        # answer, so no more calls wait than there are callers.
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")
        self._requested = 0
        self._encoded = 0
        self._failures = 0
        self._seconds = 0.0

    @property
    def encoder_id(self) -> str:
        """Of the encoder."""
        return self._encoder.encoder_id

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._encoder.dim

    async def encode(self, texts: Sequence[str]) -> EncodedBatch:
        """Encode each distinct text once, those in the cache not at all.

        A text that fails is in `EncodedBatch.errors`; the others are not touched by it. An empty
        text is a failure. A caller that is cancelled leaves the thread to finish its batch.

        Raises:
            EncoderClosedError: the service was closed.
        """
        return await asyncio.wrap_future(self._submit(texts))

    def encode_now(self, texts: Sequence[str]) -> EncodedBatch:
        """As `encode`, in the same thread, for callers without an event loop: it blocks."""
        return self._submit(texts).result()

    @property
    def progress(self) -> int:
        """Grows as texts are encoded, also within a long call of an encoder that counts them."""
        counted = self._encoder.texts_done if isinstance(self._encoder, CountsTexts) else 0
        return self._encoded + counted

    def stats(self) -> ServiceStats:
        """Counters; while a call is running they may be of slightly different moments."""
        return ServiceStats(
            texts_requested=self._requested,
            texts_encoded=self._encoded,
            cache_hits=self._cache.hits,
            cache_misses=self._cache.misses,
            evictions=self._cache.evictions,
            failures=self._failures,
            encode_seconds=self._seconds,
        )

    def close(self) -> None:
        """Answer the calls already made, then stop the thread. May be called again."""
        self._executor.shutdown(wait=True)

    def _submit(self, texts: Sequence[str]) -> Future[EncodedBatch]:
        try:
            return self._executor.submit(self._run, tuple(texts))
        except RuntimeError as error:
            raise EncoderClosedError("the encoder service is closed: no text is taken") from error

    def _run(self, texts: tuple[str, ...]) -> EncodedBatch:
        self._requested += len(texts)
        errors: dict[str, EncoderError] = {}
        distinct = [text for text in dict.fromkeys(texts) if text]
        if "" in texts:
            errors[""] = EncodingFailedError("an empty text has no vector")
        vectors = dict(zip(distinct, self._cache.get_many(distinct), strict=True))
        missing = [text for text, vector in vectors.items() if vector is None]
        started = time.perf_counter()
        good, fresh = self._encode(missing, errors)
        self._seconds += time.perf_counter() - started
        self._cache.put_many(good, fresh)
        self._encoded += len(good)
        self._failures += len(errors)

        vectors.update(zip(good, fresh, strict=True))
        rows = {text: vector for text, vector in vectors.items() if vector is not None}
        row_of = {text: row for row, text in enumerate(rows)}
        return EncodedBatch(
            np.array(list(rows.values()), np.float32).reshape(len(rows), self.dim),
            np.fromiter((row_of.get(text, -1) for text in texts), np.int32, len(texts)),
            errors,
        )

    def _encode(
        self, texts: list[str], errors: dict[str, EncoderError]
    ) -> tuple[list[str], NDArray[np.float32]]:
        """The texts that could be encoded and their vectors; the others go to `errors`.

        A batch that raises is halved until the text at fault is alone, unless the probe fails as
        well: then no text is to blame, and every one of them is marked as retriable.
        """
        good: list[str] = []
        parts = [np.empty((0, self.dim), np.float32)]
        pending = [texts] if texts else []
        probed = False
        while pending:
            batch = pending.pop()
            try:
                vectors = self._checked(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other texts go on
                logger.warning("encoding %d texts failed: %s", len(batch), error)
                if not probed and (cause := self._probe()) is not None:
                    failed = [batch, *pending]
                    errors.update((text, cause) for part in failed for text in part)
                    break
                probed = True
                if len(batch) == 1:
                    errors[batch[0]] = _as_encoder_error(error)
                else:
                    middle = len(batch) // 2
                    pending += [batch[middle:], batch[:middle]]
                continue
            finite: NDArray[np.bool_] = np.isfinite(vectors).all(axis=1)  # type: ignore[assignment]
            good += [text for text, fine in zip(batch, finite, strict=True) if fine]
            parts.append(vectors[finite])
            for row in np.flatnonzero(~finite):
                errors[batch[row]] = EncodingFailedError("the encoder gave a vector not finite")
        return good, np.concatenate(parts)

    def _probe(self) -> EncoderError | None:
        try:
            self._checked([PROBE])
        except Exception as error:  # noqa: BLE001 - what it is, is the answer
            return EncodingFailedError(f"the encoder fails on every text: {error}", retriable=True)
        return None

    def _checked(self, texts: list[str]) -> NDArray[np.float32]:
        vectors = self._encoder.encode(texts)
        if vectors.shape != (len(texts), self.dim):
            raise EncodingFailedError(
                f"the encoder gave shape {vectors.shape}, expected {(len(texts), self.dim)}"
            )
        return vectors


def _as_encoder_error(error: Exception) -> EncoderError:
    """The error itself where a retry may help (out of memory), else an `EncodingFailedError`."""
    if isinstance(error, EncodingFailedError) or (
        isinstance(error, EncoderError) and error.retriable
    ):
        return error
    failed = EncodingFailedError(f"{type(error).__name__}: {error}")
    failed.__cause__ = error
    return failed
