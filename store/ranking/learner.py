"""Learns from what users come to, while it serves, and ranks by what it learned."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.errors import CorruptRecordError, RankingError
from store.ranking.blend import grown_draws, new_blend, new_draws
from store.ranking.choices import (
    Askers,
    Choices,
    close_for,
    empty_askers,
    open_for,
    score_for,
    take_choices,
)
from store.ranking.columns import ACTS, RECENT, grown_items, new_items, new_moment
from store.ranking.counting import put_lengths
from store.ranking.features import CONTEXTS, FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from store.user_profile import UserProfile

__all__ = ["Change", "Learner"]

logger = logging.getLogger(__name__)

#: An action that is liked so much is one to learn from: a click, a rating of 3.5 of 5.
POSITIVE = 0.5
_FIRST_ROOM = 1_024
#: The mean of the vectors is taken anew when the catalogue has grown by so much.
_GROWTH = 1.1
#: Candidates that each source adds to the nearest ones.
_TOGETHER, _POPULAR = 300, 50
_POPULAR_SECONDS = 1.0


class Change(NamedTuple):
    """A user's profile before and after some actions.

    Attributes:
        before: None of a user who is new, or of whom nothing was known.
        now: the newer version.
        direction: ``(dim,) float32`` of the profile before; None: not to be learned from.
    """

    before: UserProfile | None
    now: UserProfile
    direction: NDArray[np.float32] | None


class Learner:
    """What is known of the items beside their texts, and the blend that ranks by it.

    For the owner thread. Nothing of a user is kept here: what is learned from is the difference of
    two versions of a profile, and what is ranked for is a profile.

    Attributes:
        items: columns by item code.
        blend: the weights.

    Args:
        dim: of the vectors.
        partners: width of the tables of pairs, a power of two: what is kept of an item is 16 bytes
            times this, and 4·dim.
        seed: of the items drawn.
    """

    def __init__(self, dim: int, *, partners: int = 256, seed: int = 0) -> None:
        self._dim, self._partners = dim, partners
        self._codes: dict[str, int] = {}
        self._ids: list[str] = []
        self.items = new_items(dim, _FIRST_ROOM, partners)
        self._moment = new_moment(dim, _FIRST_ROOM, len(CONTEXTS), seed)
        self._draws = new_draws(_FIRST_ROOM)
        self._total = np.zeros(dim)
        self._known = np.zeros(_FIRST_ROOM, np.bool_)
        self._centred_for = 0
        self._stamp = 1
        self._popular: NDArray[np.int32] = np.zeros(0, np.int32)
        self._popular_ms = 0
        self.blend = new_blend()
        #: Choices counted, and learned from.
        self.counted = self.learned = 0

    def __len__(self) -> int:
        return len(self._ids)

    def weights(self) -> dict[str, dict[str, float]]:
        """The weights as they stand, by feature: at any moment, and more by context."""
        names = ("always", *CONTEXTS)
        return {
            feature: {name: float(self.blend.weights[at, place]) for at, name in enumerate(names)}
            for place, feature in enumerate(FEATURES)
        }

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

    def put_items(self, item_ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Items came, or have another vector.

        Args:
            item_ids: their ids.
            vectors: ``(n, dim) float32`` unit rows.
        """
        codes = self._codes_of(item_ids)
        self._total -= self.items.vectors[codes].sum(axis=0, dtype=np.float64)
        self.items.vectors[codes] = vectors
        self._total += vectors.sum(axis=0, dtype=np.float64)
        self._known[codes] = True
        held = int(self._known.sum())
        if held >= _GROWTH * self._centred_for:
            self._centred_for = held
            self.items.mean[:] = self._total / held
            put_lengths(self.items, 0, len(self._ids))
            return
        for code in codes:
            put_lengths(self.items, code, code + 1)

    def remove_items(self, item_ids: Sequence[str]) -> None:
        """Items are no more; what was counted of them stays, should they come back."""
        codes = [self._codes[item_id] for item_id in item_ids if item_id in self._codes]
        self._total -= self.items.vectors[codes].sum(axis=0, dtype=np.float64)
        self.items.vectors[codes] = 0.0
        self._known[codes] = False

    def observe(self, changes: Sequence[Change]) -> None:
        """Count what users came to, and learn from those changes that have a direction.

        Of a user who is new here, all seen items count as if come to at the time of the latest
        action: so it is after a start without a snapshot.
        """
        rows: list[tuple[int, int, float, list[int], int]] = []
        asked: list[Change] = []
        for change in changes:
            try:
                self._take(change, rows, asked)
            except CorruptRecordError as error:
                logger.warning("ranking leaves a user out: reason=%s", error)
        if not rows:
            return
        choices = Choices(
            items=np.array([row[0] for row in rows], np.int32),
            ts=np.array([row[1] for row in rows], np.int64),
            strengths=np.array([row[2] for row in rows], np.float32),
            recent=np.zeros((len(rows), RECENT), np.int32),
            recent_counts=np.array([len(row[3]) for row in rows], np.int64),
            asker=np.array([row[4] for row in rows], np.int64),
        )
        for at, row in enumerate(rows):
            choices.recent[at, : len(row[3])] = row[3]
        askers = empty_askers(max(1, len(asked)), self._dim)
        for at, change in enumerate(asked):
            assert change.before is not None  # noqa: S101 # for the type checker
            self._put_asker(askers, at, change.before, change.direction, change.now.last_ts)
        self._stamp = take_choices(
            self.items, self._moment, self.blend, self._draws, choices, askers, self._stamp,
            len(self._ids),
        )  # fmt: skip
        self.counted += len(rows)
        self.learned += len(asked)

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
        asker = empty_askers(1, self._dim)
        self._follow_popular(now_ms)
        # Of a log that is replayed, now is when its latest action was: else all in it is long ago.
        ts = min(now_ms, int(self.items.latest[0]) or now_ms)
        self._put_asker(asker, 0, profile, direction, ts)
        open_for(self.items, self._moment, self.blend, asker, 0, ts)
        try:
            found = [self._codes[one] for one in near if one in self._codes]
            taken = set(found)
            for code in self._suggested():
                if code not in taken and allowed(self._ids[code]):
                    taken.add(code)
                    found.append(code)
            wanted = np.array(found, np.int32)
            scores = np.zeros(len(wanted), np.float32)
            features = np.zeros((len(wanted), len(FEATURES)))
            score_for(self.items, self._moment, self.blend, ts, wanted, features, scores)
        finally:
            close_for(self.items, self._moment)
        order = np.argsort(-scores, kind="stable")[:k]
        return [(self._ids[wanted[at]], float(scores[at])) for at in order.tolist()]

    def _suggested(self) -> list[int]:
        """What goes with the open moment's items, and what is popular."""
        count = len(self._ids)
        share = 1.0 / np.sqrt(self.items.users[:count] + 5.0)
        found = [self._popular]
        for sums in self._moment.sums[:2, :count]:
            places = np.flatnonzero(sums)
            if len(places) > _TOGETHER:
                kept = np.argpartition(-(sums[places] * share[places]), _TOGETHER)[:_TOGETHER]
                places = places[kept]
            found.append(places)
        codes: list[int] = np.concatenate(found).tolist()
        return codes

    def _follow_popular(self, now_ms: int) -> None:
        if now_ms - self._popular_ms < _POPULAR_SECONDS * 1000:
            return
        self._popular_ms = now_ms
        counts = self.items.popularity[:, : len(self._ids)]
        most = min(_POPULAR, counts.shape[1])
        if most:
            top = np.argpartition(-counts, most - 1, axis=1)[:, :most]
            self._popular = np.unique(top[counts[np.arange(len(counts))[:, None], top] > 0])

    def _take(
        self,
        change: Change,
        rows: list[tuple[int, int, float, list[int], int]],
        asked: list[Change],
    ) -> None:
        """Add the change's choices; the first is learned from, where there is a direction."""
        before, now = change.before, change.now
        if before is None:
            liked = {one.item_id: one.strength for one in now.contributions}
            came = [(item_id, liked.get(item_id, np.nan)) for item_id in now.seen]
            seen: Sequence[str] = ()
        else:
            new = now.count - before.count
            seen = before.seen
            known = set(seen)
            came = [
                (one.item_id, one.strength)
                for one in now.contributions[-new:] if one.item_id and one.item_id not in known
            ] if new > 0 else []  # fmt: skip
        recent = [self._codes[one] for one in reversed(seen[-RECENT:]) if one in self._codes]
        if change.direction is not None and before is not None:
            before.contributions  # noqa: B018 # read before anything is taken, as it may be corrupt
        first = True
        for item_id, strength in came:
            code = self._codes.get(item_id)
            if code is None or code in recent:
                continue
            learns = first and change.direction is not None and bool(recent) and (
                strength >= POSITIVE
            )  # fmt: skip
            rows.append((code, now.last_ts, strength, recent, len(asked) if learns else -1))
            if learns:
                asked.append(change)
            recent = [code, *recent[: RECENT - 1]]
            first = False

    def _put_asker(
        self, askers: Askers, row: int, profile: UserProfile,
        direction: NDArray[np.float32] | None, now_ms: int,
    ) -> None:  # fmt: skip
        recent = [self._codes[one] for one in profile.seen[::-1][:RECENT] if one in self._codes]
        acts = [
            (self._codes[one.item_id], one.strength)
            for one in profile.contributions[::-1]
            if one.item_id in self._codes
        ][:ACTS]
        askers.recent[row, : len(recent)] = recent
        askers.recent_counts[row] = len(recent)
        askers.acts[row, : len(acts)] = [code for code, _ in acts]
        askers.liked[row, : len(acts)] = [strength for _, strength in acts]
        askers.act_counts[row] = len(acts)
        if direction is not None:
            askers.profiles[row] = direction
        askers.actions[row] = profile.count
        askers.pauses[row] = now_ms - profile.last_ts

    def _codes_of(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        for item_id in item_ids:
            if item_id not in self._codes:
                self._codes[item_id] = len(self._ids)
                self._ids.append(item_id)
        room = len(self.items.users)
        if len(self._ids) > room:
            self._grow(max(2 * room, len(self._ids)))
        return np.array([self._codes[item_id] for item_id in item_ids], np.int64)

    def _grow(self, room: int) -> None:
        self.items = grown_items(self.items, room)
        self._draws = grown_draws(self._draws, room)
        old = self._moment
        self._moment = new_moment(self._dim, room, len(CONTEXTS))._replace(drawn=old.drawn)
        known = np.zeros(room, np.bool_)
        known[: len(self._known)] = self._known
        self._known = known
