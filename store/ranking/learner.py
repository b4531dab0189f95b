"""Learns from what users come to, while it serves, and ranks by what it learned."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from store.errors import CorruptRecordError, RankingError
from store.interner import Interner
from store.ranking.blend import grown_draws, new_blend, new_draws
from store.ranking.changes import asker_of, columns_of
from store.ranking.choices import close_for, new_tally, open_for, score_for, take_changes
from store.ranking.columns import HALF_LIVES_DAYS, grown_items, new_items, new_moment
from store.ranking.counting import put_lengths
from store.ranking.features import CONTEXTS, FEATURES, GROUPS
from store.ranking.packed import new_scratch
from store.ranking.sources import going_together, most_popular
from store.ranking.words import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from store.ranking.changes import Change
    from store.ranking.words import WordEncoder
    from store.user_profile import UserProfile

__all__ = ["Learner"]

logger = logging.getLogger(__name__)

_FIRST_ROOM = 1_024
#: The mean of the vectors is taken anew when the catalogue has grown by so much.
_GROWTH = 1.1
#: What is popular by a half-life is looked up anew, in turns, within so long; with more items than
#: these within longer, as that looks at all of them.
_POPULAR_SECONDS, _POPULAR_ITEMS = 1.0, 100_000
#: ``(groups, features) float64`` 1 where a feature is of a group.
_IN_GROUP = np.array([[name in names for name in FEATURES] for names in GROUPS.values()], float)


class Learner:
    """What is known of the items beside their texts, and the blend that ranks by it.

    For the owner thread. Nothing of a user is kept here: what is learned from is the difference of
    two versions of a profile, and what is ranked for is a profile.

    Attributes:
        items: columns by item code.
        blend: the weights.
        popular: codes of the most popular items, by half-life.

    Args:
        dim: of the vectors.
        partners: width of the tables of pairs, a power of two: what is kept of an item is 16 bytes
            times this, and 4 times the numbers of its vector and of its words.
        words: hashes items' words, to be held beside their vectors; None: they are not.
        seed: of the items drawn.
    """

    def __init__(
        self, dim: int, *, partners: int = 256, words: WordEncoder | None = None, seed: int = 0
    ) -> None:
        self._dim, self._words = dim, words
        self._beside = 0 if words is None else words.dim
        row = dim + self._beside
        self._codes = Interner()
        self._ids: list[str] = []
        self.items = new_items(row, _FIRST_ROOM, partners)
        self._moment = new_moment(
            row, _FIRST_ROOM, len(FEATURES), len(CONTEXTS), seed, beside=self._beside
        )
        self._draws = new_draws(_FIRST_ROOM)
        self._total = np.zeros(row)
        self._centred_for = 0
        self._scratch = new_scratch(0)
        self._tally = new_tally()
        self._asked = 0
        self.popular = [np.zeros(0, np.int64) for _ in HALF_LIVES_DAYS]
        self._popular_ms = [0 for _ in HALF_LIVES_DAYS]
        self.blend = new_blend(row)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def counted(self) -> int:
        """Choices counted."""
        return int(self._tally.counted[0])

    @property
    def learned(self) -> int:
        """Choices learned from."""
        return int(self._tally.learned[0])

    def weights(self) -> dict[str, dict[str, float]]:
        """The weights as they stand, by feature: at any moment, and more by context."""
        names = ("always", *CONTEXTS)
        return {
            feature: {name: float(self.blend.weights[at, place]) for at, name in enumerate(names)}
            for place, feature in enumerate(FEATURES)
        }

    def text_maps(self) -> dict[str, float]:
        """How much is learned of what texts follow what texts: Frobenius norms of the maps."""
        norms = np.linalg.norm(self.blend.maps, axis=(1, 2))
        return {"text_short": float(norms[0]), "text_last": float(norms[1])}

    def ids(self, begin: int, end: int) -> list[str]:
        """Of the items by their codes."""
        return self._ids[begin:end]

    def restore_ids(self, begin: int, item_ids: Sequence[str]) -> int:
        """Have these items the codes from ``begin`` on; returns the code behind the last."""
        if begin != len(self._ids):
            raise RankingError(
                f"a part of a ranking begins at {begin}; expected {len(self._ids)}: parts come in "
                "their order, to a learner that knows nothing"
            )
        self._codes_of(item_ids)
        return begin + len(item_ids)

    def put_items(
        self, item_ids: Sequence[str], vectors: NDArray[np.float32], texts: Sequence[str] = ()
    ) -> None:
        """Items came, or have another vector.

        Args:
            item_ids: their ids.
            vectors: ``(n, dim) float32`` unit rows.
            texts: the words of each, where words are held (`store.ranking.words.words_of`).

        Raises:
            RankingError: there are not as many texts as items.
        """
        if not item_ids:
            return
        if self._words is not None:
            if len(texts) != len(item_ids):
                raise RankingError(f"{len(item_ids)} items came with {len(texts)} texts")
            vectors = rows_of(vectors, self._words.encode(texts))
        last = {item_id: at for at, item_id in enumerate(item_ids)}
        if len(last) < len(item_ids):
            # of an item that comes twice the last vector is the one
            vectors = vectors[list(last.values())]
        codes = self._codes_of(list(last))
        self._total -= self.items.vectors[codes].sum(axis=0, dtype=np.float64)
        self.items.vectors[codes] = vectors
        self._total += vectors.sum(axis=0, dtype=np.float64)
        self.items.known[codes] = True
        held = int(self.items.known.sum())
        if held >= _GROWTH * self._centred_for:
            self._centred_for = held
            self.items.mean[:] = self._total / held
            put_lengths(self.items, 0, len(self._ids))
            return
        for code in codes.tolist():
            put_lengths(self.items, code, code + 1)

    def remove_items(self, item_ids: Sequence[str]) -> None:
        """Items are no more; what was counted of them stays, should they come back."""
        codes = self._codes.codes_of(item_ids, insert=False)
        codes = np.unique(codes[codes >= 0])
        self._total -= self.items.vectors[codes].sum(axis=0, dtype=np.float64)
        self.items.vectors[codes] = 0.0
        self.items.known[codes] = False

    def observe(self, changes: Sequence[Change]) -> None:
        """Count what users came to, and learn from those changes that have a direction.

        Of a user who is new here, all seen items count as if come to at the time of the latest
        action: so it is after a start without a snapshot.
        """
        if not changes:
            return
        columns = columns_of(changes, self._dim)
        longest = int(np.diff(columns.ends).max())
        if longest > len(self._scratch.items):
            self._scratch = new_scratch(longest)
        unreadable = int(self._tally.unreadable[0])
        take_changes(
            self.items, self._moment, self.blend, self._draws, self._codes.keys, columns,
            self._scratch, self._tally, len(self._ids),
        )  # fmt: skip
        if unreadable := int(self._tally.unreadable[0]) - unreadable:
            logger.warning(
                "ranking leaves a user out: reason=a list in the profile cannot be read, times=%d",
                unreadable,
            )

    def best(
        self,
        profile: UserProfile,
        direction: NDArray[np.float32],
        near: Sequence[str],
        k: int,
        now_ms: int,
        allowed: Callable[[str], bool],
    ) -> list[tuple[str, float]]:
        """The k best of some items and of those that this finds itself, with their scores.

        Args:
            profile: of the user asked for.
            direction: ``(dim,) float32`` of the profile.
            near: items to consider, such as the nearest ones.
            k: how many.
            now_ms: wall clock.
            allowed: whether an item found may be returned.
        """
        self._follow_popular(now_ms)
        with self._opened_for(profile, direction, now_ms) as ts:
            codes = self._codes.codes_of(near, insert=False)
            found = codes[codes >= 0].tolist()
            taken = set(found)
            self._asked += 1
            together = going_together(self.items, self._moment, self._asked)
            for code in np.concatenate((*self.popular, together)).tolist():
                if code not in taken and allowed(self._ids[code]):
                    taken.add(code)
                    found.append(code)
            wanted = np.array(found, np.int32)
            scores, _ = self._scored(wanted, ts)
        order = np.argsort(-scores, kind="stable")[:k]
        return [(self._ids[wanted[at]], float(scores[at])) for at in order.tolist()]

    def parts(
        self,
        profile: UserProfile,
        direction: NDArray[np.float32],
        item_ids: Sequence[str],
        now_ms: int,
    ) -> list[dict[str, float]]:
        """What the scores of items are made of: by group of features, summed up to the score.

        Each is held against items at random: above 0 it speaks for the item more than for those.

        Args:
            profile: of the user asked for.
            direction: ``(dim,) float32`` of the profile.
            item_ids: known items.
            now_ms: wall clock.
        """
        wanted = self._codes.codes_of(item_ids, insert=False)
        with self._opened_for(profile, direction, now_ms) as ts:
            scores, features = self._scored(wanted, ts)
            weighed = features * self._moment.weights
        parts = weighed @ _IN_GROUP.T
        # what the maps of the texts say is in no feature
        parts[:, 0] += scores - weighed.sum(axis=1)
        return [dict(zip(GROUPS, row, strict=True)) for row in parts.tolist()]

    @contextmanager
    def _opened_for(
        self, profile: UserProfile, direction: NDArray[np.float32], now_ms: int
    ) -> Iterator[int]:
        """Have the moment be that of the user; gives its time, ms."""
        # Of a log that is replayed, now is when its latest action was: else all in it is long ago.
        ts = min(now_ms, int(self.items.latest[0]) or now_ms)
        asker = asker_of(profile, direction, ts)
        if not open_for(
            self.items, self._moment, self.blend, self._codes.keys, asker, self._scratch, ts
        ):
            raise CorruptRecordError("a list in a profile cannot be read")
        try:
            yield ts
        finally:
            close_for(self.items, self._moment)

    def _scored(
        self, wanted: NDArray[np.int32], ts: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Scores and standardised features of items, by code, for the open moment."""
        scores = np.zeros(len(wanted), np.float32)
        features = np.zeros((len(wanted), len(FEATURES)))
        score_for(self.items, self._moment, self.blend, ts, wanted, features, scores)
        return scores, features

    def _follow_popular(self, now_ms: int) -> None:
        """Look up those of one half-life, where it is time: for all a question would wait."""
        longest = _POPULAR_SECONDS * max(1.0, len(self._ids) / _POPULAR_ITEMS)
        oldest = min(range(len(self._popular_ms)), key=self._popular_ms.__getitem__)
        due = [oldest] if self._popular_ms[oldest] else range(len(self._popular_ms))
        for horizon in due:
            if abs(now_ms - self._popular_ms[horizon]) >= longest * 1000 / len(self.popular):
                self.popular[horizon] = most_popular(self.items, len(self._ids), horizon)
                self._popular_ms[horizon] = now_ms

    def _codes_of(self, item_ids: Sequence[str]) -> NDArray[np.int32]:
        codes = self._codes.codes_of(item_ids, insert=True)
        for code, item_id in zip(codes.tolist(), item_ids, strict=True):
            if code == len(self._ids):
                self._ids.append(item_id)
        room = len(self.items.users)
        if len(self._ids) > room:
            self._grow(max(2 * room, len(self._ids)))
        return codes

    def _grow(self, room: int) -> None:
        self.items = grown_items(self.items, room)
        self._draws = grown_draws(self._draws, room)
        old = self._moment
        self._moment = new_moment(
            self.items.vectors.shape[1], room, len(FEATURES), len(CONTEXTS), beside=self._beside
        )._replace(drawn=old.drawn)
