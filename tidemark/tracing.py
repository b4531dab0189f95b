"""Traces of single actions, by OpenTelemetry: from the producer's header to the index.

A span's parent is what the header ``traceparent`` of its record names, and whether it is recorded
is what that header says: producers choose which actions are followed.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import (
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streams.traces import TRACEPARENT
from tidemark import __version__
from tidemark.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span, Tracer

    from store.record import Record
    from streams.errors import RejectedError
    from streams.traces import OpenTraces, Stages, TracedAction
    from tidemark.operator_settings import TracingSettings

__all__ = ["ActionTraces", "index_traces", "open_tracer", "tracer_of"]

_propagator = TraceContextTextMapPropagator()
#: Actions of a micro-batch that are followed: a producer may choose all of them.
_MOST = 1_000


@contextmanager
def open_tracer(settings: TracingSettings, process: str) -> Iterator[Tracer | None]:
    """What makes spans, and sends them meanwhile; None where tracing is off.

    Args:
        settings: of traces.
        process: ``worker`` or ``retrieval``.

    Raises:
        SettingsError: tracing is on and the packages for it are not installed.
    """
    if not settings.enabled:
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"tracing.enabled is true and {error.name} is not installed; install the extra: "
            "pip install 'tidemark[tracing]'"
        ) from error
    exporter = OTLPSpanExporter(settings.endpoint, timeout=settings.timeout_seconds)
    processor = BatchSpanProcessor(exporter)
    try:
        yield tracer_of(processor, process)
    finally:
        processor.shutdown()  # type: ignore[no-untyped-call] # in OpenTelemetry


def tracer_of(processor: SpanProcessor, process: str) -> Tracer:
    """A tracer whose spans go to a processor."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 # comes with the extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    about = {"service.name": f"tidemark-{process}", "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(about))
    provider.add_span_processor(processor)
    return provider.get_tracer("tidemark", __version__)


class ActionTraces:
    """`streams.traces.Traces` by OpenTelemetry."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, number: int, actions: Sequence[TracedAction]) -> OpenTraces:
        """See `streams.traces.Traces`."""
        return _Open(self._tracer, number, actions)


class _Open:
    def __init__(self, tracer: Tracer, number: int, actions: Sequence[TracedAction]) -> None:
        self._tracer = tracer
        self._to_wall = time.time_ns() - time.perf_counter_ns()
        self._spans: list[tuple[TracedAction, Span]] = []
        self.headers: dict[tuple[int, bytes], bytes] = {}
        for one in actions[:_MOST]:
            context = _valid(one.parent)
            if context is None:
                continue
            span = tracer.start_span(
                "process action",
                context,
                SpanKind.CONSUMER,
                {**_of_kafka(one.topic, one.partition, one.offset), "tidemark.batch": number},
                start_time=self._wall(one.arrived),
            )
            if not span.is_recording():  # its producer did not choose it
                continue
            self._spans.append((one, span))
            carrier: dict[str, str] = {}
            _propagator.inject(carrier, set_span_in_context(span))
            # Of several actions of a user one record comes: it is the first one's.
            self.headers.setdefault((one.partition, one.key), carrier[TRACEPARENT].encode())

    def end(self, stages: Stages, rejected: Mapping[tuple[str, int, int], RejectedError]) -> None:
        """See `streams.traces.OpenTraces`."""
        for one, span in self._spans:
            within = set_span_in_context(span)
            for name, (begun, ended) in (
                ("wait", (one.arrived, stages.prepare[0])),
                ("prepare", stages.prepare),
                ("fold", stages.fold),
                ("publish", stages.publish),
            ):
                self._tracer.start_span(name, within, start_time=self._wall(begun)).end(
                    self._wall(ended)
                )
            error = rejected.get((one.topic, one.partition, one.offset))
            if error is not None:
                # Not its words: they may be the user's.
                span.set_status(Status(StatusCode.ERROR, f"dead letter: {error.reason.value}"))
            span.end(self._wall(stages.publish[1]))

    def _wall(self, seconds: float) -> int:
        """Nanoseconds since the epoch, of seconds of `time.perf_counter`."""
        return int(seconds * 1e9) + self._to_wall


def index_traces(tracer: Tracer) -> Callable[[Sequence[Record]], None]:
    """For the follower: what was published for a followed action is retrievable now."""

    def on_retrievable(records: Sequence[Record]) -> None:
        now = time.time_ns()
        for record in records:
            for name, value in record.headers:
                context = None
                if name == TRACEPARENT and value is not None:
                    context = _valid(value.decode("ascii", "replace"))
                if context is not None:
                    tracer.start_span(
                        "index profile",
                        context,
                        SpanKind.CONSUMER,
                        _of_kafka(record.topic, record.partition, record.offset),
                        # the broker's clock may run ahead of ours
                        start_time=min(record.timestamp * 1_000_000, now),
                    ).end(now)

    return on_retrievable


def _valid(parent: str) -> Context | None:
    """The context that a header's value names; None where it names none, which began no trace."""
    context = _propagator.extract({TRACEPARENT: parent})
    return context if get_current_span(context).get_span_context().is_valid else None


def _of_kafka(topic: str, partition: int, offset: int) -> dict[str, Any]:
    """By OpenTelemetry's conventions for messaging."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(partition),
        "messaging.kafka.offset": offset,
    }
