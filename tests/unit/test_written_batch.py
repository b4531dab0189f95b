"""Record batches written from columns, read back by aiokafka."""

from __future__ import annotations

import numpy as np
import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from store.batch import Pairs
from streams.written_batch import WrittenBatch, write_batches

NOW = 1_750_000_000_000


def pairs_of(found: list[tuple[bytes, bytes]]) -> Pairs:
    parts = [part for pair in found for part in pair]
    bounds = np.cumsum([0, *map(len, parts)])
    return Pairs(np.frombuffer(b"".join(parts), np.uint8), bounds)


def read_back(batch: WrittenBatch) -> list[tuple[bytes | None, bytes | None]]:
    """As a broker and a consumer would."""
    raw = bytes(batch._build())  # noqa: SLF001 # as the producer calls it
    records = MemoryRecords(raw)
    header = records.next_batch()
    assert header is not None
    assert not records.has_next()
    assert header.validate_crc()
    assert (header.magic, header.base_offset, header.first_timestamp) == (2, 0, NOW)
    assert (header.max_timestamp, header.next_offset) == (NOW, batch.record_count())
    assert (header.producer_id, header.is_control_batch, header.compression_type) == (-1, False, 0)
    found = list(header)
    assert [record.offset for record in found] == list(range(len(found)))
    assert {record.timestamp for record in found} == {NOW}
    assert all(not record.headers for record in found)
    assert batch.size() == len(raw)
    assert batch.closed()
    return [(record.key, record.value) for record in found]


some_bytes = st.binary(max_size=70) | st.binary(min_size=120, max_size=140)


@given(st.lists(st.tuples(some_bytes, some_bytes), min_size=1, max_size=200), st.integers(1, 4_000))
def test_all_pairs_come_back_in_their_order(found: list[tuple[bytes, bytes]], most: int) -> None:
    batches = write_batches(pairs_of(found), NOW, most)
    assert [pair for batch in batches for pair in read_back(batch)] == found
    for batch in batches:
        assert batch.size() <= most or batch.record_count() == 1


@pytest.mark.parametrize("size", [63, 64, 8_191, 8_192, 1_048_575, 1_048_576, 3_000_000])
def test_lengths_at_which_their_own_length_changes(size: int) -> None:
    found = [(b"k", bytes(size)), (b"l", b"short")]
    (batch,) = write_batches(pairs_of(found), NOW, 4_000_000)
    assert read_back(batch) == found


def test_more_records_than_fit_a_short_delta() -> None:
    found = [(b"%d" % n, b"") for n in range(20_000)]
    (batch,) = write_batches(pairs_of(found), NOW, 4_000_000)
    assert read_back(batch) == found
