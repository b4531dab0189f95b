"""Texts to unit vectors: encoders, the cache and thread in front of them, and templates.

Importing this package loads neither torch nor transformers: `load_encoder` imports
`encoders.models.transformer` when a model asks for it.
"""

from __future__ import annotations

from encoders.cache import VectorCache
from encoders.disk_cache import DiskCache
from encoders.errors import (
    CacheError,
    DeviceMemoryError,
    EncoderClosedError,
    EncoderError,
    EncodingFailedError,
    ModelNotFoundError,
    ModelUnsupportedError,
    SentimentError,
    TemplateError,
    TrainingError,
)
from encoders.factory import DEFAULT_MODEL, load_encoder
from encoders.hashing import HashingEncoder
from encoders.protocol import TextEncoder
from encoders.sentiment import SentimentHead, default_head, load_head
from encoders.service import EncodedBatch, EncoderService, ServiceStats
from encoders.templates import DEFAULT_TEMPLATES, Templates

__all__ = [
    "DEFAULT_MODEL",
    "DEFAULT_TEMPLATES",
    "CacheError",
    "DeviceMemoryError",
    "DiskCache",
    "EncodedBatch",
    "EncoderClosedError",
    "EncoderError",
    "EncoderService",
    "EncodingFailedError",
    "HashingEncoder",
    "ModelNotFoundError",
    "ModelUnsupportedError",
    "SentimentError",
    "SentimentHead",
    "ServiceStats",
    "TemplateError",
    "Templates",
    "TextEncoder",
    "TrainingError",
    "VectorCache",
    "default_head",
    "load_encoder",
    "load_head",
]
