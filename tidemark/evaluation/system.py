"""Tidemark's own ranking, replayed on a log: the blend of `store.ranking`, learned as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from encoders.hashing import HashingEncoder
from store.compiled import compiled
from store.fold import Rule
from store.ordering import DEPTH
from store.policies import Policy
from store.ranking.blend import (
    Blend,
    learn_step,
    new_blend,
    new_draws,
    remember_choice,
    scores_of,
)
from store.ranking.columns import HALF_LIVES_DAYS, RECENT, new_items, new_moment
from store.ranking.counting import count_choice, put_lengths
from store.ranking.features import CONTEXTS, FEATURES, close_moment, open_moment
from store.ranking.sources import going_together, most_popular
from store.ranking.words import WORDS, rows_of, words_of
from store.whitening import mean_vector
from tidemark.evaluation.users import UserColumns, act, is_seen, new_users, put_user, see

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.ranking.blend import Draws
    from store.ranking.columns import ItemColumns, Moment
    from tidemark.evaluation.log import ActionLog

__all__ = ["Blended"]


class _Actions(NamedTuple):
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    ts: NDArray[np.int64]
    strengths: NDArray[np.float32]
    weights: NDArray[np.float32]


class Blended:
    """A `Recommender`: all that a running system knows of its users, from the log alone.

    Args:
        log: replayed.
        strengths: ``(n,) float32`` s of its actions.
        vectors: ``(items, dim) float32`` unit rows, by place in the catalogue.
        words: whether items' words are held beside their vectors.
        name: in reports.
        without: features to leave out, see `store.ranking.blend.new_blend`.
        contexts: whether weights depend on the moment.
        centred: whether texts are held against each other without the catalogue's mean.
        learns: whether the weights are learned; else they stay as they begin.
        served: whether only what the retrieval service's sources find is ranked, as it does.
        policy: of the long-term profile.
        mean_removal: whether what is served is searched for without the items' mean.
        whitening: the power of `store.whitening.Whitening` by which that is turned as well.
        weights: ``(n,) float32`` w of the log's actions, where the policy asks for it; else 1.
        positive: least strength of an action that is learned from.
        partners: width of the tables of pairs, a power of two.
        seed: of the items drawn.
    """

    def __init__(
        self,
        log: ActionLog,
        strengths: NDArray[np.float32],
        vectors: NDArray[np.float32],
        *,
        words: bool = True,
        name: str = "Tidemark",
        without: tuple[str, ...] = (),
        contexts: bool = True,
        centred: bool = True,
        learns: bool = True,
        served: bool = False,
        policy: Policy | None = None,
        mean_removal: bool = True,
        whitening: float = 0.0,
        weights: NDArray[np.float32] | None = None,
        positive: float = 0.5,
        partners: int = 256,
        seed: int = 0,
    ) -> None:
        self.name = name
        count, dim = vectors.shape
        rows = rows_of(vectors, _words_of(log)) if words else vectors
        row = rows.shape[1]
        if weights is None:
            weights = np.ones(len(log), np.float32)
        self._log = _Actions(log.users, log.items, log.ts, strengths, weights)
        self._items = new_items(row, count, partners)
        self._items.vectors[:] = rows
        self._items.known[:] = True
        if centred:
            # The catalogue is known before its actions.
            self._items.mean[:] = rows.mean(axis=0)
        put_lengths(self._items, 0, count)
        self._users = new_users(len(log.user_ids), dim)
        self.blend = new_blend(row, without=without, contexts=contexts)
        self._moment = new_moment(row, count, len(FEATURES), len(CONTEXTS), seed, beside=row - dim)
        self._draws = new_draws(count)
        self._mean = mean_vector(dim, whitening)
        if mean_removal:
            self._mean.add(vectors)
            self._mean.refresh()
        self._every = np.arange(count, dtype=np.int32)
        self._features = np.zeros((count, len(FEATURES)))
        policy = policy or Policy()
        self._rule = Rule(policy.code, *policy.parameters())
        self._positive, self._learns, self._served = positive, learns, served
        self._asked = 0

    def learn(self, begin: int, end: int) -> None:
        """As `Recommender.learn`."""
        _take_in(
            self._log, self._users, self._items, self._moment, self.blend, self._draws, begin, end,
            self._positive if self._learns else np.inf, self._rule,
        )  # fmt: skip

    def scores(self, place: int) -> NDArray[np.float32]:
        """As `Recommender.scores`."""
        user, ts = self._log.users[place], self._log.ts[place]
        _open(user, ts, self._users, self._items, self._moment, self.blend)
        wanted = self._found_for(user) if self._served else self._every
        found = np.zeros(len(wanted), np.float32)
        _score(ts, self._items, self._moment, self.blend, wanted, self._features, found)
        _close(self._items, self._moment)
        scores = np.full(len(self._every), -np.inf, np.float32)
        scores[wanted] = found
        return scores

    def _found_for(self, user: int) -> NDArray[np.int32]:
        """What the sources find for the user of the open moment."""
        profile = self._users.rows.vector[user]
        norm = np.linalg.norm(profile)
        query = self._mean.removed_from(profile / norm) if norm > 0 else profile
        nearness = self._items.vectors[:, : len(profile)] @ query
        nearness[self._users.seen[user, : self._users.seen_counts[user]]] = -np.inf
        near = np.argsort(-nearness)[:DEPTH]
        count = len(self._every)
        self._asked += 1
        together = going_together(self._items, self._moment, self._asked)
        popular = [
            most_popular(self._items, count, horizon) for horizon in range(len(HALF_LIVES_DAYS))
        ]
        found = np.unique(np.concatenate((near, together, *popular)))
        return found.astype(np.int32)


def _words_of(log: ActionLog) -> NDArray[np.float32]:
    texts = [words_of(item.title, item.categories) for item in log.catalogue]
    return HashingEncoder(WORDS).encode(texts)


@compiled
def _take_in(
    log: _Actions, users: UserColumns, items: ItemColumns, moment: Moment, blend: Blend,
    draws: Draws, begin: int, end: int, positive: float, rule: Rule,
) -> None:  # fmt: skip
    """Learn from and count the actions from ``begin`` to before ``end``."""
    count = items.vectors.shape[0]
    for place in range(begin, end):
        user, item, ts, strength = (
            log.users[place], log.items[place], log.ts[place], log.strengths[place],
        )  # fmt: skip
        if item < 0:
            continue
        if not is_seen(users, user, item):
            seen = users.seen_counts[user]
            if strength >= positive and seen > 0:
                put_user(users, user, moment, ts)
                stamp = place + 1  # another one for each action
                moment.mark[item] = stamp
                for at in range(seen):
                    moment.mark[users.seen[user, at]] = stamp
                open_moment(items, moment, blend.scale, ts)
                learn_step(items, moment, blend, draws, item, ts, stamp, count)
                close_moment(items, moment)
            recent = min(seen, np.int64(RECENT))
            for back in range(recent):
                moment.recent[back] = users.seen[user, seen - 1 - back]
            count_choice(items, moment.recent, recent, item, ts, strength)
            remember_choice(draws, item)
        see(users, user, item)
        act(users, user, items, item, strength, log.weights[place], ts, rule)


@compiled
def _open(
    user: int, ts: int, users: UserColumns, items: ItemColumns, moment: Moment, blend: Blend
) -> None:
    put_user(users, user, moment, ts)
    open_moment(items, moment, blend.scale, ts)


@compiled
def _score(
    ts: int, items: ItemColumns, moment: Moment, blend: Blend, wanted: NDArray[np.int32],
    features: NDArray[np.float64], out: NDArray[np.float32],
) -> None:  # fmt: skip
    scores_of(items, moment, blend, ts, wanted, features, out)


@compiled
def _close(items: ItemColumns, moment: Moment) -> None:
    close_moment(items, moment)
