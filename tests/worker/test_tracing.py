"""A traced worker tells a collector of each message, its tasks, their calls and the commit."""

import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from fakes.rig import Rig
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from retinue_sdk import ConfigurationError
from retinue_workers.dispatch.tracing import exporting_traces


class Collector:
    """A collector that takes OTLP over HTTP, and keeps the spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    collector = Collector()
    thread = Thread(target=collector.server.serve_forever)
    thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    thread.join()


def attributes(span: Span) -> dict[str, str]:
    return {entry.key: entry.value.string_value for entry in span.attributes}


def test_a_trace_leads_from_the_message_to_the_commit(rig: Rig, collector: Collector) -> None:
    rig.upload("good.jpg")
    rig.upload("bad.jpg")
    detectors = {"echo": {}, "hostile-invalid-image": {}}
    with exporting_traces(collector.url):
        rig.work_off(detectors, traces_endpoint=collector.url)
    messages = {span.span_id: span for span in collector.named("message")}
    assert len(messages) == 2
    tasks = {span.span_id: span for span in collector.named("task")}
    assert {span.parent_span_id for span in tasks.values()} == set(messages)
    assert {span.parent_span_id for span in collector.named("call")} == set(tasks)
    assert {span.parent_span_id for span in collector.named("commit")} == set(messages)
    assert {span.trace_id for span in collector.spans} == {m.trace_id for m in messages.values()}
    told = {(a["retinue.detector"], a["retinue.outcome"]) for a in map(attributes, tasks.values())}
    assert told == {("echo", "succeeded"), ("hostile-invalid-image", "failed")}
    failed = [span for span in collector.named("call") if span.status.code == 2]
    assert len(failed) == 2
    assert {event.name for span in failed for event in span.events} == {"exception"}


def test_a_worker_without_the_extra_says_what_to_install(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "retinue_workers.dispatch.tracing", None)
    with pytest.raises(ConfigurationError, match=r"install retinue-workers\[tracing\]"):
        memory_rig.worker({"echo": {}}, traces_endpoint="http://127.0.0.1:9").start()
