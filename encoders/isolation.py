"""Encoding texts so that one that fails does not stop the others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from encoders.errors import EncoderError, EncodingFailedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoders.protocol import TextEncoder

__all__ = ["encode_each"]

logger = logging.getLogger(__name__)

#: Encoded when a batch fails, to tell a bad text from an encoder that fails on every text.
PROBE = "probe"


def encode_each(
    encoder: TextEncoder, texts: list[str]
) -> tuple[list[str], NDArray[np.float32], dict[str, EncoderError]]:
    """Encode what can be encoded.

    A batch that raises is halved until the text at fault is alone, unless the probe fails as
    well: then no text is to blame, and every one of them is marked as retriable.

    Args:
        encoder: of any kind.
        texts: distinct, none empty.

    Returns:
        The texts that have a vector, their vectors ``(m, dim) float32``, and the error of each of
        the others.
    """
    good: list[str] = []
    parts = [np.empty((0, encoder.dim), np.float32)]
    errors: dict[str, EncoderError] = {}
    pending = [texts] if texts else []
    probed = False
    while pending:
        batch = pending.pop()
        try:
            vectors = _checked(encoder, batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other texts go on
            logger.warning("encoding %d texts failed: %s", len(batch), error)
            if not probed and (cause := _probe(encoder)) is not None:
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
    return good, np.concatenate(parts), errors


def _probe(encoder: TextEncoder) -> EncoderError | None:
    try:
        _checked(encoder, [PROBE])
    except Exception as error:  # noqa: BLE001 - what it is, is the answer
        return EncodingFailedError(f"the encoder fails on every text: {error}", retriable=True)
    return None


def _checked(encoder: TextEncoder, texts: list[str]) -> NDArray[np.float32]:
    vectors = encoder.encode(texts)
    if vectors.shape != (len(texts), encoder.dim):
        raise EncodingFailedError(
            f"the encoder gave shape {vectors.shape}, expected {(len(texts), encoder.dim)}"
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
