"""The items: title, categories and vector, by id and by category."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from store.errors import UNREADABLE, CorruptRecordError, UnknownCategoryError, UnknownItemError
from store.item_popularity import PopularityCoordinate
from store.item_vector import ITEM_OFFSET_HEADER, ItemVector
from store.ranking.words import words_of
from store.record import key_of
from store.view_image import ItemsPart, take_vectors
from store.whitening import mean_vector

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from store.indexes.filters import Metadata
    from store.indexes.protocol import VectorIndex
    from store.popularity import Popularity
    from store.ranking.learner import Learner
    from store.record import Record, RecordTally

__all__ = ["ANY", "Catalogue", "CatalogueItem", "Wanted"]

_decoder = msgspec.msgpack.Decoder(ItemVector)
#: Items of a part: some milliseconds.
_PART = 2_048
#: In filters, before the name of an attribute: one called "category" is not the category.
_ATTRIBUTE = "attributes."
_NONE: Mapping[str, str] = {}
_NO_ROWS: Mapping[str, NDArray[np.float32]] = {}


class CatalogueItem(NamedTuple):
    """What is held of an item beside its vector."""

    title: str
    categories: tuple[str, ...]
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items may be returned, and how they are ranked.

    Attributes:
        category: only items of this one.
        where: for each attribute named, the item must have one of these values.
        popularity: added to an item's cosine for the most popular one, for the others by the
            logarithm of how many users have recently seen them (`store.item_popularity`).
    """

    category: str | None = None
    where: Mapping[str, Collection[str]] = field(default_factory=dict)
    popularity: float = 0.0


ANY = Wanted()


class Catalogue:
    """The view of ``item-vectors``; of an item the record with the highest source offset stands.

    Args:
        encoder_id: the encoder whose vectors these are.
        dim: of its vectors.
        index: empty, of ``dim + EXTRA`` (`store.item_popularity`).
        tally: counts the records.
        learner: told the items' vectors; None where nothing is learned.
        mean_removal: whether profiles are searched for without the items' mean vector.
        whitening: the power of `Whitening` by which they are turned as well; 0: not.
    """

    def __init__(
        self,
        encoder_id: str,
        dim: int,
        index: VectorIndex,
        tally: RecordTally,
        learner: Learner | None = None,
        *,
        mean_removal: bool = True,
        whitening: float = 0.0,
    ) -> None:
        self._learner = learner
        self._mean = mean_vector(dim, whitening) if mean_removal else None
        self._encoder_id = encoder_id
        self._tally = tally
        self._items: dict[str, CatalogueItem] = {}
        self._categories: dict[str, set[str]] = {}
        self._offsets: dict[str, int] = {}
        self._deleted: dict[str, int] = {}  # what is older stays so
        self._dim = dim
        self._popularity = PopularityCoordinate(dim)
        self.index = index

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def item_ids(self) -> Iterator[str]:
        """All items', those that came last first."""
        return reversed(self._items)

    def item(self, item_id: str) -> CatalogueItem | None:
        """The item, or None."""
        return self._items.get(item_id)

    def held(self, item_id: str) -> CatalogueItem:
        """An item that is known to be there."""
        return self._items[item_id]

    def vector(self, item_id: str) -> NDArray[np.float32]:
        """The item's unit vector, ``(dim,) float32``.

        Raises:
            UnknownItemError: no such item.
        """
        found = self.index.get([item_id])
        if not found:
            raise UnknownItemError(f"item {item_id!r} is not in the catalogue")
        return found[item_id][: self._dim]

    def query(self, vector: NDArray[np.float32], wanted: Wanted) -> NDArray[np.float32]:
        """What the index is searched for, to rank by nearness to the vectors, ``(…, dim)``."""
        return self._popularity.query(vector, wanted.popularity)

    @property
    def mean_removal(self) -> bool:
        """Whether profiles are searched for without the items' mean, now."""
        return self._mean is not None and self._mean.in_force

    def query_of_profile(
        self, directions: NDArray[np.float32], wanted: Wanted
    ) -> NDArray[np.float32]:
        """The same for users' profiles, ``(…, dim)`` unit vectors, see `MeanVector`."""
        if self._mean is not None:
            directions = self._mean.removed_from(directions)
        return self.query(directions, wanted)

    def fields(self, wanted: Wanted) -> dict[str, Collection[str]]:
        """The filter of the index that leaves these items.

        Raises:
            UnknownCategoryError: no item is of this category.
        """
        fields = {_ATTRIBUTE + name: values for name, values in wanted.where.items()}
        if wanted.category is None:
            return fields
        if wanted.category not in self._categories:
            raise UnknownCategoryError(f"no item is of category {wanted.category!r}")
        return {**fields, "category": (wanted.category,)}

    def qualifies(self, item_id: str, wanted: Wanted) -> bool:
        """Whether `fields` would leave this item; no, where it is not held."""
        item = self._items.get(item_id)
        return (
            item is not None
            and (wanted.category is None or wanted.category in item.categories)
            and all(item.attributes.get(name) in values for name, values in wanted.where.items())
        )

    def follow(self, popularity: Popularity) -> None:
        """Have the popularity of the next few items count as it is now."""
        due = self._popularity.due(self._items, popularity)
        if due:
            held = self.index.get(due)
            rows = np.stack(list(held.values()))[:, : self._dim]
            self.index.upsert(list(held), self._popularity.rows(list(held), rows))

    def refresh(self) -> None:
        """Have profiles be searched for by what the items are like now; see `Whitening`."""
        if self._mean is not None:
            self._mean.refresh()

    def apply(self, records: Iterable[Record]) -> None:
        """Write the records' items, in one upsert."""
        vectors: dict[str, NDArray[np.float32] | None] = {}
        applied: dict[str, int] = {}  # records by topic
        for record in records:
            try:
                item_id = key_of(record)
                found = None if record.value is None else self._read(record.value)
                if found is not None and found.encoder != self._encoder_id:
                    self._tally.on_foreign(record, found.encoder)
                    continue
                offset = _deleted_at(record) if found is None else found.source_offset
                if 0 <= offset < self._offset(item_id):
                    self._tally.on_stale(record)
                    continue
                vectors[item_id] = None if found is None else self._vector(found)
            except CorruptRecordError as error:
                self._tally.on_corrupt(record, error)
                continue
            item = None
            if found is not None:
                item = CatalogueItem(found.title, found.categories, found.attributes or _NONE)
            self._put(item_id, item, offset)
            applied[record.topic] = applied.get(record.topic, 0) + 1
        for topic, count in applied.items():
            self._tally.on_applied(topic, count)
        removed = [item_id for item_id, vector in vectors.items() if vector is None]
        gone = self._rows(removed)
        self.index.delete(removed)
        self._follow_mean(gone, _NO_ROWS)
        if self._learner is not None and removed:
            self._learner.remove_items(removed)
        written = {item_id: vector for item_id, vector in vectors.items() if vector is not None}
        self._popularity.arrived(item_id for item_id in written if item_id not in self.index)
        if written:
            rows = np.stack(list(written.values()))
            if self._learner is not None:
                self._learner.put_items(list(written), rows, self._words(written))
            gone = self._rows(written)
            self.index.upsert(
                list(written),
                self._popularity.rows(list(written), rows),
                [_labels(self._items[item_id]) for item_id in written],
            )
            # as they are held, so that they can be taken off again to the bit
            self._follow_mean(gone, self._rows(written))

    def parts(self) -> Iterator[ItemsPart]:
        """All that is held; see `store.view_image`."""
        ids = list(self._items)
        for start in range(0, len(ids), _PART):
            some = [item_id for item_id in ids[start : start + _PART] if item_id in self._items]
            held = [self._items[item_id] for item_id in some]
            yield ItemsPart(
                some,
                [item.title for item in held],
                [item.categories for item in held],
                [dict(item.attributes) for item in held],
                [self._offset(item_id) for item_id in some],
                take_vectors(self.index, some),
                {},
            )
        ids = list(self._deleted)
        for start in range(0, len(ids), _PART):
            deleted = {
                item_id: self._deleted[item_id]
                for item_id in ids[start : start + _PART]
                if item_id in self._deleted
            }
            yield ItemsPart([], [], [], [], [], take_vectors(self.index, []), deleted)

    def put(self, part: ItemsPart) -> None:
        """Hold what a part says. Raises `VectorIndexError` where its vectors do not fit."""
        self.index.restore([part.vectors.part()])
        held = self.index.get(part.ids)
        self._popularity.learn(held)
        for item_id, offset in part.deleted.items():
            if item_id not in self._items:
                self._deleted[item_id] = offset
        rows = zip(
            part.ids, part.titles, part.categories, part.attributes, part.offsets, strict=True
        )
        for item_id, title, categories, attributes, offset in rows:
            self._put(item_id, CatalogueItem(title, categories, attributes or _NONE), offset)
        self._follow_mean(_NO_ROWS, held)
        if self._learner is not None and held:
            vectors = np.stack(list(held.values()))[:, : self._dim]
            self._learner.put_items(list(held), vectors, self._words(held))

    def _rows(self, item_ids: Collection[str]) -> Mapping[str, NDArray[np.float32]]:
        """Of those of the items that are indexed, where somebody wants to know."""
        return _NO_ROWS if self._mean is None else self.index.get(list(item_ids))

    def _follow_mean(
        self,
        gone: Mapping[str, NDArray[np.float32]],
        come: Mapping[str, NDArray[np.float32]],
    ) -> None:
        if self._mean is None:
            return
        if gone:
            self._mean.remove(np.stack(list(gone.values()))[:, : self._dim])
        if come:
            self._mean.add(np.stack(list(come.values()))[:, : self._dim])

    def _words(self, item_ids: Iterable[str]) -> list[str]:
        held = (self._items[item_id] for item_id in item_ids)
        return [words_of(item.title, item.categories) for item in held]

    def _put(self, item_id: str, item: CatalogueItem | None, offset: int) -> None:
        if offset < 0:
            offset = self._offset(item_id)  # written by hand: what was known stays known
        self._forget(item_id)
        for offsets in (self._offsets, self._deleted):
            offsets.pop(item_id, None)
        if offset >= 0:
            (self._deleted if item is None else self._offsets)[item_id] = offset
        if item is None:
            self._popularity.forget(item_id)
        else:
            self._items[item_id] = item
            for category in item.categories:
                self._categories.setdefault(category, set()).add(item_id)

    def _offset(self, item_id: str) -> int:
        """Of the record that stands; -1 where none said it."""
        return self._offsets.get(item_id, self._deleted.get(item_id, -1))

    def _read(self, value: bytes) -> ItemVector:
        try:
            return _decoder.decode(value)
        except UNREADABLE as error:
            raise CorruptRecordError(f"an item vector cannot be read: {error}") from error

    def _vector(self, item: ItemVector) -> NDArray[np.float32]:
        if len(item.vector) != 4 * self._dim:
            raise CorruptRecordError(
                f"an item's vector is {len(item.vector)} bytes; expected {4 * self._dim}"
            )
        vector = np.frombuffer(item.vector, dtype="<f4")
        with np.errstate(over="ignore", invalid="ignore"):
            square = vector @ vector
        if not np.isfinite(square):
            raise CorruptRecordError("an item's vector holds NaN, infinity or what is near it")
        return vector

    def _forget(self, item_id: str) -> None:
        old = self._items.pop(item_id, None)
        if old is None:
            return
        for category in set(old.categories):
            members = self._categories[category]
            members.discard(item_id)
            if not members:
                del self._categories[category]


def _labels(item: CatalogueItem) -> Metadata:
    return {
        "category": item.categories,
        **{_ATTRIBUTE + name: (value,) for name, value in item.attributes.items()},
    }


def _deleted_at(record: Record) -> int:
    """The source offset of a tombstone; -1 of one written by hand, which means what it says."""
    digits = dict(record.headers).get(ITEM_OFFSET_HEADER, b"-1")
    try:
        return int(digits or b"")  # Kafka lets a header's value be null
    except ValueError as error:
        raise CorruptRecordError(
            f"the header {ITEM_OFFSET_HEADER!r} is {digits!r}; expected a number"
        ) from error
