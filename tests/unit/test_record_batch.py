"""Kafka's record batches read into columns, beside what aiokafka reads of the same bytes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import example, given
from hypothesis import strategies as st

from streams import record_batch
from streams.chunk import ChunkRecord, RecordChunk
from streams.errors import StreamsError
from streams.fetching import hand_over_chunks
from streams.record_batch import BatchReader

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
_ATTRIBUTES_AT, _CRC_AT, _CRC_FROM = 22, slice(17, 21), 21
rows = st.lists(
    st.tuples(
        st.integers(0, 2**41),
        st.none() | st.binary(max_size=80),
        st.none() | st.binary(max_size=200),
        st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=2),
    ),
    min_size=1,
    max_size=20,
)


def batch_of(found: Sequence[Row], compression: int = NONE, base: int = 0) -> bytes:
    """As a producer writes it and a broker keeps it."""
    builder = DefaultRecordBatchBuilder(2, compression, 0, -1, -1, -1, 1 << 20)
    for number, (timestamp, key, value, headers) in enumerate(found):
        builder.append(number, timestamp, key, value, headers)
    return base.to_bytes(8, "big") + bytes(builder.build())[8:]


def plain(count: int, base: int = 0) -> bytes:
    return batch_of([(n, b"k%d" % n, b"v" * n, []) for n in range(count)], base=base)


def by_aiokafka(raw: bytes) -> list[ChunkRecord]:
    return [ChunkRecord(r.offset, r.timestamp, r.key, r.value) for r in header_of(raw)]


def header_of(raw: bytes) -> DefaultRecordBatch:
    batch = MemoryRecords(raw).next_batch()
    assert isinstance(batch, DefaultRecordBatch)
    return batch


def read(*batches: bytes, first: int = 0) -> RecordChunk:
    reader = BatchReader(0)
    for raw in batches:
        reader.add(memoryview(raw), header_of(raw))
    return reader.take(first)


@given(rows, st.integers(NONE, ZSTD), st.integers(0, 2**40))
@example([(2**41, None, None, []), (0, b"", b"", [("", None)])], NONE, 2**62)
def test_a_batch_is_read_as_aiokafka_reads_it(
    found: list[Row], compression: int, base: int
) -> None:
    raw = batch_of(found, compression, base)
    assert list(read(raw)) == by_aiokafka(raw)


@given(st.lists(rows, min_size=1, max_size=4))
def test_several_batches_become_one_chunk(batches: list[list[Row]]) -> None:
    raws, base = [], 5
    for number, found in enumerate(batches):
        raws.append(batch_of(found, number % 5, base))
        base += len(found)
    assert list(read(*raws)) == [record for raw in raws for record in by_aiokafka(raw)]


def test_what_lies_before_the_offset_asked_for_is_left_out() -> None:
    assert [record.offset for record in read(plain(5, 10), first=12)] == [12, 13, 14]
    assert len(read(plain(5, 10), first=15)) == 0


def test_a_topic_with_the_brokers_time_gives_it_to_every_record() -> None:
    raw = bytearray(plain(3))
    raw[_ATTRIBUTES_AT] |= 0x08
    found = read(bytes(raw))
    assert [record.timestamp for record in found] == [2, 2, 2]
    assert list(found) == by_aiokafka(bytes(raw))


@given(st.data())
def test_damaged_records_are_refused_or_read_and_nothing_else(data: st.DataObject) -> None:
    raw = bytearray(plain(4))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(57, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(61, len(raw)))])
    reader = BatchReader(0)
    try:
        reader.add(memoryview(cut), header_of(plain(4)))
    except CorruptRecordException:
        assert len(reader) == 0
    else:
        for record in reader.take(-(2**62)):
            assert len(record.key or b"") + len(record.value or b"") <= len(cut)


def test_a_compression_that_nobody_knows_is_named() -> None:
    raw = bytearray(plain(1))
    raw[_ATTRIBUTES_AT] |= 0x07
    with pytest.raises(UnsupportedCodecError, match="compressed by 7"):
        read(bytes(raw))


# As a consumer is given them


class FakeConsumer:
    """As much of aiokafka's consumer as choosing needs."""

    _isolation_level = "read_uncommitted"
    _key_deserializer: Any = None
    _max_poll_records = 500


def chunks_of(raw: bytes, *, most: int = 100, begin: int = 0) -> Any:
    """The fetcher's iterator over a response for one partition."""
    consumer = FakeConsumer()
    hand_over_chunks(consumer, most, 8)
    assert consumer._max_poll_records == 8  # noqa: SLF001
    return fetcher.PartitionRecords(
        TopicPartition("a", 0), fetcher.MemoryRecords(raw), [], begin,
        consumer._key_deserializer, None, True, 0,  # noqa: SLF001
    )  # fmt: skip


def offsets(chunk: RecordChunk) -> list[int]:
    return [record.offset for record in chunk]


def control_batch(base: int) -> bytes:
    raw = bytearray(batch_of([(0, b"\0\0\0\1", b"\0\0\0\0\0\0", [])], base=base))
    raw[_ATTRIBUTES_AT] |= 0x20
    raw[_CRC_AT] = crc_of(raw)
    return bytes(raw)


def crc_of(raw: bytearray) -> bytes:
    from aiokafka.record.util import calc_crc32c  # noqa: PLC0415

    return int(calc_crc32c(bytes(raw[_CRC_FROM:]))).to_bytes(4, "big")


def test_chunks_are_of_several_batches_and_of_parts_of_one() -> None:
    found = chunks_of(plain(3) + plain(3, 3) + plain(3, 6), most=5)
    assert offsets(next(found)) == [0, 1, 2]  # of six, and at most five: equal parts
    assert found.next_fetch_offset == 3
    assert offsets(next(found)) == [3, 4, 5]
    assert found.next_fetch_offset == 6
    assert offsets(next(found)) == [6, 7, 8]
    assert list(found) == []
    assert found.next_fetch_offset == 9


def test_reading_goes_on_after_what_compaction_left_of_a_batch() -> None:
    raw = bytearray(plain(3))
    raw[23:27] = (9).to_bytes(4, "big")  # the last offset delta stays that of the whole batch
    raw[_CRC_AT] = crc_of(raw)
    found = chunks_of(bytes(raw), most=2)
    assert [offsets(chunk) for chunk in found] == [[0], [1, 2]]
    assert found.next_fetch_offset == 10


def test_reading_begins_in_the_middle_of_a_batch() -> None:
    found = chunks_of(plain(5, 10), begin=13)
    assert [offsets(chunk) for chunk in found] == [[13, 14]]
    assert found.next_fetch_offset == 15


def empty_batch(base: int, last: int) -> bytes:
    """What compaction leaves of a batch whose records are all gone: it keeps the last offset."""
    raw = bytearray(plain(1, base)[:61])
    raw[8:12] = (len(raw) - 12).to_bytes(4, "big")
    raw[23:27] = (last - base).to_bytes(4, "big")
    raw[57:61] = bytes(4)
    raw[_CRC_AT] = crc_of(raw)
    return bytes(raw)


@pytest.mark.parametrize(
    ("batches", "begin", "expected", "position"),
    [
        ([plain(2), control_batch(2), plain(2, 3), control_batch(5)], 0, [[0, 1, 3, 4]], 6),
        ([control_batch(2)], 2, [], 3),
        ([empty_batch(5, 9)], 5, [], 10),
        ([empty_batch(5, 9)], 7, [], 10),
        ([plain(2), control_batch(2), empty_batch(3, 6)], 0, [[0, 1]], 7),
        ([plain(5), empty_batch(5, 9)], 0, [[0, 1, 2, 3, 4]], 10),
        ([plain(2), empty_batch(2, 6), plain(2, 7)], 0, [[0, 1, 7, 8]], 9),
    ],
)
def test_batches_without_records_are_passed_over(
    batches: list[bytes], begin: int, expected: list[list[int]], position: int
) -> None:
    """Else the same fetch would come again and again."""
    found = chunks_of(b"".join(batches), most=5, begin=begin)
    assert [offsets(chunk) for chunk in found] == expected
    assert found.next_fetch_offset == position


def poll(found: Any, begin: int = 0) -> tuple[list[RecordChunk], int]:
    """As a consumer polls: what it gets, and its position then."""
    state = SimpleNamespace(position=begin, has_valid_position=True, paused=False)
    state.consumed_to = lambda position: setattr(state, "position", position)
    assignment = SimpleNamespace(
        active=True, state_value=lambda _: state, tps={TopicPartition("a", 0)}
    )
    result = fetcher.FetchResult(
        TopicPartition("a", 0), assignment=assignment, partition_records=found, backoff=0
    )
    return result.getall(8), state.position


def test_what_stands_before_a_damaged_batch_is_handed_over_first() -> None:
    damaged = bytearray(plain(2, 2))
    damaged[-1] ^= 1
    chunks, position = poll(chunks_of(plain(2) + bytes(damaged)))
    assert [offsets(chunk) for chunk in chunks] == [[0, 1]]
    assert position == 2
    with pytest.raises(CorruptRecordException, match=r"a-0, offset 2: .*checksum.*reset-offsets"):
        poll(chunks_of(bytes(damaged), begin=2), 2)


@pytest.mark.parametrize("compression", [GZIP, SNAPPY, LZ4, ZSTD])
def test_what_cannot_be_decompressed_is_damaged(compression: int) -> None:
    raw = bytearray(batch_of([(0, b"k", b"v" * 100, [])], compression))
    raw[61:] = bytes(len(raw) - 61)
    raw[_CRC_AT] = crc_of(raw)
    with pytest.raises(CorruptRecordException, match="cannot be decompressed"):
        list(chunks_of(bytes(raw)))


@given(st.integers(GZIP, ZSTD), st.data())
def test_damaged_compressed_records_are_refused_or_read_and_nothing_else(
    compression: int, data: st.DataObject
) -> None:
    whole = batch_of([(n, b"k%d" % n, b"v" * n, []) for n in range(40)], compression)
    raw = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(61, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(61, len(raw)))])
    reader = BatchReader(0)
    try:
        reader.add(memoryview(cut), header_of(whole))
    except CorruptRecordException:
        assert len(reader) == 0
    else:
        assert len(reader) == 40


def test_want_of_memory_is_not_taken_for_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the operator would be told to move past records that are well."""

    def decode(_: bytes) -> bytes:
        raise MemoryError

    monkeypatch.setitem(record_batch._CODECS, ZSTD, ("zstd", lambda: True, decode))  # noqa: SLF001
    with pytest.raises(MemoryError):
        list(chunks_of(batch_of([(0, b"k", b"v", [])], ZSTD)))


def test_a_part_of_a_large_batch_keeps_no_more_than_its_own_bytes() -> None:
    raw = batch_of([(n, b"k%d" % n, b"v" * 1_000, []) for n in range(10)])
    whole, parts = list(chunks_of(raw)), list(chunks_of(raw, most=2))
    assert [record for part in parts for record in part] == list(whole[0])
    assert len(parts) == 5
    assert all(part.size < 2_100 for part in parts)


def test_a_chunk_of_nulls_stands_alone_too() -> None:
    chunk = RecordChunk.of([ChunkRecord(7, 1, None, None)])
    assert list(chunk.alone()) == list(chunk)
    assert chunk.alone().size == 0


def test_a_batch_that_was_cut_off_is_left_for_the_next_fetch() -> None:
    found = chunks_of(plain(2) + plain(2, 2)[:-1])
    assert [offsets(chunk) for chunk in found] == [[0, 1]]
    assert found.next_fetch_offset == 2


def test_the_formats_before_are_read_too() -> None:
    builder = LegacyRecordBatchBuilder(1, NONE, 1 << 20)
    for offset in range(3):
        builder.append(offset, 7, b"k", b"%d" % offset)
    found = chunks_of(bytes(builder.build()), begin=1)
    assert [list(chunk) for chunk in found] == [
        [ChunkRecord(1, 7, b"k", b"1"), ChunkRecord(2, 7, b"k", b"2")],
    ]
    assert found.next_fetch_offset == 3


def test_records_without_a_time_are_read() -> None:
    builder = LegacyRecordBatchBuilder(0, NONE, 1 << 20)
    builder.append(0, None, b"k", b"v")
    (chunk,) = chunks_of(bytes(builder.build()))
    assert list(chunk) == [ChunkRecord(0, -1, b"k", b"v")]


def test_another_version_of_aiokafka_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.fetching.aiokafka.__version__", "0.15.0")
    with pytest.raises(StreamsError, match=r"aiokafka 0\.15\.0 is installed; expected 0\.14\."):
        hand_over_chunks(FakeConsumer(), 1, 1)


def test_a_consumer_of_committed_transactions_is_refused() -> None:
    consumer = FakeConsumer()
    consumer._isolation_level = "read_committed"  # noqa: SLF001
    with pytest.raises(ValueError, match="aborted"):
        hand_over_chunks(consumer, 1, 1)


def test_consumers_that_did_not_choose_get_aiokafkas_records() -> None:
    found = fetcher.PartitionRecords(
        TopicPartition("a", 0), fetcher.MemoryRecords(plain(2)), [], 0, None, None, True, 0
    )
    assert [(record.topic, record.offset, record.key) for record in found] == [
        ("a", 0, b"k0"),
        ("a", 1, b"k1"),
    ]


# A chunk of any records


@given(st.lists(rows, min_size=1, max_size=4), st.booleans())
def test_chunks_are_joined_in_their_order(batches: list[list[Row]], as_list: bool) -> None:
    chunks = [read(batch_of(found)) for found in batches]
    given_ones = [list(chunk) if as_list else chunk for chunk in chunks]
    joined = RecordChunk.joined(given_ones)
    assert list(joined) == [record for chunk in chunks for record in chunk]


@given(rows)
def test_any_records_make_a_chunk(found: list[Row]) -> None:
    records = [ChunkRecord(n, row[0], row[1], row[2]) for n, row in enumerate(found)]
    chunk = RecordChunk.of(records)
    assert list(chunk) == records
    assert chunk[-1] == records[-1]
    assert list(chunk[1:]) == records[1:]


def test_no_records_make_an_empty_chunk() -> None:
    assert list(RecordChunk.of([])) == []
