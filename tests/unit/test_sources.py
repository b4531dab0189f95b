"""Profiles that know more of a topic than the topic has are refused."""

from __future__ import annotations

import pytest
from streams_fakes import IDENTITY, asynchronous, make_profile

from store.interner import Interner
from store.table import Memory, ProfileTable, Vocabulary
from streams.errors import TopicMismatchError
from streams.sources import require_sources


class Source:
    def __init__(self, end: int) -> None:
        self.end = end
        self.running = 0

    async def start(self) -> None:
        self.running += 1

    async def stop(self) -> None:
        self.running -= 1

    async def bounds(self) -> tuple[int, int]:
        return 0, self.end


def table_up_to(offset: int) -> ProfileTable:
    table = ProfileTable(0, IDENTITY, Memory(), Vocabulary(Interner(), Interner()))
    table.take_over("ann", make_profile(offset))
    table.take_over("bob", make_profile(3))
    return table


@asynchronous
async def test_what_the_topic_still_has_is_gone_on_from() -> None:
    source = Source(end=10)
    await require_sources(table_up_to(9), ["actions"], lambda _: source)  # type: ignore[arg-type,return-value]
    assert source.running == 0


@asynchronous
async def test_a_topic_that_was_made_anew_is_refused() -> None:
    source = Source(end=4)
    with pytest.raises(TopicMismatchError, match=r"ends at offset 4.*up to offset 9.*made anew"):
        await require_sources(table_up_to(9), ["actions"], lambda _: source)  # type: ignore[arg-type,return-value]
    assert source.running == 0


@asynchronous
async def test_no_profiles_and_topics_that_are_not_read_any_more_are_not_asked_for() -> None:
    def never(topic: str) -> Source:
        raise AssertionError(topic)

    empty = ProfileTable(0, IDENTITY, Memory(), Vocabulary(Interner(), Interner()))
    await require_sources(empty, ["actions"], never)  # type: ignore[arg-type]
    await require_sources(table_up_to(9), ["orders"], never)  # type: ignore[arg-type]
