"""Errors of the encoders.

EncoderError
├── CacheError              the cache on disk cannot be opened
├── DeviceMemoryError       one text does not fit in memory; retriable
├── EncoderClosedError      the service was closed
├── EncodingFailedError     a text cannot be encoded
├── ModelNotFoundError      the model, or a file of it, is not there
├── ModelUnsupportedError   the model is there, but asks for what we do not do
├── SentimentError          a sentiment head cannot be read or trained
├── TemplateError           a template cannot be read (also a ValueError)
└── TrainingError           an encoder cannot be trained as asked
"""

from __future__ import annotations

__all__ = [
    "CacheError",
    "DeviceMemoryError",
    "EncoderClosedError",
    "EncoderError",
    "EncodingFailedError",
    "ModelNotFoundError",
    "ModelUnsupportedError",
    "SentimentError",
    "TemplateError",
    "TrainingError",
]


class EncoderError(Exception):
    """Base of the encoders' errors.

    Attributes:
        retriable: whether the same call may succeed later.
    """

    retriable: bool = False

    def __init__(self, message: str, *, retriable: bool | None = None) -> None:
        super().__init__(message)
        if retriable is not None:
            self.retriable = retriable


class CacheError(EncoderError):
    """The cache on disk cannot be opened; the message says what to do."""


class DeviceMemoryError(EncoderError):
    """One text alone does not fit in the memory that is free now; a retry may help."""

    retriable = True


class EncoderClosedError(EncoderError):
    """The service was closed before the call."""


class EncodingFailedError(EncoderError):
    """A text cannot be encoded; `retriable` where the encoder, not the text, is at fault."""


class ModelNotFoundError(EncoderError):
    """The model, or a file it needs, is not there; the message says which and what to do."""


class ModelUnsupportedError(EncoderError):
    """The model asks for what is not supported; the message says what, and what is."""


class SentimentError(EncoderError):
    """A sentiment head cannot be read or trained; the message says why."""


class TemplateError(EncoderError, ValueError):
    """A template is malformed or names an unknown field."""


class TrainingError(EncoderError):
    """An encoder cannot be trained as asked; the message says why, and what would do."""
