"""The demo: 100,000 real ratings through Kafka, in time order, and what became of three users."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streams.publisher import ActionPublisher, ItemPublisher
from tidemark.errors import NotReadyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prometheus_client.samples import Sample

    from streams.schema import Action, Item
    from tidemark.local import LocalSystem

__all__ = ["DemoReport", "Replay", "UserView"]

#: Actions on their way at most. A replay has no pace of its own: unbounded, it would measure how
#: long a backlog waits, not how fresh a profile is.
WINDOW = 4_000
#: Of each shown user, so many last actions lie between "before" and "after".
LAST_ACTIONS = 20
_LIKED = 4.0
_STALLED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class UserView:
    """What retrieval says of a user."""

    user_id: str
    actions: int
    neighbours: list[tuple[str, float]]
    candidates: list[tuple[str, float]]  # title, score


@dataclass(frozen=True, slots=True)
class DemoReport:
    """The demo's result. Seconds, and counts."""

    actions: int
    seconds: float
    catalogue_seconds: float
    freshness_p50: float
    freshness_p99: float
    texts_encoded: int
    cache_hit_rate: float
    dead_letters: int
    profiles: int
    users: list[tuple[UserView, UserView]]  # before, after

    @property
    def rate(self) -> float:
        """Actions a second."""
        return self.actions / self.seconds


class Replay:
    """Publishes a log through a running system and watches it arrive.

    Args:
        system: fresh: its topics are empty.
        films: the catalogue.
        ratings: in time order.
        on_progress: told of the actions that are retrievable so far.
        show: how many users to show; those who rated the most films with at least 4.
    """

    def __init__(
        self,
        system: LocalSystem,
        films: Sequence[Item],
        ratings: Sequence[Action],
        *,
        on_progress: Callable[[int], None] = lambda _: None,
        show: int = 3,
    ) -> None:
        self._system = system
        self._films = films
        self._ratings = ratings
        self._on_progress = on_progress
        self._counts = Counter(action.user_id for action in ratings)
        liked = Counter(one.user_id for one in ratings if (one.rating or 0.0) >= _LIKED)
        self._shown = [user for user, _ in liked.most_common(show)]
        self._done = 0

    def load_catalogue(self) -> float:
        """Publish the films and wait until all can be retrieved; seconds."""
        started = time.perf_counter()
        with ItemPublisher(self._system.bootstrap, self._system.settings.topics.items) as items:
            for film in self._films:
                items.publish(film)
        self._wait_for(lambda status: int(status["items"]), len(self._films))
        return time.perf_counter() - started

    def run(self, catalogue_seconds: float) -> DemoReport:
        """Publish the ratings; the time for the looks at the shown users is not counted."""
        first_of_last = self._first_of_last()
        before: dict[str, UserView] = {}
        looking = 0.0
        started = time.perf_counter()
        topic = self._system.settings.topics.actions[0]
        with ActionPublisher(self._system.bootstrap, topic.name, wire=topic.format) as publisher:
            for number, action in enumerate(self._ratings):
                user = first_of_last.get(number)
                if user is not None:
                    publisher.flush()
                    self._wait_applied(number)
                    looked = time.perf_counter()
                    before[user] = self._look(user, self._counts[user] - LAST_ACTIONS)
                    looking += time.perf_counter() - looked
                publisher.publish_action(action)
                if number % 500 == 0:
                    self._wait_applied(number - WINDOW)
            publisher.flush()
            self._wait_applied(len(self._ratings))
        seconds = time.perf_counter() - started - looking
        after = [self._look(user, self._counts[user]) for user in self._shown]
        return self._report(
            seconds, catalogue_seconds, [(before[view.user_id], view) for view in after]
        )

    def _first_of_last(self) -> dict[int, str]:
        """Where in the log each shown user's last actions begin."""
        places: dict[str, list[int]] = {user: [] for user in self._shown}
        for number, action in enumerate(self._ratings):
            if action.user_id in places:
                places[action.user_id].append(number)
        return {numbers[-LAST_ACTIONS]: user for user, numbers in places.items()}

    def _wait_applied(self, count: int) -> None:
        if self._done < count:
            self._wait_for(_applied, count)

    def _wait_for(self, read: Callable[[dict[str, Any]], int], count: int) -> None:
        moved = time.monotonic()
        seen = -1
        while True:
            now = read(self._system.status())
            if read is _applied:
                self._done = now
                self._on_progress(now)
            if now >= count:
                return
            if now > seen:
                seen, moved = now, time.monotonic()
            self._system.check()
            if time.monotonic() - moved > _STALLED_SECONDS:
                raise NotReadyError(
                    f"nothing has moved for {_STALLED_SECONDS:.0f} s at {now} of {count}; "
                    f"see the logs in {self._system.folder}"
                )
            time.sleep(0.02)

    def _look(self, user_id: str, actions: int) -> UserView:
        get = self._system.http.get
        candidates = get(f"/v1/users/{user_id}/candidates", params={"k": 10}).raise_for_status()
        neighbours = get(f"/v1/users/{user_id}/neighbours", params={"k": 5}).raise_for_status()
        return UserView(
            user_id,
            actions,
            [(one["user_id"], one["score"]) for one in neighbours.json()["neighbours"]],
            [(one["title"], one["score"]) for one in candidates.json()["candidates"]],
        )

    def _report(
        self,
        seconds: float,
        catalogue_seconds: float,
        users: list[tuple[UserView, UserView]],
    ) -> DemoReport:
        status = self._system.status()
        samples = self._system.worker_metrics()
        # each action and each item is made a text of
        texts = _total(samples, "tidemark_actions_total", outcome="applied")
        texts += _total(samples, "tidemark_items_total", outcome="published")
        encoded = _total(samples, "tidemark_texts_encoded_total")
        return DemoReport(
            actions=len(self._ratings),
            seconds=seconds,
            catalogue_seconds=catalogue_seconds,
            freshness_p50=status["freshness"]["p50_seconds"],
            freshness_p99=status["freshness"]["p99_seconds"],
            texts_encoded=int(encoded),
            cache_hit_rate=1.0 - encoded / texts,
            dead_letters=int(_total(samples, "tidemark_dead_letters_total")),
            profiles=status["profiles"],
            users=users,
        )


def _total(samples: Sequence[Sample], name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels, among others."""
    found = [one for one in samples if one.name == name and labels.items() <= one.labels.items()]
    return sum(float(one.value) for one in found)


def _applied(status: dict[str, Any]) -> int:
    """Actions whose effect is retrievable: the partitions' highest applied offsets."""
    return sum(offset + 1 for offsets in status["applied"].values() for offset in offsets.values())
