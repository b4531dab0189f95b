"""Errors of the streams.

StreamsError
├── BrokerUnavailableError   no broker answers; a retry may help
├── AccessRefusedError       a broker does not let us in, or shows what we do not trust
├── BrokerUnsupportedError   a broker is too old
├── SecurityError            what is to be shown to the brokers is missing or unreadable
├── TopicMismatchError       topics are missing or differ from what is needed
├── PublishError             records were not acknowledged by the broker
├── PublisherClosedError     a publisher was used after it was closed
├── InputFileError           a file to publish cannot be read; names the line
├── StalledError             the worker had something to do and did not advance
└── RejectedError            one message cannot be processed; it goes to the dead letters
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "AccessRefusedError",
    "BrokerUnavailableError",
    "BrokerUnsupportedError",
    "InputFileError",
    "PublishError",
    "PublisherClosedError",
    "RejectReason",
    "RejectedError",
    "SecurityError",
    "StalledError",
    "StreamsError",
    "TopicMismatchError",
]


class StreamsError(Exception):
    """Base of the streams' errors; `retriable` says whether the same call may succeed later."""

    retriable = False


class BrokerUnavailableError(StreamsError):
    """No broker answers."""

    retriable = True


class AccessRefusedError(StreamsError):
    """A broker refuses the user, the password or the certificate; or its own is not trusted."""


class BrokerUnsupportedError(StreamsError):
    """A broker lacks requests that Tidemark needs."""


class SecurityError(StreamsError, ValueError):
    """User, password, certificates or keys are missing or unreadable."""


class TopicMismatchError(StreamsError):
    """Topics are missing, or their partitions differ from what is needed."""


class PublishError(StreamsError):
    """Records were not acknowledged by the broker."""

    retriable = True


class PublisherClosedError(StreamsError):
    """A publisher was used after it was closed."""


class InputFileError(StreamsError):
    """A file to publish cannot be read."""


class StalledError(StreamsError):
    """The worker had something to do and did not advance for too long; says what stood still."""

    retriable = True


class RejectReason(StrEnum):
    """Why a message is dead-lettered: the header ``error``, low in cardinality."""

    MALFORMED = "malformed"  # not MessagePack/JSON of the schema
    OVER_LIMIT = "over_limit"  # larger than a setting allows
    BAD_KEY = "bad_key"  # no key, or not the id in the value
    BAD_TIME = "bad_time"  # before 1970 or in the future
    BAD_VALUE = "bad_value"  # a field's value makes no sense
    UNKNOWN_ACTION = "unknown_action"  # no weight in the settings
    UNKNOWN_ITEM = "unknown_item"  # not in the catalogue
    NO_TEXT = "no_text"  # nothing to encode
    ENCODER = "encoder"  # the encoder failed on this text


class RejectedError(StreamsError):
    """One message cannot be processed, however often it is tried.

    Attributes:
        reason: the class of the error.
        detail: what was wrong and what was expected, in words.
    """

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
