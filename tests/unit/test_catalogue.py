"""The catalogue: texts that follow their items, and the follower of the topic."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from streams_fakes import (
    FakeSource,
    KafkaRecord,
    asynchronous,
    bad_record,
    item_delete,
    item_record,
    let_run,
    until,
)

from encoders import Templates
from store.interner import Interner
from streams.catalogue import Catalogue, CatalogueFollower
from streams.decode import ItemDecoder, Limits
from streams.schema import Action, Item

if TYPE_CHECKING:
    from collections.abc import Mapping

ALIEN = Item(item_id="1", title="Alien", description="In space", categories=("horror", "sci-fi"))


class CountingTemplates(Templates):
    """Counts how often it renders."""

    def __init__(self, texts: Mapping[str, str] | None = None) -> None:
        super().__init__(texts)
        self.rendered = 0

    def render(self, name: str, fields: Mapping[str, str | None]) -> str:
        self.rendered += 1
        return super().render(name, fields)


def action(name: str = "view", item_id: str | None = "1", **fields: Any) -> Action:
    return Action(user_id="ann", action=name, ts=1, item_id=item_id, **fields)


def catalogue_of(*items: Item, texts: Mapping[str, str] | None = None) -> Catalogue:
    catalogue = Catalogue(Templates(texts), Interner())
    for item in items:
        catalogue.put(item)
    return catalogue


def test_items_are_there_until_they_are_deleted() -> None:
    catalogue = catalogue_of(ALIEN)
    assert "1" in catalogue
    assert len(catalogue) == 1
    catalogue.delete("1")
    catalogue.delete("2")
    assert "1" not in catalogue
    assert len(catalogue) == 0


def test_an_action_on_an_item_shares_the_item_s_text() -> None:
    catalogue = catalogue_of(ALIEN)
    assert catalogue.item_text(ALIEN) == "Alien. horror, sci-fi. In space"
    assert catalogue.action_text(action()) == catalogue.item_text(ALIEN)
    assert catalogue.action_text(action("purchase")) == catalogue.item_text(ALIEN)


def test_a_search_is_the_user_s_words() -> None:
    assert catalogue_of().action_text(action("search", None, text="old  ships")) == "old ships"


def test_a_review_has_both() -> None:
    assert catalogue_of(ALIEN).action_text(action("review", text="Loud.")) == "Loud. (Alien)"


def test_an_action_without_words_or_item_has_no_text() -> None:
    assert catalogue_of().action_text(action("view", None)) == ""


def test_a_template_may_use_all_there_is() -> None:
    texts = {"rate": "{title}, {rating}, {action}, {context.device}, {context.new}, {text}"}
    catalogue = catalogue_of(ALIEN, texts=texts)
    full = action("rate", rating=4.0, context={"device": "tv", "new": True, "x": 1}, text="ok")
    assert catalogue.action_text(full) == "Alien, 4, rate, tv, True, ok"
    assert catalogue.action_text(action("rate", rating=4.5)) == "Alien, 4.5, rate"


def test_a_text_of_the_item_alone_is_made_once() -> None:
    templates = CountingTemplates({"cart": "{title}"})
    catalogue = Catalogue(templates, Interner())
    catalogue.put(ALIEN)
    for _ in range(3):
        assert catalogue.action_text(action()) == "Alien. horror, sci-fi. In space"
        assert catalogue.action_text(action("cart")) == "Alien"
    assert templates.rendered == 2


def test_the_texts_of_many_items_come_in_order() -> None:
    codes = Interner()
    catalogue = Catalogue(Templates({"cart": "{title}"}), codes)
    for item in (ALIEN, Item(item_id="2", title="Solaris")):
        catalogue.put(item)
    first, second = codes.find(b"1"), codes.find(b"2")
    assert catalogue.texts("cart", [second, first, second]) == ["Solaris", "Alien", "Solaris"]


def test_it_says_which_templates_need_the_item_alone() -> None:
    texts = {"cart": "{title}", "rate": "{title}, {rating}", "review": "{text}"}
    catalogue = catalogue_of(texts=texts)
    found = [catalogue.item_template(name) for name in ("view", "cart", "rate", "review")]
    assert found == ["item", "cart", None, None]


def test_known_items_are_told_by_their_codes() -> None:
    codes = Interner()
    other = codes.code(b"never an item")
    catalogue = Catalogue(Templates(), codes)
    for number in range(100):
        catalogue.put(Item(item_id=str(number), title="x"))
    catalogue.delete("5")
    later = codes.code(b"of a profile restored")
    asked = np.array([codes.find(b"99"), codes.find(b"5"), other, later, -1], np.int32)
    assert catalogue.knows(asked).tolist() == [True, False, False, False, False]


def test_a_text_with_words_is_made_each_time() -> None:
    catalogue = catalogue_of(ALIEN)
    texts = {catalogue.action_text(action("review", text=words)) for words in ("a", "b", "c")}
    assert texts == {"a (Alien)", "b (Alien)", "c (Alien)"}


def test_an_item_that_changes_takes_its_texts_along() -> None:
    catalogue = catalogue_of(ALIEN, Item(item_id="2", title="Solaris"), texts={"cart": "{title}"})
    for name in ("view", "cart"):
        catalogue.action_text(action(name))
    catalogue.action_text(action(item_id="2"))
    catalogue.put(Item(item_id="1", title="Aliens"))
    assert catalogue.action_text(action()) == "Aliens"
    assert catalogue.action_text(action("cart")) == "Aliens"
    assert catalogue.action_text(action(item_id="2")) == "Solaris"


def test_an_item_that_comes_back_has_its_new_text() -> None:
    catalogue = catalogue_of(ALIEN)
    catalogue.action_text(action())
    catalogue.delete("1")
    with pytest.raises(KeyError):
        catalogue.action_text(action())
    catalogue.put(Item(item_id="1", title="Aliens"))
    assert catalogue.action_text(action()) == "Aliens"


# The follower


def following(
    *records: KafkaRecord | BaseException,
) -> tuple[FakeSource, Catalogue, CatalogueFollower]:
    source, catalogue = FakeSource(list(records)), catalogue_of()
    return source, catalogue, CatalogueFollower(source, ItemDecoder(Limits()), catalogue)


def title(catalogue: Catalogue, item_id: str) -> str:
    return catalogue.action_text(action(item_id=item_id))


@asynchronous
async def test_start_reads_all_there_is() -> None:
    source, catalogue, follower = following(item_record("1"), item_record("2", "Solaris"))
    await follower.start()
    assert (source.started, source.reads, len(catalogue)) == (1, 1, 2)
    assert title(catalogue, "2") == "Solaris"


@asynchronous
async def test_refresh_adds_replaces_and_deletes_in_order() -> None:
    source, catalogue, follower = following(item_record("1", "Alien"), item_record("2"))
    await follower.start()
    assert title(catalogue, "1") == "Alien"
    source.push(
        item_record("1", "Aliens"), item_delete("2"), item_record("3"), item_delete("3"),
        item_delete("4"), item_delete("5"), item_record("5"),
    )  # fmt: skip
    await follower.refresh()
    assert title(catalogue, "1") == "Aliens"
    assert [item_id in catalogue for item_id in "12345"] == [True, False, False, False, True]


@asynchronous
async def test_bad_items_are_skipped_and_the_others_are_not() -> None:
    _, catalogue, follower = following(
        item_record("1"),
        bad_record(topic="items"),
        KafkaRecord("items", None, None),
        KafkaRecord("items", b"other", item_record("2").value),
        KafkaRecord("items", b"\xff\xfe", None),
        item_record("3"),
    )
    await follower.start()
    assert [item_id in catalogue for item_id in "123"] == [True, False, True]


@asynchronous
async def test_a_bad_version_of_an_item_leaves_the_good_one() -> None:
    source, catalogue, follower = following(item_record("1", "Alien"))
    await follower.start()
    source.push(KafkaRecord("items", b"1", b"\xc1"))
    await follower.refresh()
    assert title(catalogue, "1") == "Alien"


@asynchronous
async def test_run_follows_until_it_is_cancelled() -> None:
    source, catalogue, follower = following()
    await follower.start()
    task = asyncio.create_task(follower.run())
    source.push(item_record("1"))
    await until(lambda: "1" in catalogue)
    source.push(item_delete("1"))
    await until(lambda: "1" not in catalogue)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.stopped == 1


@asynchronous
async def test_a_source_that_fails_ends_the_run() -> None:
    source, _, follower = following()
    await follower.start()
    source.push(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await follower.run()
    assert source.stopped == 1


class SlowSource(FakeSource):
    """Yields between taking records and handing them over, as a network does."""

    reading = 0

    async def _slowly(self, records: list[KafkaRecord]) -> list[KafkaRecord]:
        self.reading += 1
        assert self.reading == 1, "read by two at a time"
        await let_run(5)
        self.reading -= 1
        return records

    async def poll(self) -> list[KafkaRecord]:
        return await self._slowly(self._take())

    async def read_to_end(self) -> list[KafkaRecord]:
        return await self._slowly(self._take())


@asynchronous
async def test_refresh_waits_for_the_poll_that_holds_the_records() -> None:
    source, catalogue = SlowSource(), catalogue_of()
    follower = CatalogueFollower(source, ItemDecoder(Limits()), catalogue)
    await follower.start()
    task = asyncio.create_task(follower.run())
    for n in range(20):
        source.push(item_record(str(n)))
        await let_run(n % 4)  # the poll has it, or has not
        await follower.refresh()
        assert str(n) in catalogue
    task.cancel()
    await asyncio.wait([task])
