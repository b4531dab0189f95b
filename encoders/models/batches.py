"""Which texts go through a model together. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Group", "TokenBatch", "equal_lengths", "plan_batches"]

#: Neighbouring texts of one length: where their tokens begin, how many texts, how many tokens each.
Group = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Texts in tokens, one after another, the longest first.

    Attributes:
        rows: whose they are: positions in what the caller asked for, b of them.
        ids: ``(t,) int64``, of all the texts.
        lengths: ``(b,) int64``, descending, each at least 1; their sum is t.
    """

    rows: NDArray[np.int64]
    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def groups(self) -> list[Group]:
        """The texts of each length."""
        return equal_lengths(self.lengths)

    def halves(self) -> tuple[TokenBatch, TokenBatch]:
        """The first and the second half of at least two texts."""
        middle = len(self.rows) // 2
        cut = int(self.lengths[:middle].sum())
        return (
            TokenBatch(self.rows[:middle], self.ids[:cut], self.lengths[:middle]),
            TokenBatch(self.rows[middle:], self.ids[cut:], self.lengths[middle:]),
        )


def equal_lengths(lengths: NDArray[np.int64]) -> list[Group]:
    """Runs of equal lengths.

    >>> equal_lengths(np.array([5, 5, 3]))
    [(0, 2, 5), (10, 1, 3)]
    """
    groups: list[Group] = []
    if not len(lengths):
        return groups
    starts = np.flatnonzero(np.diff(lengths, prepend=lengths[0] - 1))
    counts = np.diff(starts, append=len(lengths))
    tokens = 0
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        length = int(lengths[start])
        groups.append((tokens, count, length))
        tokens += count * length
    return groups


def plan_batches(
    token_ids: Sequence[Sequence[int]], *, budget: int, lanes: int = 1
) -> list[TokenBatch]:
    """Sort texts by length and cut them into batches of about equal work.

    Args:
        token_ids: of each text, at least one each.
        budget: tokens of a batch at most; a longer text is a batch of its own.
        lanes: batches that run at the same time: there are at least as many where there are as
            many texts, so that none stands idle.

    Returns:
        Batches, the longest texts first: memory runs out early if at all.
    """
    all_lengths = np.fromiter(map(len, token_ids), np.int64, len(token_ids))
    order = np.argsort(-all_lengths, kind="stable")
    lengths = all_lengths[order]
    ends = np.cumsum(lengths)
    total = int(lengths.sum())
    # As many batches as the budget asks for, and no lane without one in the last round.
    wanted = -(-max(-(-total // budget), lanes) // lanes) * lanes
    targets = total * np.arange(1, wanted) / wanted
    # Cut at the text whose middle is beyond the target: the nearest place.
    cuts = np.searchsorted(ends - lengths / 2, targets)
    parts = np.split(np.arange(len(order)), np.unique(cuts))
    batches: list[TokenBatch] = []
    while parts:
        part = parts.pop(0)
        if not len(part):
            continue
        if len(part) > 1 and lengths[part].sum() > budget:  # it was rounded up
            parts[:0] = np.array_split(part, 2)
            continue
        rows = order[part]
        ids = np.concatenate([np.asarray(token_ids[row], np.int64) for row in rows])
        batches.append(TokenBatch(rows, ids, lengths[part]))
    return batches
