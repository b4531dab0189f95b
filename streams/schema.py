"""The messages on the wire: what producers send and what Tidemark makes of them.

All values are MessagePack maps (JSON where a topic says so); the Kafka key is the id in UTF-8.
Unknown fields are ignored, so producers may be newer than the worker. ``v`` is the schema version;
a message without it is of version 1, now and later, so the first version need not write it.
"""

from __future__ import annotations

import msgspec

__all__ = ["SCHEMA_VERSION", "Action", "Item", "ItemVector", "Scalar"]

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
    """One entry of the catalogue. Topic ``items`` (compacted), key ``item_id``; null deletes."""

    item_id: str
    title: str
    description: str | None = None
    categories: tuple[str, ...] = ()
    attributes: dict[str, Scalar] | None = None
    v: int = 1


class ItemVector(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An encoded item. Topic ``item-vectors`` (compacted), key ``item_id``; null deletes.

    Attributes:
        encoder: the ``encoder_id`` that made the vector.
        dim: length of the vector.
        vector: ``dim`` little-endian float32, unit norm.
    """

    encoder: str
    dim: int
    vector: bytes
    title: str
    categories: tuple[str, ...] = ()
    v: int = 1
