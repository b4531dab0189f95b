"""The catalogue as a worker needs it: the text of every item, always at hand.

Every worker follows the whole topic ``items``, whichever partitions it owns: an action of any user
may be on any item.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

import numpy as np

from streams.errors import RejectedError
from streams.wording import Wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from store.interner import Interner
    from streams.decode import ItemDecoder, RawRecord
    from streams.schema import Action, Item

__all__ = ["Catalogue", "CatalogueFollower", "RecordSource", "TextTemplates"]

logger = logging.getLogger(__name__)
_PLAIN = Wording()
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
    """Items by id, and the texts of actions on them.

    Args:
        templates: how texts are made.
        codes: of item ids; the same that the profiles use.
        wording: what an action adds to its item's text.
    """

    def __init__(
        self, templates: TextTemplates, codes: Interner, wording: Wording = _PLAIN
    ) -> None:
        self._templates = templates
        self._wording = wording
        self._codes = codes
        self._items: dict[str, Item] = {}
        self._known = np.zeros(64, np.bool_)  # by code
        self._texts: dict[str, dict[int, str]] = {}  # by template, then code

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def put(self, item: Item) -> None:
        """Add or replace an item."""
        code = self._codes.code(item.item_id.encode())
        if code >= len(self._known):
            self._known = np.pad(self._known, (0, code + 1))
        self._known[code] = True
        self._items[item.item_id] = item
        self._forget_texts(code)

    def delete(self, item_id: str) -> None:
        """Remove an item; one that is not there is ignored."""
        if self._items.pop(item_id, None) is not None:
            code = self._codes.find(item_id.encode())
            self._known[code] = False
            self._forget_texts(code)

    def _forget_texts(self, code: int) -> None:
        for texts in self._texts.values():
            texts.pop(code, None)

    def knows(self, codes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of these items are in the catalogue now; -1 is none."""
        inside = (codes >= 0) & (codes < len(self._known))
        return inside & self._known[np.where(inside, codes, 0)]

    def item_template(self, action: str) -> str | None:
        """The template of an action on an item, if it uses nothing but the item."""
        name = self._templates.template_for(action, names_item=True)
        return name if self._templates.fields_of(name) <= _ITEM_FIELDS else None

    def says(self, field: str, action: Action) -> bool:
        """Whether the text of an action has room for this field."""
        names_item = action.item_id is not None
        name = self._templates.template_for(action.action, names_item=names_item)
        return field in self._templates.fields_of(name)

    def texts(self, template: str, codes: Sequence[int]) -> list[str]:
        """The texts that a template of `item_template` makes of known items; each is made once."""
        made = self._texts.setdefault(template, {})
        for code in codes:
            if code not in made:
                item = self._items[self._codes.key(code).decode()]
                made[code] = self._templates.render(template, _item_fields(item))
        return [made[code] for code in codes]

    def item_text(self, item: Item) -> str:
        """The text that an item's vector is made of."""
        return self._templates.render("item", _item_fields(item))

    def action_text(self, action: Action) -> str:
        """The text that an action's vector is made of; empty where there is nothing to encode.

        The action's item must be known.
        """
        item_id = action.item_id
        name = self._templates.template_for(action.action, names_item=item_id is not None)
        wanted = self._templates.fields_of(name)
        if item_id is not None and wanted <= _ITEM_FIELDS:
            return self.texts(name, [self._codes.find(item_id.encode())])[0]
        fields = _item_fields(self._items[item_id]) if item_id is not None else {}
        return self._templates.render(name, fields | self._wording.fields(action, wanted))


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
