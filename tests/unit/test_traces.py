"""Actions that somebody follows: found by their header, told of at every stage, passed on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from pipeline_rig import ERA, Rig, search
from store_fakes import FakeRecord
from streams_fakes import NOW, action_record, asynchronous

from store.batch import Pairs
from streams.batches import Inbound
from streams.chunk import RecordChunk
from streams.record_batch import BatchReader
from streams.records import OutPairs, OutRecord
from streams.traces import TRACEPARENT, traced_actions, with_headers
from tidemark.tracing import ActionTraces, index_traces, tracer_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FOLLOWED = f"00-{TRACE}-{SPAN}-01"
NOT_CHOSEN = f"00-{TRACE}-{SPAN}-00"
#: By the standard no trace at all.
NO_TRACE = f"00-{'0' * 32}-{SPAN}-01"


def fetched(*records: tuple[bytes, bytes | None, dict[str, str]], first: int = 0) -> RecordChunk:
    """As a broker sends them: key, value and headers each."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for place, (key, value, headers) in enumerate(records):
        pairs = [(name, text.encode()) for name, text in headers.items()]
        assert builder.append(place, NOW, key, value, pairs) is not None
    raw = memoryview(bytes(builder.build()))
    reader = BatchReader(first)
    reader.add(raw, DefaultRecordBatch(bytes(raw)))
    return reader.take(first)


def inbound(records: Any) -> Inbound:
    return Inbound("actions", 3, records, lambda: None, ERA, 0, arrived=5.0)


def test_the_header_is_found_among_others() -> None:
    chunk = fetched(
        (b"ann", b"one", {}),
        (b"bob", b"two", {"a": "b", TRACEPARENT: FOLLOWED, "tracestate": "x=y"}),
        (b"cid", None, {TRACEPARENT: NOT_CHOSEN}),
    )
    for records in (chunk, chunk[1:], chunk[1:].alone(), RecordChunk.joined([chunk, chunk])[:3]):
        found = list(traced_actions([inbound(records)]))
        assert [(one.offset, one.key, one.parent) for one in found] == [
            (1, b"bob", FOLLOWED), (2, b"cid", NOT_CHOSEN),
        ]  # fmt: skip
    assert (found[0].topic, found[0].partition, found[0].arrived) == ("actions", 3, 5.0)


def test_words_that_look_like_it_and_records_not_asked_for_are_not_taken_for_it() -> None:
    words = b"\x16traceparent\x6e" + FOLLOWED.encode()
    assert list(traced_actions([inbound(fetched((b"ann", words, {}), (words, b"x", {})))])) == []
    chunk = fetched((b"ann", b"one", {TRACEPARENT: FOLLOWED}), (b"bob", b"two", {}), first=1)
    assert [one.offset for one in chunk] == [1]
    assert list(traced_actions([inbound(chunk)])) == []


@pytest.mark.parametrize("followed", ["", "a", "c", "e", "ae", "bcd", "abcde"])
def test_records_keep_their_order_where_some_get_a_header(followed: str) -> None:
    pieces = [b"a", b"1", b"b", b"22", b"c", b"333", b"d", b"4", b"e", b"5"]
    bounds = np.cumsum([0, *map(len, pieces)])
    pairs = Pairs(np.frombuffer(b"".join(pieces), np.uint8), bounds)
    headers = {(2, key.encode()): b"h" + key.encode() for key in followed}
    out: list[OutRecord] = []
    for one in with_headers(OutPairs("profiles", 2, pairs), headers):
        out += one.listed() if isinstance(one, OutPairs) else [one]
    assert [(one.key, one.value) for one in out] == pairs.listed()
    assert {(one.partition, one.key): one.headers[0][1] for one in out if one.headers} == headers


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@asynchronous
async def test_an_action_is_followed_from_its_record_to_the_profiles() -> None:
    spans = InMemorySpanExporter()
    tracer = tracer_of(SimpleSpanProcessor(spans), "worker")
    rig = Rig(traces=ActionTraces(tracer))
    wrong = action_record("bob", action="view", item_id="nowhere").value
    chunk = fetched(
        (b"ann", search("ann").value, {TRACEPARENT: FOLLOWED}),
        (b"bob", wrong, {TRACEPARENT: FOLLOWED.replace(SPAN, "11" * 8)}),
        (b"cid", search("cid").value, {TRACEPARENT: NOT_CHOSEN}),
        (b"dan", search("dan").value, {TRACEPARENT: NO_TRACE}),
    )
    await rig.process(inbound(chunk))
    done = spans.get_finished_spans()
    ann, bob = [one for one in done if one.name == "process action"]
    assert f"{ann.context.trace_id:032x}" == TRACE
    assert f"{ann.parent.span_id:016x}" == SPAN  # type: ignore[union-attr] # it has one
    assert ann.attributes["messaging.kafka.offset"] == 0  # type: ignore[index] # it has some
    stages = [one for one in done if one.parent and one.parent.span_id == ann.context.span_id]
    assert [one.name for one in stages] == ["wait", "prepare", "fold", "publish"]
    times = [time for one in stages for time in (one.start_time, one.end_time)]
    assert times == sorted(times)  # type: ignore[type-var] # all ended
    assert (bob.status.status_code, bob.status.description) == (
        StatusCode.ERROR, "dead letter: unknown_item",
    )  # fmt: skip
    headers = {one.key: dict(one.headers) for one in rig.outbox.records("profiles")}
    passed_on = f"00-{TRACE}-{ann.context.span_id:016x}-01"
    assert headers == {b"ann": {TRACEPARENT: passed_on.encode()}, b"cid": {}, b"dan": {}}


def test_the_index_goes_on_with_the_trace(spans: InMemorySpanExporter) -> None:
    told = index_traces(tracer_of(SimpleSpanProcessor(spans), "retrieval"))
    told([
        FakeRecord("profiles", b"ann", b"x", ((TRACEPARENT, FOLLOWED.encode()),), offset=7),
        FakeRecord("profiles", b"bob", b"x", ((TRACEPARENT, b"\xff nonsense"),)),
        FakeRecord("profiles", b"cid", b"x"),
        FakeRecord("profiles", b"eve", b"x", ((TRACEPARENT, NO_TRACE.encode()),)),
        FakeRecord("profiles", b"dan", b"x", ((TRACEPARENT, NOT_CHOSEN.encode()),)),
    ])  # fmt: skip
    (span,) = spans.get_finished_spans()
    assert span.name == "index profile"
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.attributes["messaging.kafka.offset"] == 7  # type: ignore[index] # it has some
