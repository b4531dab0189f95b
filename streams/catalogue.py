"""The catalogue as a worker needs it: the text of every item, always at hand.

Every worker follows the whole topic ``items``, whichever partitions it owns: an action of any user
may be on any item.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from streams.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.decode import ItemDecoder, RawRecord
    from streams.schema import Action, Item

__all__ = ["Catalogue", "CatalogueFollower", "RecordSource", "TextTemplates"]

logger = logging.getLogger(__name__)
_ITEM_FIELDS = frozenset({"title", "categories", "description"})


class TextTemplates(Protocol):
    """How texts are made (`encoders.Templates`)."""

    def template_for(self, action: str, *, names_item: bool) -> str: ...  # noqa: D102
    def fields_of(self, name: str) -> frozenset[str]: ...  # noqa: D102
    def render(self, name: str, fields: dict[str, str | None]) -> str: ...  # noqa: D102


class RecordSource(Protocol):
    """Reads a topic (`streams.tail.TopicTail`)."""

    async def start(self) -> None: ...  # noqa: D102
    async def stop(self) -> None: ...  # noqa: D102
    async def poll(self) -> Sequence[RawRecord]: ...  # noqa: D102
    async def read_to_end(self) -> Sequence[RawRecord]: ...  # noqa: D102


class Catalogue:
    """Items by id, and the texts of actions on them."""

    def __init__(self, templates: TextTemplates) -> None:
        self._templates = templates
        self._items: dict[str, Item] = {}
        self._texts: dict[str, dict[str, str]] = {}  # by item, then template

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def put(self, item: Item) -> None:
        """Add or replace an item."""
        self._texts.pop(item.item_id, None)
        self._items[item.item_id] = item

    def delete(self, item_id: str) -> None:
        """Remove an item; one that is not there is ignored."""
        self._texts.pop(item_id, None)
        self._items.pop(item_id, None)

    def item_text(self, item: Item) -> str:
        """The text that an item's vector is made of."""
        return self._templates.render("item", _item_fields(item))

    def action_text(self, action: Action) -> str:
        """The text that an action's vector is made of; empty where there is nothing to encode.

        The action's item must be known. A text made of the item alone is made once.
        """
        item_id = action.item_id
        name = self._templates.template_for(action.action, names_item=item_id is not None)
        if item_id is not None:
            known = self._texts.get(item_id, {}).get(name)
            if known is not None:
                return known
        fields = _item_fields(self._items[item_id]) if item_id is not None else {}
        uses = self._templates.fields_of(name)
        if item_id is not None and uses <= _ITEM_FIELDS:
            text = self._templates.render(name, fields)
            self._texts.setdefault(item_id, {})[name] = text
            return text
        fields["action"] = action.action
        fields["text"] = action.text
        fields["rating"] = None if action.rating is None else f"{action.rating:g}"
        for key, value in (action.context or {}).items():
            fields[f"context.{key}"] = str(value)
        return self._templates.render(name, fields)


def _item_fields(item: Item) -> dict[str, str | None]:
    return {
        "title": item.title,
        "categories": ", ".join(item.categories),
        "description": item.description,
    }


class CatalogueFollower:
    """Keeps a `Catalogue` at the end of its topic."""

    def __init__(self, source: RecordSource, decoder: ItemDecoder, catalogue: Catalogue) -> None:
        self._source = source
        self._decoder = decoder
        self._catalogue = catalogue
        self._reading = asyncio.Lock()

    async def start(self) -> None:
        """Connect and read all that is there."""
        await self._source.start()
        await self.refresh()
        logger.info("catalogue read: items=%d", len(self._catalogue))

    async def refresh(self) -> None:
        """Return when every item published before the call is in the catalogue."""
        async with self._reading:
            self._apply(await self._source.read_to_end())

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        try:
            while True:
                async with self._reading:
                    self._apply(await self._source.poll())
        finally:
            await self._source.stop()

    def _apply(self, records: Sequence[RawRecord]) -> None:
        for record in records:
            try:
                item = self._decoder.decode(record)
            except RejectedError:
                continue  # the owner of its partition puts it in the dead letters
            if item is not None:
                self._catalogue.put(item)
            elif record.key is not None:
                self._catalogue.delete(record.key.decode(errors="replace"))
