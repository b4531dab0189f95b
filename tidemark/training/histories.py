"""What users had done before some moments. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog

__all__ = ["earlier_actions", "repeated"]


def earlier_actions(
    users: NDArray[np.int32], places: NDArray[np.int64], length: int
) -> NDArray[np.int64]:
    """The last actions of a user before each place, latest last.

    Args:
        users: ``(n,)`` of all actions, in the log's order.
        places: ``(m,)`` of those whose past is asked for.
        length: how many to look back.

    Returns:
        ``(m, length) int64`` places, −1 where there are no more.
    """
    order = np.argsort(users, kind="stable")
    rank = np.empty(len(users), np.int64)
    rank[order] = np.arange(len(users))
    first = np.searchsorted(users[order], users[places])  # where the user's actions begin
    at = rank[places][:, np.newaxis] - np.arange(length, 0, -1)
    return np.where(at >= first[:, np.newaxis], order[at], -1)


def repeated(log: ActionLog) -> NDArray[np.bool_]:
    """``(n,)`` which actions are on an item that the user had acted on before."""
    pairs = log.users.astype(np.int64) * (len(log.catalogue) + 1) + log.items
    order = np.argsort(pairs, kind="stable")
    again = np.zeros(len(pairs), np.bool_)
    again[order[1:]] = np.diff(pairs[order]) == 0
    again[log.items < 0] = False
    return again
