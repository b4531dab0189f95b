"""Dead letters: bytes that are shown and do nothing, and a source that comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_fakes import FakeRecord

from store.dashboard.letters import KEPT, LetterBox, letter_of, shown
from streams.security import PLAINTEXT
from tidemark.compose.letters import LetterTail


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain, \xc3\xa9 and \xe2\x82\xac\n\tindented", "plain, é and €\n\tindented"),
        (b"<script>alert(1)</script>", "<script>alert(1)</script>"),
        (b"", ""),
        (b"\xff\xfe", None),  # no UTF-8
        (b"bell\x07", None),
        (b"escape\x1b[31m", None),
        ("turned \u202e round".encode(), None),
        ("zero\u200bwidth".encode(), None),
        (b"nul\x00", None),
    ],
)
def test_text_is_shown_where_every_character_can_be_seen(data: bytes, text: str | None) -> None:
    found = shown(data)
    assert found is not None
    assert found["text"] == text
    assert bytes.fromhex(found["hex"]) == data
    assert (found["size"], found["cut"]) == (len(data), False)


@given(st.text(max_size=40), st.integers(1, 60))
def test_a_cut_within_a_character_leaves_the_rest_readable(text: str, most: int) -> None:
    data = text.encode()
    found = shown(data, most)
    assert found is not None
    assert found["cut"] is (len(data) > most)
    assert bytes.fromhex(found["hex"]) == data[:most]
    if found["text"] is not None:
        assert text.startswith(found["text"])
        assert len(data[:most]) - len(found["text"].encode()) <= 3
    elif text.isprintable():
        pytest.fail("printable text was not shown as such")


def test_no_key_is_not_an_empty_key() -> None:
    assert shown(None) is None


def letter(offset: int = 7, **headers: bytes | None) -> FakeRecord:
    named = {
        "error": b"malformed", "reason": b"not a map", "source-topic": b"actions",
        "source-partition": b"3", "source-offset": b"41", "time": b"1700000000000",
    }  # fmt: skip
    pairs = [
        (name.replace("_", "-"), value)
        for name, value in {**named, **headers}.items()
        if value is not None
    ]
    return FakeRecord("dead", b"ann", b"\x81", pairs, 2, offset, 99)


def test_a_letter_has_where_it_came_from_and_why() -> None:
    found = letter_of(letter())
    assert {name: found[name] for name in ("partition", "offset", "time", "error")} == {
        "partition": 2, "offset": 7, "time": 1_700_000_000_000, "error": "malformed",
    }  # fmt: skip
    assert (found["source_topic"], found["source_partition"], found["source_offset"]) == (
        "actions", 3, 41,
    )  # fmt: skip
    assert found["key"]["text"] == "ann"
    assert found["value"]["text"] is None


def test_headers_that_are_missing_or_odd_are_not_told() -> None:
    """Anyone may have written to the topic."""
    odd = (("source-offset", b"-1\xff"), ("source-partition", b"9" * 5_000))
    record = FakeRecord("dead", None, None, odd, 0, 0, 99)
    found = letter_of(record)
    assert (found["time"], found["source_partition"]) == (99, None)
    for name in ("error", "reason", "source_topic", "source_offset", "key", "value"):
        assert found[name] is None


class FakeSource:
    topic = "dead"
    replayed: set[tuple[str, int, int]] = set()  # noqa: RUF012 # none of it is changed

    def __init__(self, *answers: Sequence[FakeRecord] | Exception) -> None:
        self.answers = list(answers)
        self.polled = asyncio.Event()
        self.closed, self.closing = 0, asyncio.Event()

    async def poll(self, most: int) -> list[dict[str, Any]]:
        assert most == KEPT
        if not self.answers:
            self.polled.set()
            return []
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            self.polled.set()
            raise answer
        return [letter_of(one) for one in answer]

    async def close(self) -> None:
        self.closed += 1
        self.closing.set()


def test_the_last_hundred_are_kept_and_numbered_while_someone_looks() -> None:
    async def run() -> None:
        source = FakeSource([letter(one) for one in range(80)], [letter(one) for one in range(80)])
        box = LetterBox(source, seconds=0)
        assert box.state()["reason"] == "the topic is being read"
        assert source.closed == 0
        box.follow()
        box.follow()
        await asyncio.wait_for(source.polled.wait(), 20)
        assert box.state() == {"topic": "dead", "reason": None, "replayed": []}
        assert len(box.after(0)) == KEPT
        assert [one["number"] for one in box.after(155)] == [156, 157, 158, 159, 160]
        await box.rest()
        assert source.closed == 1
        assert box.after(0) == []
        source.answers.append([letter()])
        source.polled.clear()
        box.follow()
        await asyncio.wait_for(source.polled.wait(), 20)
        assert [one["number"] for one in box.after(0)] == [161]  # a page that watched on sees it
        await box.rest()

    asyncio.run(run())


def test_letters_that_were_replayed_since_are_named() -> None:
    async def run() -> None:
        source = FakeSource(
            [letter(), letter(8, source_offset=b"42"), letter(9, source_offset=None)]
        )
        box = LetterBox(source, seconds=0)
        box.follow()
        await asyncio.wait_for(source.polled.wait(), 20)
        source.replayed = {("actions", 3, 42), ("actions", 3, 43)}
        assert box.state()["replayed"] == [2]
        await box.rest()
        assert box.state()["replayed"] == []

    asyncio.run(run())


def test_a_topic_that_cannot_be_read_says_why() -> None:
    async def run() -> None:
        source = FakeSource(ConnectionError("no broker"))
        box = LetterBox(source, seconds=0)
        box.follow()
        await asyncio.wait_for(source.closing.wait(), 20)
        assert box.state()["reason"] == "the topic cannot be read: no broker"
        assert source.closed == 1
        await box.rest()

    asyncio.run(run())


def test_without_a_topic_it_says_so() -> None:
    async def run() -> None:
        box = LetterBox(None)
        box.follow()
        assert box.state()["topic"] is None
        await box.rest()

    asyncio.run(run())


class FakePeek:
    """A topic of one partition: letters, then what was replayed of them."""

    def __init__(self, letters: int, marks: int) -> None:
        self.records = [letter(one) for one in range(letters)]
        mark = (("replayed", b"3/41/actions"),)
        self.records += [FakeRecord("dead", None, b"", mark, 2, letters + n) for n in range(marks)]

    async def ends(self, partitions: Any) -> dict[tuple[str, int], int]:
        return dict.fromkeys(partitions, len(self.records))

    async def read(self, topic: str, partition: int, first: int, stop: int) -> Any:
        assert (topic, partition) == ("dead", 2)
        yield self.records[first:stop], stop


def test_marks_of_replays_do_not_hide_the_letters_before_them() -> None:
    async def run() -> None:
        tail = LetterTail("nowhere:1", "dead", PLAINTEXT)
        tail._peek = FakePeek(50, 300)  # type: ignore[assignment] # noqa: SLF001
        tail._read = {("dead", 2): 0}  # noqa: SLF001
        assert [one["offset"] for one in await tail.poll(KEPT)] == list(range(50))
        assert await tail.poll(KEPT) == []  # each is told once
        assert set(tail.replayed) == {("actions", 3, 41)}

    asyncio.run(run())
