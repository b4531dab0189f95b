"""An eye on the profiles topic while it is written: what came late, and what stands last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from store.profile import ProfileState, version_of
from streams.restore import newest_versions
from streams.tail import TopicTail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from store.record import Record

__all__ = ["ProfileWatch", "read_profiles", "read_topic"]


class ProfileWatch:
    """Follows the topic, and knows each user's newest version and the one written last.

    Attributes:
        late: records that came behind a newer version of their user.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._tail = TopicTail(bootstrap, {topic: None})
        self._newest: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.late = 0

    async def __aenter__(self) -> Self:
        await self._tail.start()
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._tail.stop()

    def check(self) -> None:
        """Nothing while it follows; raises what ended it."""
        if self._task is not None and self._task.done():
            self._task.result()

    def overtaken(self) -> set[str]:
        """Users whose last record is an older version than one before it."""
        return {user for user, last in self._last.items() if last < self._newest[user]}

    def older_in(self, states: Mapping[str, ProfileState]) -> set[str]:
        """Users of whom these states are an older version than one that was there, or none."""
        return {
            user
            for user, newest in self._newest.items()
            if user not in states or version_of(states[user].applied) < newest
        }

    async def _follow(self) -> None:
        while True:
            for record in await self._tail.poll():
                for user, state in _states([record]).items():
                    version = version_of(state.applied)
                    if version < self._newest.get(user, 0):
                        self.late += 1
                    self._newest[user] = max(version, self._newest.get(user, 0))
                    self._last[user] = version


async def read_topic(bootstrap: str, topic: str) -> list[Record]:
    """All that lies in a topic now, in offset order by partition."""
    tail = TopicTail(bootstrap, {topic: None})
    await tail.start()
    try:
        records = await tail.read_to_end()
    finally:
        await tail.stop()
    return sorted(records, key=lambda record: (record.partition, record.offset))


async def read_profiles(bootstrap: str, topic: str) -> dict[str, ProfileState]:
    """Each user's newest version in what lies in the topic now."""
    return _states(await read_topic(bootstrap, topic))


def _states(records: Iterable[Record]) -> dict[str, ProfileState]:
    newest, _ = newest_versions(records)
    return {user: found for user, found in newest.items() if isinstance(found, ProfileState)}
