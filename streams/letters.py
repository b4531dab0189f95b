"""Dead letters as they are read back: what they say of themselves, and which may be replayed.

What was replayed has a mark in the topic of dead letters, behind the letter in its partition: a
record without a key, of no bytes, whose header names the source record. So another run does not
send it again, and the list says so.

Pure: `streams.dead_letter_topic` reads and publishes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from streams.records import OutRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from store.record import Record
    from streams.fetching import FetchedRecord

__all__ = [
    "DeadLetter", "LetterFilter", "ReplayPlan", "Source", "Verdict", "mark_of", "read_letter",
    "read_mark",
]  # fmt: skip

#: Topic, partition and offset that a letter came from.
Source = tuple[str, int, int]

#: The headers that `streams.dead_letters` and `OutRecord.shortened` write.
_OWN = {"error", "reason", "source-topic", "source-partition", "source-offset", "time"}
_SHORTENED = "truncated-from-bytes"
#: Says where a replayed record was a letter.
_REPLAYED = "replayed-from"
#: Of a mark: ``partition/offset/topic`` of the source record.
_MARK = "replayed"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One letter.

    Attributes:
        topic, partition, offset: where it lies.
        reason: a `RejectReason`; empty where the header is missing.
        detail: in words.
        source: topic, partition and offset that it came from; None where the letter does not say.
        time_ms: when it was written, ms since the epoch.
        key, value: as they came; of a value that was too large the beginning.
        shortened_from: bytes of the whole value, where this is the beginning.
        headers: the others.
    """

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    source: Source | None
    time_ms: int
    key: bytes | None
    value: bytes | None
    shortened_from: int | None
    headers: tuple[tuple[str, bytes | None], ...]


def read_letter(record: FetchedRecord) -> DeadLetter:
    """What a record of the dead letters' topic says; one that somebody else wrote may say less."""
    found = {name: value for name, value in record.headers if value is not None}

    def text(name: str) -> str:
        return found.get(name, b"").decode("utf-8", "replace")

    def number(name: str) -> int | None:
        return _number(text(name))

    partition, offset = number("source-partition"), number("source-offset")
    source = None
    if text("source-topic") and partition is not None and offset is not None:
        source = text("source-topic"), partition, offset
    time_ms = number("time")
    return DeadLetter(
        record.topic,
        record.partition,
        record.offset,
        text("error"),
        text("reason"),
        source,
        record.timestamp if time_ms is None else time_ms,
        record.key,
        record.value,
        number(_SHORTENED),
        tuple(one for one in record.headers if one[0] not in {*_OWN, _SHORTENED}),
    )


def mark_of(letter: DeadLetter) -> OutRecord | None:
    """What says that the letter was replayed; None where it does not say where it came from."""
    if letter.source is None:
        return None
    topic, partition, offset = letter.source
    said = f"{partition}/{offset}/{topic}".encode()
    return OutRecord(letter.topic, letter.partition, None, b"", ((_MARK, said),))


def read_mark(record: Record) -> Source | None:
    """The source record that a mark says was replayed; None of a letter."""
    for name, value in record.headers:
        if name == _MARK and value is not None and record.key is None and not record.value:
            partition, _, rest = value.decode("utf-8", "replace").partition("/")
            offset, _, topic = rest.partition("/")
            places = _number(partition), _number(offset)
            if topic and places[0] is not None and places[1] is not None:
                return topic, places[0], places[1]
    return None


def _number(text: str) -> int | None:
    """An offset has 19 digits at most; anybody may write any number of them."""
    known = text.isascii() and text.isdigit() and len(text) <= 19  # noqa: PLR2004
    return int(text) if known else None


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant.

    Attributes:
        reasons: of these; any where empty.
        sources: from these topics; any where empty.
        since_ms: written then or later.
        places: these partitions and offsets; any where empty.
    """

    reasons: Collection[str] = ()
    sources: Collection[str] = ()
    since_ms: int = 0
    places: Collection[tuple[int, int]] = ()

    def takes(self, letter: DeadLetter) -> bool:
        """Whether it is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (
                not self.sources or (letter.source is not None and letter.source[0] in self.sources)
            )
            and letter.time_ms >= self.since_ms
            and (not self.places or (letter.partition, letter.offset) in self.places)
        )


class Verdict(StrEnum):
    """What becomes of a letter that is to be replayed."""

    REPLAYED = "replayed"
    REPEATED = "repeated"  # a crash wrote it again
    ALREADY = "already"  # an earlier run replayed it
    SHORTENED = "shortened"  # only the beginning of its value was kept
    NO_SOURCE = "no_source"  # it does not say where it came from
    OTHER_TOPIC = "other_topic"  # not one of those that the settings name
    CATALOGUE = "catalogue"  # an item: what was published since would be replaced


@dataclass
class ReplayPlan:
    """Decides letter by letter; each source record is replayed once.

    Attributes:
        topics: that may be published to: those of actions, and of items where it was asked for.
        items: the catalogue's topic.
        replayed: source records that earlier runs replayed, and this one does not.
        counts: of letters by verdict and reason.
    """

    topics: Collection[str]
    items: str
    replayed: Collection[Source] = frozenset()
    counts: Counter[tuple[Verdict, str]] = field(default_factory=Counter)
    _done: set[Source] = field(default_factory=set)

    def judge(self, letter: DeadLetter) -> OutRecord | None:
        """The record to publish, or None; `counts` says why."""
        verdict, source = self._verdict(letter), letter.source
        self.counts[verdict, letter.reason] += 1
        if verdict is not Verdict.REPLAYED or source is None:
            return None
        self._done.add(source)
        topic, partition, _ = source
        place = f"{letter.topic}/{letter.partition}/{letter.offset}"
        kept: Sequence[tuple[str, bytes]] = [
            (name, value or b"") for name, value in letter.headers if name != _REPLAYED
        ]
        headers = (*kept, (_REPLAYED, place.encode()))
        # To the partition that it came from: a user's actions stay in one, in their order.
        return OutRecord(topic, partition, letter.key, letter.value, headers)

    def total(self, verdict: Verdict) -> int:
        """Of all reasons."""
        return sum(count for (one, _), count in self.counts.items() if one is verdict)

    def _verdict(self, letter: DeadLetter) -> Verdict:
        if letter.source is None:
            return Verdict.NO_SOURCE
        if letter.shortened_from is not None:
            return Verdict.SHORTENED
        if letter.source[0] not in self.topics:
            return Verdict.CATALOGUE if letter.source[0] == self.items else Verdict.OTHER_TOPIC
        if letter.source in self.replayed:
            return Verdict.ALREADY
        return Verdict.REPEATED if letter.source in self._done else Verdict.REPLAYED
