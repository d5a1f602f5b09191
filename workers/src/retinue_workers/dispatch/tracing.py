"""OpenTelemetry traces of the main path: message → task → call → commit; and of jobs' steps.

The classes here replace their base classes only if ``RETINUE_TRACES_ENDPOINT`` is set, so traces
cost nothing otherwise. No other module imports OpenTelemetry.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from retinue_history import JobRecord, OpenJob, RunRecord

from retinue_workers.detectors.encoding import FindingsEncoder
from retinue_workers.detectors.retry_policy import Answer
from retinue_workers.detectors.runner import DetectorRunner
from retinue_workers.dispatch.dispatcher import Dispatcher
from retinue_workers.dispatch.routing.router import Earlier, Peers
from retinue_workers.jobs.scheduler import JobScheduler, JobWork
from retinue_workers.recording.committer import Committer
from retinue_workers.work import Delivery, Message, Task, TaskResult

EXPORT_SECONDS = 2.0
"""Time limit of a call to the collector. A stop waits for one call."""

_tracer = trace.get_tracer("retinue_workers")


@contextmanager
def exporting_traces(endpoint: str) -> Iterator[None]:
    """Send spans to a collector inside the block, and the remaining spans at its end.

    Sampling, headers and batching are set by OpenTelemetry's own variables, such as
    ``OTEL_TRACES_SAMPLER``.

    Args:
        endpoint: URL of a collector that accepts OTLP over HTTP.
    """
    name = os.environ.get("OTEL_SERVICE_NAME", "retinue-worker")
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=EXPORT_SECONDS))
    )
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


class TracedDispatcher(Dispatcher):
    """A dispatcher with a span for each message and for each task."""

    async def handle(self, message: Message) -> None:
        """Process one message: events, tasks, results, commit, delete."""
        attributes: dict[str, str | int] = {
            "messaging.system": "aws_sqs",
            "messaging.message.id": message.message_id,
            "retinue.receive_count": message.receive_count,
        }
        with _tracer.start_as_current_span(
            "message", kind=SpanKind.CONSUMER, attributes=attributes
        ):
            await super().handle(message)

    async def _run(self, task: Task, peers: Peers, earlier: Earlier) -> TaskResult:
        attributes = {
            "retinue.detector": task.key.detector,
            "retinue.image_id": str(task.key.image_id),
            "retinue.uri": task.image.reference.uri,
        }
        with _tracer.start_as_current_span("task", attributes=attributes) as span:
            result = await super()._run(task, peers, earlier)
            if isinstance(result, JobRecord):
                span.set_attribute("retinue.outcome", "job")
            elif isinstance(result, RunRecord):
                span.set_attribute("retinue.outcome", result.outcome)
                span.set_attribute("retinue.error_code", result.error_code or "")
            else:
                span.set_attribute("retinue.outcome", "requeued")
            return result


class TracedJobScheduler(JobScheduler):
    """A scheduler with a span for each step of a job, and for the call and commit in it.

    A job's steps are traces of their own, because hours and workers can be between them. They and
    the task that wanted the job have the same detector and image id.
    """

    async def _take(self, job: OpenJob) -> None:
        attributes: dict[str, str | int] = {
            "retinue.detector": job.key.detector,
            "retinue.image_id": str(job.key.image_id),
            "retinue.uri": f"s3://{job.image.bucket}/{job.image.key}",
            "retinue.attempt": job.attempt,
            "retinue.provider_job_id": job.provider_job_id or "",
        }
        with _tracer.start_as_current_span("job", attributes=attributes):
            await super()._take(job)

    async def _start(self, work: JobWork) -> object:
        with _tracer.start_as_current_span("start", kind=SpanKind.CLIENT) as span:
            return _noted(span, await super()._start(work))

    async def _look(self, work: JobWork) -> object:
        with _tracer.start_as_current_span("look", kind=SpanKind.CLIENT) as span:
            return _noted(span, await super()._look(work))

    async def _finish(self, work: JobWork, run: RunRecord) -> None:
        attributes = {
            "retinue.outcome": run.outcome,
            "retinue.error_code": run.error_code or "",
        }
        with _tracer.start_as_current_span("finish", attributes=attributes):
            await super()._finish(work, run)


def _noted(span: trace.Span, value: object) -> object:
    """Record an error that a call returned."""
    if isinstance(value, Exception):
        span.record_exception(value)
        span.set_status(trace.StatusCode.ERROR)
    return value


class TracedRunner(DetectorRunner):
    """A runner with a span for each call, from the wait for a permit to the answer."""

    async def detect(self, task: Task, encoder: FindingsEncoder | None = None) -> Answer:
        """Call the detector for a task's image."""
        with _tracer.start_as_current_span("call", kind=SpanKind.CLIENT) as span:
            answer = await super().detect(task, encoder)
            _noted(span, answer.value)
            return answer


class TracedCommitter(Committer):
    """A committer with a span for each delivery: the wait for its group, and the transaction."""

    async def commit(self, delivery: Delivery) -> None:
        """Commit a delivery in a group."""
        with _tracer.start_as_current_span(
            "commit", attributes={"retinue.runs": len(delivery.runs)}
        ):
            await super().commit(delivery)
