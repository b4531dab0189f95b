"""Choices that users made, beside items that they might have chosen: what the learners see."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tidemark.training.histories import earlier_actions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog

__all__ = ["Choices", "gather"]

#: Half-life of what counts as recent: two days.
_RECENT_MS = 2 * 86_400_000.0


class Choices(NamedTuple):
    """Of m choices, each among c candidates of which the first was taken, after h actions.

    Attributes:
        places: ``(m,)`` in the log.
        before: ``(m, h)`` places of the user's last actions, −1 where there are no more.
        cosines: ``(m, h, c) float32`` of the vectors of past actions and candidates.
        ages: ``(m, h) float32`` seconds from each action to the choice.
        corrections: ``(m, c) float32`` −log of the chance to be drawn, which makes the softmax of
            the drawn that of all; −inf for what is no candidate.
        popularity: ``(m, c, 2) float32`` log(1 + actions on the candidate) before the choice: all,
            and with a half-life of two days.
    """

    places: NDArray[np.int64]
    before: NDArray[np.int64]
    cosines: NDArray[np.float32]
    ages: NDArray[np.float32]
    corrections: NDArray[np.float32]
    popularity: NDArray[np.float32]


def gather(
    log: ActionLog,
    vectors: NDArray[np.float32],
    places: NDArray[np.int64],
    *,
    history: int,
    negatives: int,
    seed: int,
) -> Choices:
    """Draw candidates for choices: half of them alike, half by how often they were acted on before.

    Args:
        log: the actions; nothing behind a choice is looked at.
        vectors: ``(items, dim) float32`` unit rows of the catalogue.
        places: of the choices, ascending.
        history: actions to look back, h.
        negatives: candidates beside the taken one, c − 1.
        seed: of the draw.
    """
    draw = np.random.default_rng(seed)
    m, size = len(places), len(log.catalogue)
    before = earlier_actions(log.users, places, history)
    past = np.where(before >= 0, log.items[before], -1)
    uniform = draw.integers(0, size, (m, negatives - negatives // 2))
    popular = log.items[(draw.random((m, negatives // 2)) * places[:, np.newaxis]).astype(int)]
    drawn = np.concatenate([log.items[places][:, np.newaxis], uniform, popular], axis=1)
    counts, recent = _counts_before(log, places, drawn)
    chance = 0.5 / size + 0.5 * counts / np.maximum(places, 1)[:, np.newaxis]
    corrections = -np.log(chance * negatives)
    corrections[:, 0] = 0.0  # certain to be there
    corrections[:, 1:][(drawn[:, 1:] == drawn[:, :1]) | (drawn[:, 1:] < 0)] = -np.inf
    corrections[:, 1:][_seen(log, places, drawn[:, 1:])] = -np.inf
    ages = (log.ts[places][:, np.newaxis] - log.ts[before]) / 1000
    cosines = np.empty((m, history, negatives + 1), np.float32)
    for at in range(m):
        np.matmul(vectors[past[at]], vectors[drawn[at]].T, out=cosines[at])
    cosines[past < 0] = 0.0
    return Choices(
        places,
        np.where(past >= 0, before, -1),
        cosines,
        np.where(before >= 0, ages, 0).astype(np.float32),
        corrections.astype(np.float32),
        np.log1p(np.stack([counts, recent], axis=2)).astype(np.float32),
    )


def _counts_before(
    log: ActionLog, places: NDArray[np.int64], items: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Actions on each item before its choice, ``(m, c)``: all, and decayed by `_RECENT_MS`."""
    size = len(log.catalogue) + 1  # the last is of actions without an item
    counts, recent = np.zeros(size, np.int64), np.zeros(size)
    found, found_recent = np.empty(items.shape, np.int64), np.empty(items.shape)
    done, now = 0, int(log.ts[0])
    for at, place in enumerate(places.tolist()):
        then = int(log.ts[place])
        np.add.at(counts, log.items[done:place], 1)
        recent *= 2.0 ** (-(then - now) / _RECENT_MS)
        np.add.at(recent, log.items[done:place], 2.0 ** (-(then - log.ts[done:place]) / _RECENT_MS))
        done, now = place, then
        found[at], found_recent[at] = counts[items[at]], recent[items[at]]
    return found, found_recent


def _seen(log: ActionLog, places: NDArray[np.int64], items: NDArray[np.int32]) -> NDArray[np.bool_]:
    """``(m, c)`` which candidates the user had acted on before."""
    size = len(log.catalogue) + 1
    pairs = log.users.astype(np.int64) * size + log.items
    kinds, first = np.unique(pairs, return_index=True)  # the first place of each pair
    asked = log.users[places].astype(np.int64)[:, np.newaxis] * size + items
    at = np.minimum(np.searchsorted(kinds, asked), len(kinds) - 1)
    seen: NDArray[np.bool_] = (kinds[at] == asked) & (first[at] < places[:, np.newaxis])
    return seen
