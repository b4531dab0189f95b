"""The messages that producers send.

All values are MessagePack maps (JSON where a topic says so); the Kafka key is the id in UTF-8.
Unknown fields are ignored, so producers may be newer than the worker. ``v`` is the schema version;
a message without it is of version 1, now and later, so the first version need not write it.
"""

from __future__ import annotations

import msgspec

__all__ = ["SCHEMA_VERSION", "Action", "Item", "Scalar"]

#: The newest version that is read.
SCHEMA_VERSION = 1

Scalar = str | int | float | bool


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing a user did. Topic ``actions``, key ``user_id``.

    Attributes:
        user_id: who; equals the record's key.
        action: view, click, search, … or any name the settings give a weight to.
        ts: event time, milliseconds since the epoch.
        item_id: on which item of the catalogue, where there is one.
        text: the user's own words (query, review), where there are any.
        rating: on the scale the settings name.
        context: a small map of scalars (device, place, hour…).
        event_id: names the event; one seen in the user's recent window is skipped.
        v: schema version.
    """

    user_id: str
    action: str
    ts: int
    item_id: str | None = None
    text: str | None = None
    rating: float | None = None
    context: dict[str, Scalar] | None = None
    event_id: str | None = None
    v: int = 1


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of the catalogue. Topic ``items`` (compacted), key ``item_id``; null deletes.

    Attributes:
        item_id: equals the record's key.
        title: not blank.
        description: in words, where there is one.
        categories: names; candidates are filtered by them.
        attributes: scalars that candidates are filtered by; not encoded.
        v: schema version.
    """

    item_id: str
    title: str
    description: str | None = None
    categories: tuple[str, ...] = ()
    attributes: dict[str, Scalar] | None = None
    v: int = 1
