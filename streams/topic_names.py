"""What the topics are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.decode import WireFormat

__all__ = ["ActionTopic", "TopicNames"]


@dataclass(frozen=True, slots=True)
class ActionTopic:
    """One source of actions.

    Attributes:
        name: of the topic.
        format: how its values are written.
        default_action: the action of a message that names none.
    """

    name: str
    format: WireFormat = "msgpack"
    default_action: str | None = None


@dataclass(frozen=True, slots=True)
class TopicNames:
    """What each topic is called."""

    actions: tuple[ActionTopic, ...] = (ActionTopic("actions"),)
    items: str = "items"
    profiles: str = "profiles"
    item_vectors: str = "item-vectors"
    dead_letters: str = "actions-dead-letter"
