"""Errors of the command line.

TidemarkError
├── SettingsError      a setting is wrong: names it, what it is, what was expected
├── CheckpointError    a training's checkpoint cannot be written, or gone on from
├── NotReadyError      a part did not start in time
├── EvaluationError    a log cannot be read, or what is learned from it is not to be had
│   └── WrongRequestError  what was asked of a log is nothing that can be
├── RankerError        a ranker cannot be read, written or trained
├── RetrievalError     the retrieval service did not answer, or not what was asked
├── SequenceError      a sequence model cannot be read or written
└── SoakError          a fault test cannot be run as asked
    └── FaultMissedError   a fault did not come about
"""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "EvaluationError",
    "FaultMissedError",
    "NotReadyError",
    "RankerError",
    "RetrievalError",
    "SequenceError",
    "SettingsError",
    "SoakError",
    "TidemarkError",
    "WrongRequestError",
]


class TidemarkError(Exception):
    """Base of the command line's own errors."""


class SettingsError(TidemarkError):
    """A setting is wrong."""


class CheckpointError(TidemarkError):
    """A training's checkpoint cannot be written, or is not to be gone on from."""


class NotReadyError(TidemarkError):
    """A part did not start in time."""


class EvaluationError(TidemarkError):
    """A log of actions cannot be read, or does not hold what was asked of it."""


class WrongRequestError(EvaluationError):
    """What was asked of a log is nothing that can be, whatever the log: a share beyond 1, say."""


class RankerError(TidemarkError):
    """A ranker cannot be read or written, or there is nothing to train it on."""


class RetrievalError(TidemarkError):
    """The retrieval service did not answer, or not what was asked.

    Attributes:
        status: of its answer; None where there was none.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SequenceError(TidemarkError):
    """A sequence model cannot be read or written."""


class SoakError(TidemarkError):
    """A fault test cannot be run as asked; it says nothing of the system tested."""


class FaultMissedError(SoakError):
    """A fault did not come about, and so tested nothing."""
