"""The pipeline: what cannot be processed, what is not known, and an encoder that fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pipeline_rig import Rig, item_vectors, search
from streams_fakes import (
    NOW,
    FakeEncoding,
    FakeSource,
    KafkaRecord,
    action_record,
    asynchronous,
    bad_record,
    item_record,
    let_run,
    vector_of,
)

from encoders import EncodingFailedError
from store.profile import Fence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.records import OutRecord


# Dead letters


def headers_of(record: OutRecord) -> Mapping[str, str]:
    return {name: value.decode() for name, value in record.headers}


@asynchronous
async def test_a_dead_letter_is_the_original_and_six_headers() -> None:
    rig = Rig()
    bad = bad_record(offset=12, partition=3)
    await rig.take(bad)
    (letter,) = rig.outbox.records("actions-dead-letter")
    assert (letter.key, letter.value, letter.partition) == (bad.key, bad.value, 3)
    headers = dict(headers_of(letter))
    assert "cannot be read" in headers.pop("reason")
    assert headers == {
        "error": "malformed",
        "source-topic": "actions",
        "source-partition": "3",
        "source-offset": "12",
        "time": str(NOW + 5),
    }
    assert letter.may_shorten
    assert rig.acknowledged == [0]
    assert rig.sensor.dead_letters == ["malformed"]


@asynchronous
async def test_a_dead_letter_keeps_a_missing_key_and_value() -> None:
    rig = Rig()
    await rig.take(KafkaRecord("orders", None, None))
    (letter,) = rig.outbox.records("actions-dead-letter")
    assert (letter.key, letter.value) == (None, None)
    assert headers_of(letter)["source-topic"] == "orders"


@asynchronous
async def test_poison_among_good_records_changes_nothing_for_them() -> None:
    rig = Rig()
    await rig.take(
        bad_record(offset=0),
        search(text="a", offset=1),
        search(text="", offset=2),
        action_record(action="stare", offset=3),
        search("bob", "b", offset=4),
    )
    assert rig.letters() == [("malformed", 0), ("no_text", 2), ("unknown_action", 3)]
    assert rig.state("ann").count == rig.state("bob").count == 1
    np.testing.assert_allclose(rig.state("bob").array(), 0.5 * vector_of("b"), atol=1e-7)


@asynchronous
async def test_a_micro_batch_of_many_partitions_is_shared_out_among_them() -> None:
    """It is read as one; each action and each letter goes to the partition it came from."""
    rig = Rig(encoding=FakeEncoding(bad={"cursed": EncodingFailedError("too odd")}))
    users = {0: "ann", 1: "bob", 2: "cid"}
    batches = [
        rig.inbound(
            *(
                search(users[partition], text, partition=partition, offset=first + n)
                for n, text in enumerate(texts)
            )
        )
        for partition, first, texts in [
            (1, 0, ["a", "", "cursed"]),
            (0, 7, ["a"]),
            (1, 3, ["b", ""]),
            (2, 5, ["cursed", "b", "c"]),
        ]
    ]
    await rig.process(*batches)
    letters = {
        (int(letter["source-partition"]), int(letter["source-offset"]), letter["error"])
        for letter in map(headers_of, rig.outbox.records("actions-dead-letter"))
    }
    assert letters == {
        (1, 1, "no_text"), (1, 2, "encoder"), (1, 4, "no_text"), (2, 5, "encoder"),
    }  # fmt: skip
    assert {one.partition for one in rig.outbox.records("profiles")} == {0, 1, 2}
    for user, texts, last in [("ann", "a", 7), ("bob", "ab", 3), ("cid", "bc", 7)]:
        state = rig.state(user)
        assert (state.count, state.applied) == (len(texts), {"actions": last})
    assert sorted(rig.acknowledged) == [0, 1, 2, 3]


@asynchronous
async def test_an_encoder_s_error_dead_letters_the_actions_of_that_text_only() -> None:
    rig = Rig(encoding=FakeEncoding(bad={"cursed": EncodingFailedError("too odd")}))
    await rig.process(
        rig.inbound(
            search(text="a", offset=0),
            search(text="cursed", offset=1),
            action_record(action="forget", user_id="cid", offset=2),
            search(text="b", offset=3),
        ),
        rig.inbound(search("bob", "cursed", offset=4), search("bob", "c", offset=5)),
    )
    assert rig.letters() == [("encoder", 1), ("encoder", 4)]
    reasons = [headers_of(one)["reason"] for one in rig.outbox.records("actions-dead-letter")]
    assert reasons == ["the encoder failed: too odd"] * 2
    assert (rig.state("ann").count, rig.state("bob").count) == (2, 1)
    np.testing.assert_allclose(rig.state("bob").array(), 0.5 * vector_of("c"), atol=1e-7)
    assert isinstance(rig.states()["cid"][0], Fence)
    assert len(rig.encoding.calls) == 1


# The catalogue


@asynchronous
async def test_an_unknown_item_refreshes_the_catalogue_once_a_batch() -> None:
    rig = Rig(items=FakeSource([item_record("new")]))
    await rig.take(
        action_record(item_id="new", offset=0),
        action_record(item_id="gone", offset=1),
        action_record(item_id="lost", offset=2),
    )
    assert rig.items.reads == 1
    assert rig.letters() == [("unknown_item", 1), ("unknown_item", 2)]
    assert rig.state().count == 1


@asynchronous
async def test_known_items_refresh_nothing() -> None:
    rig = Rig(items=FakeSource([item_record("1")]))
    await rig.take(action_record(item_id="1"))
    await rig.take(action_record(item_id="1", offset=1), search(offset=2), bad_record(offset=3))
    assert rig.items.reads == 1


# An encoder that fails


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; none is waited for."""
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)
        await let_run(1)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return asked


def outage() -> EncodingFailedError:
    return EncodingFailedError("out of memory", retriable=True)


@asynchronous
async def test_an_outage_of_the_encoder_is_waited_out(pauses: list[float]) -> None:
    rig = Rig(encoding=FakeEncoding(outages=[outage() for _ in range(8)]))
    await rig.take(search())
    assert rig.letters() == []
    assert rig.state().count == 1
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


@asynchronous
async def test_an_outage_is_waited_out_for_items_too(pauses: list[float]) -> None:
    rig = Rig(encoding=FakeEncoding(outages=[outage()]))
    await rig.take(item_record("1"))
    assert [key for key, _ in item_vectors(rig)] == [b"1"]
    assert len(pauses) == 1


@asynchronous
async def test_a_bad_text_in_an_outage_is_a_dead_letter_after_it(pauses: list[float]) -> None:
    bad = {"cursed": EncodingFailedError("too odd")}
    rig = Rig(encoding=FakeEncoding(bad=dict(bad), outages=[outage()]))
    await rig.take(search(text="cursed"), search(offset=1))
    assert rig.letters() == [("encoder", 0)]
    assert len(pauses) == 1


@asynchronous
async def test_an_outage_that_lasts_ends_the_pipeline(pauses: list[float]) -> None:
    rig = Rig(encoding=FakeEncoding(outages=[outage()]), retry_seconds=-1)
    with pytest.raises(EncodingFailedError, match="out of memory"):
        await rig.take(search())
    assert rig.outbox.published == []
    assert rig.acknowledged == []
    assert pauses == []
