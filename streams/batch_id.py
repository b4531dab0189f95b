"""Which micro-batch the code that runs is about: for log lines."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["batch_id", "current_batch"]

#: Counted from the start of the worker; None outside of a micro-batch.
batch_id: ContextVar[int | None] = ContextVar("tidemark_batch", default=None)


def current_batch() -> dict[str, int]:
    """What a log line says of it: nothing outside of a micro-batch."""
    number = batch_id.get()
    return {} if number is None else {"batch": number}
