"""Records to texts: what is decoded, weighed and rendered, what is rejected, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams_fakes import NOW, KafkaRecord, action_record, bad_record

from encoders import Templates
from store.fold import FORGET as FORGET_ROW
from store.fold import SKIP as SKIPPED_ROW
from store.influence import Influence
from store.interner import Interner
from store.table import Vocabulary
from streams.catalogue import Catalogue
from streams.decode import ActionDecoder, Limits
from streams.errors import RejectedError, RejectReason
from streams.reading import ActionReader, Feeling, Reading, with_feeling
from streams.rules import ActionRule, ActionRules, RatingScale
from streams.schema import Item

RULES = ActionRules(
    {
        "view": ActionRule(1.0, 0.3),
        "search": ActionRule(1.5, 0.5),
        "rate": ActionRule(2.0, 1.0, rated=True),
        "purchase": ActionRule(3.0, 1.0),
        "comment": ActionRule(2.0, 0.8, felt=True),
        "nod": ActionRule(2.0, 0.8, felt=True),
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


@dataclass
class Rig:
    """A reader of real parts; each title is an item, with the title as its id."""

    titles: Sequence[str] = ()
    templates: dict[str, str] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.vocabulary = Vocabulary(Interner(), Interner())
        self.catalogue = Catalogue(Templates(self.templates), self.vocabulary.items)
        for title in self.titles:
            self.catalogue.put(Item(item_id=title, title=title))
        decoders = {
            "actions": ActionDecoder("msgpack", Limits()),
            "orders": ActionDecoder("json", Limits(), default_action="purchase"),
            "clicks": ActionDecoder("msgpack", Limits(), default_action="view"),
        }
        self.reader = ActionReader(decoders, RULES, self.catalogue, self.vocabulary, self.clock)

    def read(self, *records: KafkaRecord) -> Reading:
        return self.reader.read(self.reader.decode(records[0].topic, records))

    def actions(self, reading: Reading) -> list[ReadAction]:
        """What the columns say, without the places of what was rejected."""
        batch, names = reading.batch, self.vocabulary
        return [
            ReadAction(
                user_id=bytes(batch.users[batch.user_starts[i] : batch.user_ends[i]]).decode(),
                action=names.actions.key(batch.actions[i]).decode(),
                item_id=None if batch.items[i] < 0 else names.items.key(batch.items[i]).decode(),
                event=int(batch.events[i]),
                offset=int(batch.offsets[i]),
                ts=int(batch.ts[i]),
                weight=float(batch.weights[i]),
                strength=float(batch.strengths[i]),
                text=None if row == FORGET_ROW else reading.texts[row],
            )
            for i, row in enumerate(batch.rows.tolist())
            if row != SKIPPED_ROW
        ]


@dataclass
class ReadAction:
    user_id: str
    action: str
    item_id: str | None
    event: int
    offset: int
    ts: int
    weight: float
    strength: float
    text: str | None


def reasons(reading: Reading) -> list[tuple[int, RejectReason]]:
    offsets = reading.batch.offsets
    return [(int(offsets[place]), error.reason) for place, error in reading.rejected]


def test_an_action_is_weighed_and_rendered() -> None:
    rig = Rig(["Alien"])
    record = action_record("ann", "rate", offset=4, item_id="Alien", rating=5.0)
    assert rig.actions(rig.read(record)) == [
        ReadAction("ann", "rate", "Alien", 0, 4, NOW, 2.0, 1.0, "Alien")
    ]


def test_good_and_bad_are_told_apart_in_offset_order() -> None:
    rig = Rig(["Alien"])
    reading = rig.read(
        action_record(offset=0, item_id="Alien"),
        bad_record(offset=1),
        action_record(offset=2, action="stare", item_id="Alien"),
        action_record(offset=3, item_id="Solaris"),
        action_record(offset=4),
        action_record(offset=5, action="rate", item_id="Alien"),
        action_record(offset=6, action="search", text="ships"),
        action_record(offset=7, ts=NOW + 10**9),
        action_record(offset=8, action="search", text=" \n"),
        action_record(offset=9, action="rate", item_id="Alien", rating=5.5),
    )
    assert [one.offset for one in rig.actions(reading)] == [0, 6]
    assert reasons(reading) == [
        (1, RejectReason.MALFORMED),
        (2, RejectReason.UNKNOWN_ACTION),
        (3, RejectReason.UNKNOWN_ITEM),
        (4, RejectReason.NO_TEXT),
        (5, RejectReason.BAD_VALUE),
        (7, RejectReason.BAD_TIME),
        (8, RejectReason.NO_TEXT),
        (9, RejectReason.BAD_VALUE),
    ]


def test_the_reasons_say_what_to_do() -> None:
    reading = Rig().read(action_record(item_id="Solaris"), action_record(offset=1))
    assert [error.detail for _, error in reading.rejected] == [
        "item 'Solaris' is not in the catalogue; publish items before actions",
        "a 'view' without item_id and text has nothing to encode",
    ]


def test_forget_needs_no_rule_no_item_and_no_text() -> None:
    rig = Rig()
    (one,) = rig.actions(rig.read(action_record(action="forget", item_id="gone")))
    assert (one.text, one.weight, one.strength) == (None, 0.0, 0.0)


def test_each_topic_is_read_in_its_format() -> None:
    rig = Rig(["Alien"])
    orders = KafkaRecord(
        "orders", b"ann", b'{"user_id":"ann","ts":1750000000000,"item_id":"Alien"}'
    )
    (one,) = rig.actions(rig.read(orders))
    assert (one.action, one.weight, one.text) == ("purchase", 3.0, "Alien")
    other = KafkaRecord("actions", b"ann", orders.value)
    assert reasons(rig.read(other)) == [(0, RejectReason.MALFORMED)]


def test_a_topic_may_name_the_action() -> None:
    rig = Rig(["Alien"])
    unnamed = msgspec.msgpack.encode({"user_id": "ann", "ts": NOW, "item_id": "Alien"})
    (one,) = rig.actions(rig.read(KafkaRecord("clicks", b"ann", unnamed)))
    assert (one.action, one.strength) == ("view", 0.3)
    assert reasons(rig.read(KafkaRecord("actions", b"ann", unnamed))) == [
        (0, RejectReason.MALFORMED)
    ]
    named = action_record("ann", "purchase", topic="clicks", item_id="Alien")
    assert [one.action for one in rig.actions(rig.read(named))] == ["purchase"]


def test_an_item_s_text_is_asked_for_once() -> None:
    rig = Rig(["Alien", "Solaris"])
    reading = rig.read(
        *(
            action_record(offset=n, item_id=title)
            for n, title in enumerate(["Solaris", "Alien", "Solaris", "Solaris"])
        )
    )
    assert sorted(reading.texts) == ["Alien", "Solaris"]
    assert [one.text for one in rig.actions(reading)] == ["Solaris", "Alien", "Solaris", "Solaris"]


def test_actions_with_templates_of_their_own_have_texts_of_their_own() -> None:
    rig = Rig(["Alien"], {"purchase": "bought: {title}", "rate": "{title}, rated {rating}"})
    reading = rig.read(
        action_record(offset=0, item_id="Alien"),
        action_record(offset=1, action="purchase", item_id="Alien"),
        action_record(offset=2, action="rate", item_id="Alien", rating=5.0),
        action_record(offset=3, action="review", item_id="Alien", text="Loud."),
    )
    assert [one.text for one in rig.actions(reading)] == [
        "Alien", "bought: Alien", "Alien, rated 5",
    ]  # fmt: skip
    assert reasons(reading) == [(3, RejectReason.UNKNOWN_ACTION)]


def test_a_template_that_an_item_leaves_empty_is_no_text() -> None:
    rig = Rig(["Alien"], {"view": "{description}"})
    assert reasons(rig.read(action_record(item_id="Alien"))) == [(0, RejectReason.NO_TEXT)]


def test_event_ids_are_equal_where_their_bytes_are_whichever_way_they_were_read() -> None:
    rig = Rig(["Alien"])
    plain, worded, other, none = rig.actions(
        rig.read(
            action_record(offset=0, item_id="Alien", event_id="é1"),
            action_record(offset=1, action="search", text="x", event_id="é1"),
            action_record(offset=2, item_id="Alien", event_id="é2"),
            action_record(offset=3, item_id="Alien"),
        )
    )
    assert plain.event == worded.event
    assert len({plain.event, other.event, none.event}) == 3


def test_an_unusual_message_is_read_the_same() -> None:
    rig = Rig(["Alien"])
    usual = {"user_id": "ann", "action": "rate", "ts": NOW, "item_id": "Alien", "rating": 4.0}
    unusual = {**usual, "newer_field": {"a": [1]}}  # not plain: read by the decoder
    first, second = rig.actions(
        rig.read(
            KafkaRecord("actions", b"ann", msgspec.msgpack.encode(usual)),
            KafkaRecord("actions", b"ann", msgspec.msgpack.encode(unusual)),
        )
    )
    assert first == second


ratings = st.one_of(st.none(), st.floats(0, 6), st.integers(0, 6), st.just(float("nan")))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["view", "rate", "purchase", "search", "forget", "stare"]),
            st.sampled_from([None, "Alien", "Solaris", "nothing"]),
            st.sampled_from([None, "words"]),
            ratings,
            st.booleans(),
        ),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=150, deadline=None)
def test_plain_or_not_an_action_is_read_the_same(
    drawn: list[tuple[str, str | None, str | None, float | None, bool]],
) -> None:
    """A field that the scan leaves to the decoder changes the way of reading, and no result."""
    rig = Rig(["Alien", "Solaris"])

    def records(*, plain: bool) -> list[KafkaRecord]:
        made = []
        for offset, (name, item_id, text, rating, event) in enumerate(drawn):
            message = {"user_id": "ann", "action": name, "ts": NOW, "item_id": item_id}
            message |= {"text": text, "rating": rating}
            message |= {"event_id": f"e{offset}"} if event else {}
            message |= {} if plain else {"newer_field": [1]}
            made.append(
                KafkaRecord("actions", b"ann", msgspec.msgpack.encode(message), offset=offset)
            )
        return made

    one, other = rig.read(*records(plain=True)), rig.read(*records(plain=False))
    assert rig.actions(one) == rig.actions(other)
    assert reasons(one) == reasons(other)


def test_the_clock_is_read_once_a_batch() -> None:
    rig = Rig(["Alien"], clock=Clock(NOW - 10**9))
    reading = rig.read(*(action_record(offset=n, item_id="Alien") for n in range(3)))
    assert rig.clock.reads == 1
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
    assert Rig(["Alien"]).reader.decode("actions", records).names_unknown_item is unknown


def test_an_item_that_came_since_decoding_is_known() -> None:
    rig = Rig()
    decoded = rig.reader.decode("actions", [action_record(item_id="Alien")])
    assert decoded.names_unknown_item
    rig.catalogue.put(Item(item_id="Alien", title="Alien"))
    assert [one.text for one in rig.actions(rig.reader.read(decoded))] == ["Alien"]


def test_an_item_that_went_since_decoding_is_unknown() -> None:
    rig = Rig(["Alien"])
    decoded = rig.reader.decode("actions", [action_record(item_id="Alien")])
    rig.catalogue.delete("Alien")
    assert reasons(rig.reader.read(decoded)) == [(0, RejectReason.UNKNOWN_ITEM)]


def test_decoding_raises_nothing() -> None:
    decoded = Rig().reader.decode("actions", [bad_record(), action_record()])
    assert isinstance(decoded.singly[0], RejectedError)
    assert decoded.scan.plain.tolist() == [False, True]


FEELS = {"bad": -0.6, "good": 0.5}


def feel(reading: Reading) -> list[float]:
    """The strengths, where a text's vector is what the first word in it that feels something is."""
    vectors = np.array(
        [[next((FEELS[w] for w in text.split() if w in FEELS), 0.9)] for text in reading.texts],
        np.float32,
    )
    with_feeling(reading, vectors, Feeling(lambda given: given[:, 0], -0.25, reads=str.isascii))
    return [round(float(strength), 6) for strength in reading.batch.strengths]


def test_words_decide_the_strength_of_what_is_felt() -> None:
    rig = Rig(["Alien"], templates={"comment": "{title}. {text}", "nod": "{title}"})
    records = [
        action_record(offset=0, action="comment", item_id="Alien", text="so good"),
        action_record(offset=1, action="comment", item_id="Alien", text="so bad"),
        action_record(offset=2, action="comment", text="bad"),
        # a rating says it more clearly; without words, or where they are not encoded, s stays
        action_record(offset=3, action="comment", item_id="Alien", text="bad", rating=5.0),
        action_record(offset=4, action="comment", item_id="Alien", rating=1.0),
        action_record(offset=5, action="comment", item_id="Alien"),
        action_record(offset=6, action="nod", item_id="Alien", text="bad"),
        action_record(offset=7, action="search", text="bad"),
    ]
    reading = rig.read(*records)
    assert reading.rejected == []
    assert feel(reading) == pytest.approx([0.4, -0.15, -0.15, 1.0, -0.25, 0.8, 0.8, 0.5])


def test_a_rating_off_the_scale_of_what_is_felt_is_refused() -> None:
    record = action_record(offset=0, action="comment", text="good", rating=9.0)
    assert reasons(Rig().read(record)) == [(0, RejectReason.BAD_VALUE)]


def test_words_that_cannot_be_read_count_by_the_strength_of_the_action() -> None:
    reading = Rig().read(action_record(offset=0, action="comment", text="bad 太棒了"))
    assert feel(reading) == pytest.approx([0.8])


def test_a_text_that_failed_feels_nothing() -> None:
    reading = Rig().read(action_record(offset=0, action="comment", text="bad"))
    reading.batch.rows[:] = SKIPPED_ROW
    assert feel(reading) == pytest.approx([0.8])


def test_an_influence_weighs_in_columns_as_it_does_one_at_a_time() -> None:
    levels = tuple(float(one) for one in range(1, 11))
    rules = replace(
        RULES, influence=Influence(half_life_seconds=1, actions={"rate": 3.0}, ratings=levels)
    )
    rig = Rig(["Alien"])
    rig.reader = ActionReader(
        {"actions": ActionDecoder("msgpack", Limits())}, rules, rig.catalogue, rig.vocabulary,
        rig.clock,
    )  # fmt: skip
    records = [
        action_record("ann", "rate", offset=at, item_id="Alien", rating=rating)
        for at, rating in enumerate((1.0, 3.5, 5.0))
    ]
    read = rig.actions(rig.read(*records, action_record("ann", "view", offset=3, item_id="Alien")))
    assert [one.weight for one in read] == [3.0, 21.0, 30.0, 1.0]


def test_words_weigh_by_how_they_feel_where_the_feeling_says_so() -> None:
    rig = Rig(["Alien"], templates={"comment": "{text} ({title})"})
    reading = rig.read(action_record("ann", "comment", item_id="Alien", text="Splendid"))
    assert reading.felt == {0: "Splendid"}
    feeling = Feeling(
        lambda found: np.ones(len(found), np.float32), -0.5,
        weigh=lambda felt: np.where(felt > 0, 4.0, 1.0),
    )  # fmt: skip
    with_feeling(reading, np.ones((1, 2), np.float32), feeling)
    assert rig.actions(reading)[0].weight == 8.0
