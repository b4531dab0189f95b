"""How good the profiles are, told while they serve: prequentially, on a sample of what comes.

Before an action changed a profile, was its item among what the user would have been served? Among
what is nearest to the profile, and among what is popular? All are asked of the same actions, at
their moment, so that what is served can be held against baselines (prequential evaluation: Gama et
al., "On evaluating stream learning algorithms", Machine Learning 90, 2013). How far the same
updates turn the profiles is their drift.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.errors import CorruptRecordError, StoreError
from store.record import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from store.catalogue import Catalogue
    from store.profiles import FollowedProfiles
    from store.record import Record
    from store.sensor import Sensor
    from store.user_profile import UserProfile

__all__ = ["K", "OnlineQuality"]

logger = logging.getLogger(__name__)

#: Of the ranking so many are looked at, as recall@10 says.
K = 10
#: Profiles that are watched of a batch where each is to be served something before, for a
#: millisecond or two: the batch waits.
_AT_ONCE = 4
#: Of the most popular items so many are kept, for those that a user has seen are left out.
_POPULAR = 500
#: They are ranked anew at most so often; with many items more rarely, as that costs.
_POPULAR_SECONDS, _ITEMS_A_SECOND = 5.0, 10_000


class _Before(NamedTuple):
    user_id: str
    profile: UserProfile
    unit: NDArray[np.float32]
    served: Sequence[str] | None


class OnlineQuality:
    """Looks at some profiles before and after a batch of records. For the owner thread.

    Args:
        profiles: as they are followed.
        catalogue: the items.
        search: the ids of the K items nearest to a unit vector, without those given.
        sensor: told what came of it.
        served: the ids of the K items that a request gets which does not say how they are ranked,
            for a profile, its unit vector and the wall clock; None: the nearest.
        per_second: profiles that are watched, of all that change: each costs a search of the items,
            and where not the nearest are served, another and a ranking.
        seed: of the sample.
    """

    def __init__(
        self,
        profiles: FollowedProfiles,
        catalogue: Catalogue,
        search: Callable[[NDArray[np.float32], Collection[str]], Sequence[str]],
        sensor: Sensor,
        *,
        served: Callable[[UserProfile, NDArray[np.float32], int], Sequence[str]] | None = None,
        per_second: float = 10.0,
        seed: int = 0,
    ) -> None:
        self._profiles = profiles
        self._catalogue = catalogue
        self._search = search
        self._served = served
        self._sensor = sensor
        self._random = np.random.default_rng(seed)
        self._per_second = per_second
        self._budget, self._seen_ms = per_second, 0
        self._popular: list[str] = []
        self._popular_ms: float = 0

    def before(self, records: Sequence[Record], now_ms: int) -> list[_Before]:
        """Some of the profiles that these records are about to change, as they are.

        Args:
            records: of ``profiles``.
            now_ms: wall clock; not more profiles a second than are worth their cost.
        """
        passed = max(0, now_ms - self._seen_ms) / 1000
        self._budget = min(self._per_second, self._budget + passed * self._per_second)
        self._seen_ms = now_ms
        count = min(int(self._budget), len(records))
        if self._served is not None:
            count = min(count, _AT_ONCE)
        if not count:
            return []
        self._budget -= count
        chosen = self._random.choice(len(records), count, replace=False).tolist()
        try:
            return self._before([records[place] for place in chosen], now_ms)
        except StoreError as error:
            _give_up(error)
            return []

    def after(self, watched: Sequence[_Before]) -> None:
        """Compare what is held now with what was before."""
        try:
            self._after(watched)
        except StoreError as error:
            _give_up(error)

    def _before(self, records: Sequence[Record], now_ms: int) -> list[_Before]:
        held = {}
        for record in records:
            try:
                user_id = key_of(record)
            except CorruptRecordError:
                continue  # it is told where it is read
            profile = self._profiles.user(user_id)
            if profile is not None and profile.norm:
                held[user_id] = profile
        units = self._profiles.index.get(list(held))
        self._rank_popular(now_ms)
        return [
            _Before(user_id, profile, units[user_id], self._best(profile, units[user_id], now_ms))
            for user_id, profile in held.items()
            if user_id in units
        ]

    def _best(
        self, profile: UserProfile, unit: NDArray[np.float32], now_ms: int
    ) -> Sequence[str] | None:
        """What is served, unless that is the nearest: asked now, as it learns from the records."""
        if self._served is None:
            return None
        try:
            return self._served(profile, unit, now_ms)
        except CorruptRecordError:
            return ()  # of a list that `_after` cannot read either

    def _after(self, watched: Sequence[_Before]) -> None:
        changed = []
        for one in watched:
            now = self._profiles.user(one.user_id)
            if now is not None and now.version > one.profile.version and now.norm:
                changed.append((one, now))
        if not changed:
            return
        units = self._profiles.index.get([one.user_id for one, _ in changed])
        drift = [1.0 - float(one.unit @ units[one.user_id]) for one, _ in changed]
        # rounding in the index may take it below 0
        self._sensor.on_drift(np.maximum(np.array(drift), 0.0))
        for one, now in changed:
            try:
                item_id = _taken_to(one.profile, now)
                seen = set(one.profile.seen)
            except CorruptRecordError:
                continue  # of a profile that can be served all the same
            if item_id is not None and item_id not in seen and item_id in self._catalogue:
                self._try(one, item_id, seen)

    def _try(self, one: _Before, item_id: str, seen: set[str]) -> None:
        popular = [other for other in self._popular if other not in seen][:K]
        nearest = self._search(one.unit, seen)
        self._sensor.on_trial(
            {
                "served": item_id in (nearest if one.served is None else one.served),
                "profile": item_id in nearest,
                "popularity": item_id in popular,
            }
        )

    def _rank_popular(self, now_ms: int) -> None:
        pause = max(_POPULAR_SECONDS, len(self._catalogue) / _ITEMS_A_SECOND)
        if now_ms - self._popular_ms >= pause * 1000:
            # Not those of the latest records: what comes is held against what was.
            popularity = self._profiles.count_some(0)
            self._popular = popularity.top(_POPULAR, self._catalogue.__contains__)
            self._popular_ms = now_ms


def _give_up(error: StoreError) -> None:
    """A sample that could not be taken is left out: what is followed goes on."""
    logger.warning("the quality of profiles could not be sampled: %s", error)


def _taken_to(before: UserProfile, now: UserProfile) -> str | None:
    """The item of the first new action, where the user liked it.

    Only of the first: between it and the next the profile has changed. None, too, where so many
    came at once that it is no longer told of.
    """
    new, latest = now.count - before.count, now.contributions
    if not 1 <= new <= len(latest):
        return None
    first = latest[-new]
    return first.item_id if first.strength > 0 else None
