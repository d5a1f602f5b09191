"""A traced worker tells a collector of each message, its tasks, their calls and the commit."""

import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from fakes.mp4 import video
from fakes.rig import Rig
from fakes.video_service import VideoLabels, VideoService
from fakes.waiting import eventually
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


def test_traces_lead_from_messages_to_commits_and_jobs_to_runs(
    rig: Rig, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VideoLabels, "service", VideoService())
    rig.upload("good.jpg")
    rig.upload("bad.jpg")
    rig.upload("clip.mp4", video(frames=1, rate=1))
    detectors = {"echo": {}, "hostile-invalid-image": {}, "video-labels": {}}
    with (
        exporting_traces(collector.url),  # possible once in a process
        rig.running(detectors, traces_endpoint=collector.url),
    ):
        eventually(lambda: len(rig.runs()) == 5)
        rig.wait_until_empty()
    messages = {span.span_id: span for span in collector.named("message")}
    assert len(messages) == 3
    tasks = {span.span_id: span for span in collector.named("task")}
    assert {span.parent_span_id for span in tasks.values()} == set(messages)
    assert {span.parent_span_id for span in collector.named("commit")} == set(messages)
    told = {(a["retinue.detector"], a["retinue.outcome"]) for a in map(attributes, tasks.values())}
    assert told == {
        ("echo", "succeeded"),
        ("hostile-invalid-image", "failed"),
        ("video-labels", "job"),
    }
    calls = collector.named("call")
    assert {span.parent_span_id for span in calls} < set(tasks)
    failed = [span for span in calls if span.status.code == 2]
    assert len(failed) == 2
    assert {event.name for span in failed for event in span.events} == {"exception"}

    [wanted] = [
        task for task in map(attributes, tasks.values()) if task["retinue.outcome"] == "job"
    ]
    steps = {span.span_id: attributes(span) for span in collector.named("job")}
    for name in ("retinue.detector", "retinue.image_id", "retinue.uri"):
        assert {step[name] for step in steps.values()} == {wanted[name]}
    inside = [span for name in ("start", "look", "finish") for span in collector.named(name)]
    assert {span.name for span in inside} == {"start", "look", "finish"}
    assert {span.parent_span_id for span in inside} <= set(steps)
    [finish] = collector.named("finish")
    assert attributes(finish)["retinue.outcome"] == "succeeded"
    of_images = {span.trace_id for span in messages.values()}
    of_jobs = {span.trace_id for span in collector.named("job")}
    assert {span.trace_id for span in collector.spans} == of_images | of_jobs


def test_a_worker_without_the_extra_says_what_to_install(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "retinue_workers.dispatch.tracing", None)
    with pytest.raises(ConfigurationError, match=r"install retinue-workers\[tracing\]"):
        memory_rig.worker({"echo": {}}, traces_endpoint="http://127.0.0.1:9").start()
