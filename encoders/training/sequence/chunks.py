"""Users' items in a row, cut into chunks of a bounded length to be trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Chunk", "batches_of", "cut"]


class Chunk(NamedTuple):
    """Items of one user in time order, and what came after each.

    Attributes:
        inputs: ``(t,) int64`` items, t ≥ 1.
        targets: ``(t,) int64``: the item after each input, or −1 where it is not learned.
        newest: the highest place in the log of one of the targets; −1 where there is none.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    newest: int


def cut(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    wanted: NDArray[np.bool_],
    length: int,
    rng: np.random.Generator,
) -> list[Chunk]:
    """Every user's items in chunks of at most ``length`` inputs, cut at places drawn at random.

    So each action is a target once, and in another epoch another one begins a chunk and is
    foretold from little.

    Args:
        users: ``(n,)`` of actions in time order.
        items: ``(n,)`` that they are on.
        wanted: ``(n,)``: which of the actions are to be foretold.
        length: of the longest chunk.
        rng: draws where the cuts are.
    """
    order = np.argsort(users, kind="stable")
    of_users, in_order, are_wanted = users[order], items[order].astype(np.int64), wanted[order]
    ends = np.flatnonzero(np.diff(of_users, append=-1)) + 1
    begins = np.concatenate([[0], ends[:-1]])
    offsets = rng.integers(0, length, len(ends))
    chunks: list[Chunk] = []
    for begin, end, offset in zip(begins.tolist(), ends.tolist(), offsets.tolist(), strict=True):
        # The last item of a user has nothing after it.
        start = begin
        stop = begin + (offset or length)
        while start < end - 1:
            stop = min(stop, end - 1)
            after = slice(start + 1, stop + 1)
            known = are_wanted[after]
            if known.any():
                chunks.append(
                    Chunk(
                        in_order[start:stop],
                        np.where(known, in_order[after], -1),
                        int(order[after][known][-1]),
                    )
                )
            start, stop = stop, stop + length
    return chunks


def batches_of(
    chunks: list[Chunk], tokens: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Chunks of like length together, in random order.

    Args:
        chunks: to be trained on.
        tokens: of a batch, with what fills the shorter ones up.
        rng: draws the order.

    Yields:
        Inputs and targets, ``(b, t) int64``; filled up at the right with item 0 and target −1.
    """
    lengths = np.array([len(one.inputs) for one in chunks])
    # Those of one length in another order each time.
    order = np.lexsort((rng.random(len(chunks)), lengths))
    groups: list[NDArray[np.int64]] = []
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * lengths[order[stop]] <= tokens:
            stop += 1
        groups.append(order[start:stop])
        start = stop
    for place in rng.permutation(len(groups)).tolist():
        group = [chunks[one] for one in groups[place].tolist()]
        longest = max(len(one.inputs) for one in group)
        inputs = np.zeros((len(group), longest), np.int64)
        targets = np.full((len(group), longest), -1, np.int64)
        for row, one in enumerate(group):
            inputs[row, : len(one.inputs)] = one.inputs
            targets[row, : len(one.inputs)] = one.targets
        yield inputs, targets
