"""Errors of the store.

StoreError
├── CorruptRecordError      a record that cannot be read
├── EncoderMismatchError    vectors of two encoders would be mixed
├── NoSequenceError         the sequence model is asked for where there is none
├── PolicyError             a policy's parameters are out of range
├── RankingError            what is to be ranked by is not known
├── NoRankerError           an order is asked for that this service has no ranker for
├── SnapshotError           a snapshot that cannot be used
├── UnknownError            a query names what the view does not hold
│   ├── UnknownCategoryError
│   ├── UnknownItemError
│   └── UnknownUserError
└── VectorIndexError        wrong shape, dtype or use of an index
"""

from __future__ import annotations

import msgspec

__all__ = [
    "UNREADABLE",
    "CorruptRecordError",
    "EncoderMismatchError",
    "NoRankerError",
    "NoSequenceError",
    "PolicyError",
    "RankingError",
    "SnapshotError",
    "StoreError",
    "UnknownCategoryError",
    "UnknownError",
    "UnknownItemError",
    "UnknownUserError",
    "VectorIndexError",
]


#: What msgspec raises of bytes that it cannot read: it lets Python's own errors through.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class StoreError(Exception):
    """Base of the store's errors."""


class CorruptRecordError(StoreError):
    """A record cannot be read; a retry does not help."""


class EncoderMismatchError(StoreError):
    """A vector was made by another encoder than the one in use; a retry does not help."""


class NoRankerError(StoreError):
    """What a ``rank`` names is not there, a ranker or the blend; a retry does not help."""


class NoSequenceError(StoreError):
    """The sequence model is asked for where none is set; a retry does not help."""


class PolicyError(StoreError):
    """A policy's parameters are out of range."""


class RankingError(StoreError):
    """What is to be ranked by is not known."""


class SnapshotError(StoreError):
    """A snapshot is missing, damaged or of something else; what it is a view of must be read."""


class UnknownError(StoreError):
    """A query names what the view does not hold; a retry helps only once it was published."""


class UnknownCategoryError(UnknownError):
    """No item held is of this category."""


class UnknownItemError(UnknownError):
    """The item was never published, or was deleted."""


class UnknownUserError(UnknownError):
    """The user has no profile to search by: never seen, forgotten, or of norm 0."""


class VectorIndexError(StoreError):
    """A call on an index had the wrong shape or dtype, or named what is not there."""
