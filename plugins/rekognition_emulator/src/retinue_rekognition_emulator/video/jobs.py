"""Jobs on stored videos, with AWS's life cycle, and their completion messages."""

import heapq
import itertools
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any, Literal

from retinue_rekognition_emulator.faults import AwsError, Faults, JobFault, MessageFault
from retinue_rekognition_emulator.video.header import Header
from retinue_rekognition_emulator.video.notifications import Publish

RESULT_SECONDS = 7 * 86_400.0
"""How long results, and client request tokens, are kept."""

UNSUPPORTED = "Unsupported codec/format."

Status = Literal["IN_PROGRESS", "SUCCEEDED", "FAILED"]


@dataclass(frozen=True)
class Content:
    """A video as a job sees it.

    Attributes:
        digest: Determines the findings. It is made of the object's size, header and ends.
        header: Its facts; ``None`` if Rekognition can't decode it.
    """

    digest: bytes
    header: Header | None


@dataclass(frozen=True)
class Job:
    """A job.

    Attributes:
        job_id: Its id.
        operation: The operation without Start, for example ``LabelDetection``.
        request: The request that started it.
        content: The video.
        started_at: When it started, in seconds of the store's clock.
        ends_at: When it ends.
        failure: Its StatusMessage if it fails.
        vanishes: Whether it is unknown from its end on.
        found: The value that the operation stored when the job started.
    """

    job_id: str
    operation: str
    request: dict[str, Any]
    content: Content
    started_at: float
    ends_at: float
    failure: str | None = None
    vanishes: bool = False
    found: Any = None


@dataclass(order=True)
class _Message:
    due_at: float
    number: int
    topic: str = field(compare=False)
    body: str = field(compare=False)


class Jobs:
    """All jobs of the account. They are forgotten when the process ends.

    Args:
        faults: Decides the fate of jobs and messages.
        publish: Publishes completion messages.

    Attributes:
        clock: Returns the time, in seconds since the epoch. ``advance`` moves it.
        seconds_per_minute: Duration of a job for each minute of video.
        least_seconds: Duration of the shortest job.
        max_running: Maximum number of jobs under way, of all operations together ("Guidelines and
            quotas in Amazon Rekognition": 20).
        most_running: The most jobs that were ever under way.
        started: Number of jobs that were started by operation. Repeated tokens don't count.
        published: The last completion messages, as (topic, message).
    """

    def __init__(self, faults: Faults, publish: Publish | None = None) -> None:
        self.clock: Callable[[], float] = time.time
        self.seconds_per_minute = 2.0
        self.least_seconds = 0.5
        self.max_running = 20
        self.most_running = 0
        self.started: dict[str, int] = {}
        self.published: list[tuple[str, dict[str, Any]]] = []
        self._faults = faults
        self._publish = publish
        self._offset = 0.0
        self._jobs: dict[str, Job] = {}
        self._tokens: dict[tuple[str, str], Job] = {}
        self._outbox: list[_Message] = []
        self._numbers = itertools.count()
        self._changed = Condition()
        self._thread: Thread | None = None
        self._stopped = False

    def now(self) -> float:
        """Return the store's time."""
        return self.clock() + self._offset

    def advance(self, seconds: float) -> None:
        """Move the clock, and publish due messages before returning."""
        with self._changed:
            self._offset += seconds
        self._publish_due()

    def repeated(self, operation: str, request: dict[str, Any]) -> Job | None:
        """Return the job that a request with the same token has started.

        Raises:
            AwsError: The token was used with other parameters.
        """
        token = request.get("ClientRequestToken")
        with self._changed:
            self._forget_old()
            job = self._tokens.get((operation, token)) if token else None
        if job is not None and job.request != request:
            raise AwsError(
                "IdempotentParameterMismatchException",
                "The ClientRequestToken was used with other parameters.",
            )
        return job

    def start(
        self, operation: str, request: dict[str, Any], content: Content, found: Any = None
    ) -> Job:
        """Start a job, unless its token has started one.

        Raises:
            AwsError: Too many jobs are under way.
        """
        with self._changed:
            again = self.repeated(operation, request)
            if again is not None:
                return again
            running = self.running()
            if running >= self.max_running:
                raise AwsError(
                    "LimitExceededException",
                    f"{running} open Jobs for User 123456789012. Maximum limit: {self.max_running}",
                )
            job = self._new(operation, request, content, found)
            self._jobs[job.job_id] = job
            if token := request.get("ClientRequestToken"):
                self._tokens[operation, token] = job
            self.most_running = max(self.most_running, running + 1)
            self.started[operation] = self.started.get(operation, 0) + 1
            self._changed.notify_all()
        return job

    def get(self, operation: str, job_id: str) -> tuple[Job, Status]:
        """Return a job and its status.

        Raises:
            AwsError: It is unknown, of another operation, or older than seven days.
        """
        with self._changed:
            self._forget_old()
            job, now = self._jobs.get(job_id), self.now()
        if job is None or job.operation != operation or (job.vanishes and job.ends_at <= now):
            raise AwsError("ResourceNotFoundException", "Could not find JobId")
        if now < job.ends_at:
            return job, "IN_PROGRESS"
        return job, "SUCCEEDED" if job.failure is None else "FAILED"

    def running(self) -> int:
        """Return the number of jobs under way."""
        with self._changed:
            now = self.now()
            return sum(now < job.ends_at for job in self._jobs.values())

    def run(self) -> None:
        """Publish completion messages on a separate thread when they become due."""
        self._stopped = False
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop publishing. Messages that aren't due are lost."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _new(self, operation: str, request: dict[str, Any], content: Content, found: Any) -> Job:
        now, header = self.now(), content.header
        minutes = 0.0 if header is None else header.duration_ms / 60_000
        seconds = max(self.least_seconds, minutes * self.seconds_per_minute)
        failure = UNSUPPORTED if header is None or header.codec != "h264" else None
        fault = self._faults.next_job_fault()
        if fault is not None:
            seconds, failure = seconds * fault.at, fault.message
        job_id = secrets.token_hex(32)
        vanishes = fault is not None and fault.vanishes
        job = Job(job_id, operation, request, content, now, now + seconds, failure, vanishes, found)
        self._notify(job, fault, self._faults.next_message_fault())
        return job

    def _notify(self, job: Job, fault: JobFault | None, disturbed: MessageFault | None) -> None:
        channel = job.request.get("NotificationChannel")
        kind = None if disturbed is None else disturbed.kind
        if channel is None or job.vanishes or kind == "lost":
            return
        status = "SUCCEEDED" if job.failure is None else "FAILED"
        told = _message(job, status if fault is None else fault.notified)
        due = job.ends_at
        if disturbed is not None and kind == "late":
            due += disturbed.seconds
        elif kind == "early":
            due = job.started_at
        messages = [told, told] if kind == "doubled" else [told]
        if kind == "foreign":
            messages.insert(0, told | {"JobId": secrets.token_hex(32), "JobTag": "another-program"})
        for message in messages:
            one = _Message(due, next(self._numbers), channel["SNSTopicArn"], json.dumps(message))
            heapq.heappush(self._outbox, one)

    def _forget_old(self) -> None:
        oldest = self.now() - RESULT_SECONDS
        for job_id in [job.job_id for job in self._jobs.values() if job.ends_at <= oldest]:
            del self._jobs[job_id]
        for key in [key for key, job in self._tokens.items() if job.started_at <= oldest]:
            del self._tokens[key]

    def _run(self) -> None:
        while True:
            self._publish_due()
            with self._changed:
                if self._stopped:
                    return
                wait = self._outbox[0].due_at - self.now() if self._outbox else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)

    def _publish_due(self) -> None:
        while True:
            with self._changed:
                if not self._outbox or self._outbox[0].due_at > self.now():
                    return
                due = heapq.heappop(self._outbox)
                self.published = [*self.published[-999:], (due.topic, json.loads(due.body))]
            if self._publish is not None:
                self._publish(due.topic, due.body)


def _message(job: Job, status: str) -> dict[str, Any]:
    """Return the completion message. It has no version of the object, as at AWS."""
    where = job.request["Video"]["S3Object"]
    told = {
        "JobId": job.job_id,
        "Status": status,
        "API": f"Start{job.operation}",
        "Timestamp": int(job.ends_at * 1_000),
        "Video": {"S3ObjectName": where["Name"], "S3Bucket": where["Bucket"]},
    }
    return told | ({"JobTag": job.request["JobTag"]} if "JobTag" in job.request else {})
