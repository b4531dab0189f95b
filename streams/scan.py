"""Reads plain actions out of their MessagePack bytes in one compiled pass, into columns.

Nearly every action is plain: a small map of known fields, short valid strings, numbers in range.
Reading those costs a fraction of a microsecond and makes no Python object. Whatever is not plain
(longer than a limit, a list where a string belongs, a field given twice, a time in the future …)
is only marked: `streams.decode` reads it again, decides, and has the words for what is wrong. So
the scan may refuse too much, and must never accept what the decoder would refuse or read
otherwise; a property test holds that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from store.compiled import compiled
from store.interner import hash_bytes
from store.msgpack_bytes import (
    byte_at,
    find_name,
    is_utf8,
    read_integer,
    read_number,
    read_string,
    same_bytes,
    skip_map,
    skip_scalar,
)
from streams.chunk import ChunkRecord, RecordChunk
from streams.decode import Limits
from streams.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streams.chunk import Spans
    from streams.decode import RawRecord

__all__ = ["Scan", "scan_actions", "warm_up"]

#: Strings longer than 65,535 bytes are left to the decoder, whatever the limits say.
_MOST_TEXT_BYTES = 65_535

# The fields, and what of them was met.
_USER, _ACTION, _TS, _ITEM, _RATING, _EVENT, _TEXT, _CONTEXT, _VERSION = range(9)
_NAMES = (
    b"user_id", b"action", b"ts", b"item_id", b"rating", b"event_id", b"text", b"context", b"v",
)  # fmt: skip
_FIELD_BYTES = np.frombuffer(b"".join(_NAMES), np.uint8)
_FIELD_ENDS = np.cumsum([0, *map(len, _NAMES)])
_NEEDED = (1 << _USER) | (1 << _TS)


@dataclass(slots=True)
class Scan:
    """Columns of n records. Where ``plain`` is False, only the first five hold something.

    The texts of plain records are not kept: templates that need them read the record again.

    Attributes:
        buffer: bytes that all spans point into.
        offsets, published: of the records; Kafka timestamps in ms.
        key_starts, key_ends: -1 where there is no key.
        plain: whether the record was read.
        action_starts, action_ends, item_starts, item_ends: -1 where absent.
        ts: event time, ms.
        ratings: NaN where absent.
        events: hash of the event_id; 0 where absent.
    """

    buffer: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    published: NDArray[np.int64]
    key_starts: NDArray[np.int64]
    key_ends: NDArray[np.int64]
    plain: NDArray[np.bool_]
    action_starts: NDArray[np.int64]
    action_ends: NDArray[np.int64]
    item_starts: NDArray[np.int64]
    item_ends: NDArray[np.int64]
    ts: NDArray[np.int64]
    ratings: NDArray[np.float64]
    events: NDArray[np.uint64]


def scan_actions(
    records: Sequence[RawRecord], limits: Limits, now_ms: int, *, skip: bool = False
) -> Scan:
    """Read what is plain.

    Args:
        records: of one partition, in offset order.
        limits: that a plain record keeps; counted in bytes, never fewer than characters.
        now_ms: the worker's clock.
        skip: read nothing: no record is plain (their format is another).
    """
    chunk = records if isinstance(records, RecordChunk) else RecordChunk.of(records)
    spans, n = chunk.spans, len(chunk)
    scan = Scan(
        buffer=chunk.buffer,
        offsets=spans.offsets,
        published=spans.timestamps,
        key_starts=spans.key_starts,
        key_ends=spans.key_ends,
        plain=np.zeros(n, np.bool_),
        action_starts=np.full(n, -1, np.int64),
        action_ends=np.full(n, -1, np.int64),
        item_starts=np.full(n, -1, np.int64),
        item_ends=np.full(n, -1, np.int64),
        ts=np.zeros(n, np.int64),
        ratings=np.full(n, np.nan),
        events=np.zeros(n, np.uint64),
    )
    if not skip:
        _read_actions(
            scan.buffer, spans, scan.plain,
            scan.action_starts, scan.action_ends, scan.item_starts, scan.item_ends,
            scan.ts, scan.ratings, scan.events,
            limits.message_bytes, limits.id_chars, min(limits.text_chars, _MOST_TEXT_BYTES),
            limits.context_entries, limits.clock_skew_ms, now_ms, _FIELD_BYTES, _FIELD_ENDS,
            np.zeros(1, np.uint64),
        )  # fmt: skip
    return scan


def warm_up() -> None:
    """Load or compile the scan."""
    scan_actions([ChunkRecord(0, 0, b"a", b"\x80")], Limits(), 1)


@compiled
def _read_actions(
    values: NDArray[np.uint8],
    spans: Spans,
    plain: NDArray[np.bool_],
    action_starts: NDArray[np.int64],
    action_ends: NDArray[np.int64],
    item_starts: NDArray[np.int64],
    item_ends: NDArray[np.int64],
    all_ts: NDArray[np.int64],
    ratings: NDArray[np.float64],
    events: NDArray[np.uint64],
    message_bytes: int,
    id_bytes: int,
    text_bytes: int,
    entries: int,
    skew_ms: int,
    now_ms: int,
    names: NDArray[np.uint8],
    name_ends: NDArray[np.int64],
    bits: NDArray[np.uint64],  # one: to read floats, whose bytes it holds as a number
) -> None:
    for i in range(len(plain)):
        at, end = spans.value_starts[i], spans.value_ends[i]
        if at < 0 or end == at or end - at > message_bytes or not 0x80 <= values[at] <= 0x8F:
            continue
        fields = byte_at(values, at) & 0x0F
        at += 1
        met = 0
        action_start, action_end = -1, -1
        item_start, item_end = -1, -1
        ts = 0
        rating = np.nan
        event = np.uint64(0)
        for _ in range(fields):
            start, stop = read_string(values, at, end)
            field = find_name(values, start, stop, names, name_ends)
            at = stop
            if start < 0 or (field >= 0 and met & (1 << field)):
                at = -1
                break
            if field < 0:  # unknown: a newer producer's
                if not is_utf8(values, start, stop):
                    at = -1
                    break
                at = skip_scalar(values, at, end, text_bytes, bits)
            elif field in (_TS, _VERSION):
                number, at = read_integer(values, at, end)
                if field == _TS:
                    ts = number
                elif number != SCHEMA_VERSION:
                    at = -1
            elif at < end and values[at] == 0xC0 and field not in (_USER, _ACTION):
                at += 1  # null is absent
                met |= 1 << field
                continue
            elif field == _RATING:
                rating, at = read_number(values, at, end, bits)
                if not np.isfinite(rating):
                    at = -1
            elif field == _CONTEXT:
                at = skip_map(values, at, end, entries, id_bytes, bits)
            else:
                start, stop = read_string(values, at, end)
                most = text_bytes if field == _TEXT else id_bytes
                at = stop
                if start < 0 or stop - start > most or not is_utf8(values, start, stop):
                    at = -1
                elif field == _USER:
                    if not same_bytes(
                        values, start, stop, values, spans.key_starts[i], spans.key_ends[i]
                    ):
                        at = -1
                elif field == _ACTION:
                    action_start, action_end = start, stop
                elif field == _ITEM:
                    item_start, item_end = start, stop
                elif field == _EVENT:
                    event = hash_bytes(values, start, stop)
                    if start == stop:
                        at = -1
            if at < 0:
                break
            if field >= 0:
                met |= 1 << field
        # As the decoder bounds it: by the record's own time, and by our clock.
        latest = min(spans.timestamps[i], now_ms) if spans.timestamps[i] > 0 else now_ms
        if at != end or met & _NEEDED != _NEEDED or not 0 < ts <= latest + skew_ms:
            continue
        if spans.key_starts[i] < 0 or spans.key_starts[i] == spans.key_ends[i]:
            continue
        plain[i] = True
        action_starts[i], action_ends[i] = action_start, action_end
        item_starts[i], item_ends[i] = item_start, item_end
        all_ts[i] = ts
        ratings[i] = rating
        events[i] = event
