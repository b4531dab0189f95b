"""Records to texts: what is decoded, weighed and rendered, what is rejected, and why."""

from __future__ import annotations

import pytest
from streams_fakes import NOW, KafkaRecord, action_record, bad_record

from encoders import Templates
from streams.catalogue import Catalogue
from streams.decode import ActionDecoder, Limits
from streams.errors import RejectedError, RejectReason
from streams.reading import ActionReader, Reading
from streams.rules import ActionRule, ActionRules, RatingScale
from streams.schema import Action, Item

RULES = ActionRules(
    {
        "view": ActionRule(1.0, 0.3),
        "search": ActionRule(1.5, 0.5),
        "rate": ActionRule(2.0, 1.0, rated=True),
        "purchase": ActionRule(3.0, 1.0),
    },
    RatingScale(),
)


class Clock:
    """Stands still, and counts how often it was read."""

    def __init__(self, now: int = NOW) -> None:
        self.now, self.reads = now, 0

    def __call__(self) -> int:
        self.reads += 1
        return self.now


def reader_of(*titles: str, clock: Clock | None = None) -> tuple[ActionReader, Catalogue]:
    """A reader whose catalogue has an item of each title, with the title as its id."""
    catalogue = Catalogue(Templates())
    for title in titles:
        catalogue.put(Item(item_id=title, title=title))
    decoders = {
        "actions": ActionDecoder("msgpack", Limits()),
        "orders": ActionDecoder("json", Limits(), default_action="purchase"),
    }
    return ActionReader(decoders, RULES, catalogue, clock or Clock()), catalogue


def read(reader: ActionReader, *records: KafkaRecord) -> Reading:
    return reader.read(records, reader.decode(records))


def reasons(reading: Reading) -> list[tuple[int, RejectReason]]:
    return [(record.offset, error.reason) for record, error in reading.rejected]


def test_an_action_is_weighed_and_rendered() -> None:
    reader, _ = reader_of("Alien")
    record = action_record("ann", "rate", offset=4, item_id="Alien", rating=5.0)
    (one,) = read(reader, record).actions
    assert one.record is record
    assert (one.action.user_id, one.weight, one.strength, one.text) == ("ann", 2.0, 1.0, "Alien")


def test_good_and_bad_are_told_apart_in_offset_order() -> None:
    reader, _ = reader_of("Alien")
    reading = read(
        reader,
        action_record(offset=0, item_id="Alien"),
        bad_record(offset=1),
        action_record(offset=2, action="stare", item_id="Alien"),
        action_record(offset=3, item_id="Solaris"),
        action_record(offset=4),
        action_record(offset=5, action="rate", item_id="Alien"),
        action_record(offset=6, action="search", text="ships"),
        action_record(offset=7, ts=NOW + 10**9),
        action_record(offset=8, action="search", text=" \n"),
    )
    assert [one.record.offset for one in reading.actions] == [0, 6]
    assert reasons(reading) == [
        (1, RejectReason.MALFORMED),
        (2, RejectReason.UNKNOWN_ACTION),
        (3, RejectReason.UNKNOWN_ITEM),
        (4, RejectReason.NO_TEXT),
        (5, RejectReason.BAD_VALUE),
        (7, RejectReason.BAD_TIME),
        (8, RejectReason.NO_TEXT),
    ]


def test_the_reasons_say_what_to_do() -> None:
    reader, _ = reader_of()
    reading = read(reader, action_record(item_id="Solaris"), action_record(offset=1))
    assert [error.detail for _, error in reading.rejected] == [
        "item 'Solaris' is not in the catalogue; publish items before actions",
        "a 'view' without item_id and text has nothing to encode",
    ]


def test_forget_needs_no_rule_no_item_and_no_text() -> None:
    reader, _ = reader_of()
    (one,) = read(reader, action_record(action="forget", item_id="gone")).actions
    assert (one.text, one.weight, one.strength) == (None, 0.0, 0.0)


def test_each_topic_is_read_in_its_format() -> None:
    reader, _ = reader_of("Alien")
    orders = KafkaRecord(
        "orders", b"ann", b'{"user_id":"ann","ts":1750000000000,"item_id":"Alien"}'
    )
    (one,) = read(reader, orders).actions
    assert (one.action.action, one.weight) == ("purchase", 3.0)
    other = KafkaRecord("actions", b"ann", orders.value)
    assert reasons(read(reader, other)) == [(0, RejectReason.MALFORMED)]


def test_the_clock_is_read_once_a_batch() -> None:
    clock = Clock(NOW - 10**9)
    reader, _ = reader_of("Alien", clock=clock)
    reading = read(reader, *(action_record(offset=n, item_id="Alien") for n in range(3)))
    assert clock.reads == 1
    assert [reason for _, reason in reasons(reading)] == [RejectReason.BAD_TIME] * 3


@pytest.mark.parametrize(
    ("records", "unknown"),
    [
        ([action_record(item_id="Alien")], False),
        ([action_record(item_id="Alien"), action_record(item_id="Solaris")], True),
        ([action_record(action="search", text="x")], False),
        ([bad_record()], False),
    ],
)
def test_an_unknown_item_is_noticed_before_it_is_rejected(
    records: list[KafkaRecord], unknown: bool
) -> None:
    reader, _ = reader_of("Alien")
    assert reader.names_unknown_item(reader.decode(records)) is unknown


def test_an_item_that_came_since_decoding_is_known() -> None:
    reader, catalogue = reader_of()
    records = [action_record(item_id="Alien")]
    decoded = reader.decode(records)
    assert isinstance(decoded[0], Action)
    assert reader.names_unknown_item(decoded)
    catalogue.put(Item(item_id="Alien", title="Alien"))
    assert not reader.names_unknown_item(decoded)
    assert [one.text for one in reader.read(records, decoded).actions] == ["Alien"]


def test_decoding_raises_nothing() -> None:
    reader, _ = reader_of()
    decoded = reader.decode([bad_record(), action_record()])
    assert isinstance(decoded[0], RejectedError)
    assert isinstance(decoded[1], Action)
