"""What a caller who asked to forget a user is given."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ForgetReceipt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetReceipt:
    """Where the ``forget`` was published, acknowledged by the broker.

    Attributes:
        requested_at: ms since the epoch.
    """

    user_id: str
    topic: str
    partition: int
    offset: int
    requested_at: int
