"""One action, followed through real processes to a collector that speaks OTLP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from system_helpers import Deployment, wait_until

from streams.schema import Item

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


class Collector:
    """Keeps the spans that it is sent, by the service that sent them."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    about = {
                        one.key: one.value.string_value for one in resource.resource.attributes
                    }
                    collector.spans += [
                        (about["service.name"], span)
                        for scope in resource.scope_spans
                        for span in scope.spans
                    ]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def of(self, trace_id: int) -> dict[str, tuple[str, Span]]:
        wanted = trace_id.to_bytes(16, "big")
        return {span.name: (of, span) for of, span in self.spans if span.trace_id == wanted}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    thread.join()


def test_an_action_is_followed_to_the_index(deployment: Deployment, collector: Collector) -> None:
    traced = {
        "TIDEMARK_TRACING__ENABLED": "true",
        "TIDEMARK_TRACING__ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    deployment.publish_items([Item(item_id="1", title="Alien")])
    with deployment.worker(**traced) as worker, deployment.retrieval(**traced) as client:
        with deployment.actions() as actions:
            with TracerProvider().get_tracer("shop").start_as_current_span("click") as click:
                actions.publish("ann", "view", item_id="1")
            actions.publish("ben", "view", item_id="1")
        trace_id = click.get_span_context().trace_id
        wait_until(lambda: "index profile" in collector.of(trace_id), check=worker.check)
        wait_until(lambda: client.get("/v1/status").json()["profiles"] == 2, check=worker.check)
        wait_until(lambda: "process action" in collector.of(trace_id), check=worker.check)
    found = collector.of(trace_id)
    stages = {"process action", "wait", "prepare", "fold", "publish"}
    assert found.keys() == {*stages, "index profile"}
    assert {of for name, (of, _) in found.items() if name in stages} == {"tidemark-worker"}
    process, indexed = found["process action"][1], found["index profile"][1]
    assert found["index profile"][0] == "tidemark-retrieval"
    assert process.parent_span_id == click.get_span_context().span_id.to_bytes(8, "big")
    assert indexed.parent_span_id == process.span_id
    assert process.start_time_unix_nano <= indexed.end_time_unix_nano
    # of the other, which carries no trace, nothing is told; nor are ids
    assert {span.trace_id for _, span in collector.spans} == {trace_id.to_bytes(16, "big")}
    assert not any("ann" in str(span) for _, span in collector.spans)
