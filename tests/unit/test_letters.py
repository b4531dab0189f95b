"""What a dead letter says of itself, and which are replayed."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition

from streams.dead_letters import dead_letter
from streams.errors import RejectedError, RejectReason
from streams.fetching import FetchedRecord
from streams.letters import (
    DeadLetter,
    LetterFilter,
    ReplayPlan,
    Verdict,
    mark_of,
    read_letter,
    read_mark,
)
from streams.records import OutRecord
from tidemark.cli.dead_letters.common import ReasonChoice
from tidemark.cli.dead_letters.replay import _WHY

TOPICS = {"actions", "orders"}


def written(
    value: bytes | None = b"{",
    *,
    source: TopicPartition | None = None,
    at: int = 17,
    more: tuple[tuple[str, bytes], ...] = (),
) -> OutRecord:
    """A letter as the worker writes it."""
    record = FetchedRecord("actions", 3, at, 1_000, b"ann", value, ())
    error = RejectedError(RejectReason.MALFORMED, "the value cannot be read: \x1b[31m")
    letter = dead_letter("dead", source or TopicPartition("actions", 3), record, error, 9_000)
    return letter._replace(headers=(*letter.headers, *more))


def read(letter: OutRecord, offset: int = 4) -> DeadLetter:
    return read_letter(
        FetchedRecord(
            "dead", letter.partition, offset, 8_000, letter.key, letter.value, letter.headers
        )
    )


def test_all_that_the_worker_wrote_is_read() -> None:
    found = read(written(more=(("traceparent", b"00-1"),)))
    assert (found.topic, found.partition, found.offset) == ("dead", 3, 4)
    assert (found.reason, found.detail) == ("malformed", "the value cannot be read: \x1b[31m")
    assert found.source == ("actions", 3, 17)
    assert found.time_ms == 9_000
    assert (found.key, found.value, found.shortened_from) == (b"ann", b"{", None)
    assert found.headers == (("traceparent", b"00-1"),)


def test_what_somebody_else_wrote_is_read_too() -> None:
    found = read_letter(
        FetchedRecord("dead", 0, 1, 8_000, None, None, (("source-offset", b"-1"), ("error", None)))
    )
    assert (found.reason, found.source, found.time_ms, found.value) == ("", None, 8_000, None)


def test_a_letter_goes_back_as_it_came() -> None:
    plan = ReplayPlan(TOPICS, "items")
    headers = (("traceparent", b"00-1"), ("replayed-from", b"dead/0/1"))
    record = plan.judge(read(written(more=headers)))
    assert record == OutRecord(
        "actions", 3, b"ann", b"{", (("traceparent", b"00-1"), ("replayed-from", b"dead/3/4"))
    )
    assert plan.counts == {(Verdict.REPLAYED, "malformed"): 1}


def test_a_record_is_replayed_once() -> None:
    plan = ReplayPlan(TOPICS, "items")
    letters = [read(written(at=at), offset) for offset, at in enumerate((17, 18, 17, 17))]
    assert [plan.judge(one) is not None for one in letters] == [True, True, False, False]
    assert plan.total(Verdict.REPEATED) == 2


@pytest.mark.parametrize("topic", ["actions", "a/b.c", "größe"])
def test_a_mark_says_what_was_replayed(topic: str) -> None:
    letter = read(written(source=TopicPartition(topic, 3)))
    mark = mark_of(letter)
    assert mark is not None
    # behind the letter: both expire together
    assert (mark.topic, mark.partition, mark.key, mark.value) == ("dead", 3, None, b"")
    record = FetchedRecord("dead", 3, 9, 8_000, None, b"", mark.headers)
    assert read_mark(record) == (topic, 3, 17)
    plan = ReplayPlan({topic}, "items", replayed={(topic, 3, 17)})
    assert plan.judge(letter) is None
    assert plan.total(Verdict.ALREADY) == 1
    assert ReplayPlan({topic}, "items", replayed={(topic, 3, 18)}).judge(letter) is not None


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (None, None, ()),
        (None, None, (("replayed", b"3/17"),)),
        (None, None, (("replayed", b"x/17/actions"),)),
        (None, None, (("replayed", b"9" * 5_000 + b"/17/actions"),)),
        (None, None, (("replayed", None),)),
        (b"ann", b"{", (("replayed", b"3/17/actions"),)),  # a message of a producer's
    ],
)
def test_what_is_no_mark(key: bytes | None, value: bytes | None, headers: tuple[Any, ...]) -> None:
    assert read_mark(FetchedRecord("dead", 3, 9, 8_000, key, value, headers)) is None
    assert mark_of(read(written()._replace(headers=()))) is None


def test_what_cannot_be_replayed_is_counted() -> None:
    plan = ReplayPlan(TOPICS, "items")
    large = written(b"x" * 100_000).shortened()
    assert plan.judge(read(large)) is None
    assert plan.judge(read(written(source=TopicPartition("items", 0)))) is None
    assert plan.judge(read(written(source=TopicPartition("other", 0)))) is None
    assert plan.judge(read(written()._replace(headers=()))) is None
    assert {verdict: plan.total(verdict) for verdict in Verdict} == {
        Verdict.REPLAYED: 0,
        Verdict.REPEATED: 0,
        Verdict.ALREADY: 0,
        Verdict.SHORTENED: 1,
        Verdict.NO_SOURCE: 1,
        Verdict.OTHER_TOPIC: 1,
        Verdict.CATALOGUE: 1,
    }
    assert ReplayPlan({"items"}, "items").judge(read(written(source=TopicPartition("items", 0))))


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (LetterFilter(), True),
        (LetterFilter(reasons={"malformed"}), True),
        (LetterFilter(reasons={"bad_key"}), False),
        (LetterFilter(sources={"actions"}), True),
        (LetterFilter(sources={"orders"}), False),
        (LetterFilter(since_ms=9_000), True),
        (LetterFilter(since_ms=9_001), False),
        (LetterFilter(places={(3, 4)}), True),
        (LetterFilter(places={(3, 5)}), False),
        (LetterFilter(reasons={"malformed"}, sources={"orders"}), False),
    ],
)
def test_filters(wanted: LetterFilter, takes: bool) -> None:
    assert wanted.takes(read(written())) == takes


def test_the_command_line_names_every_reason_and_verdict() -> None:
    assert {one.value for one in ReasonChoice} == {one.value for one in RejectReason}
    assert set(_WHY) == {one.value for one in Verdict}
