"""Refuses to go on from profiles that know more of a topic than the topic has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.errors import TopicMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from store.table import ProfileTable
    from streams.partitions import ProfileSource

__all__ = ["require_sources"]


async def require_sources(
    table: ProfileTable, topics: Collection[str], read: Callable[[str], ProfileSource]
) -> None:
    """Every offset that a profile has applied must be one that its source topic has had.

    A topic that was deleted and made anew begins at offset 0 again: the fences would skip what
    comes, without a word, up to where the old one ended. (One that has grown past that end since is
    not told apart: the fences hold offsets and no more.)

    Args:
        table: a partition's restored profiles.
        topics: the source topics that are read.
        read: a source of the table's partition of a topic; started and stopped here.

    Raises:
        TopicMismatchError: a topic ends before what was applied.
        StreamsError: a topic cannot be read.
    """
    for topic, applied in table.source_ends().items():
        if topic not in topics:
            continue
        source = read(topic)
        await source.start()
        try:
            _, end = await source.bounds()
        finally:
            await source.stop()
        if applied > end:
            raise TopicMismatchError(
                f"partition {table.partition} of topic {topic} ends at offset {end}, but the "
                f"profiles hold actions up to offset {applied - 1}: it was made anew or has lost "
                "records, and new actions would be taken for old ones. To begin anew, name a new "
                "topic for the profiles by topics.profiles and a new kafka.group, so that all "
                "actions are read; create the topic with: tidemark topics create"
            )
