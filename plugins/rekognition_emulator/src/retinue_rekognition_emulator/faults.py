"""Intentional faults: quotas, latency, failures."""

import time
from collections import defaultdict, deque
from dataclasses import dataclass
from threading import Lock
from typing import Literal

VIDEO_OPERATIONS = (
    "LabelDetection",
    "FaceDetection",
    "FaceSearch",
    "ContentModeration",
    "CelebrityRecognition",
    "TextDetection",
    "SegmentDetection",
)
"""The pairs of operations on stored videos, without Start and Get."""

START_PER_SECOND = 5.0
"""Quota of each Start operation ("Guidelines and quotas in Amazon Rekognition")."""

GET_PER_SECOND = 20.0
"""Quota of each Get operation in us-east-1, us-west-2 and eu-west-1. Elsewhere it is 5."""


class AwsError(Exception):
    """An error in AWS's words."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class Failure:
    """A failed answer.

    Attributes:
        code: An error code; or ``reset`` (the connection breaks), ``garbage`` (a page of HTML) or
            ``cut`` (half an answer), or ``hang`` (no answer for a while).
        message: The error's message.
        status: The HTTP status.
        seconds: How long to hang.
        headers: More headers.
        took_effect: Whether the operation takes effect, and only its answer is lost.
    """

    code: str
    message: str = "as the test wants it"
    status: int = 400
    seconds: float = 5.0
    headers: tuple[tuple[str, str], ...] = ()
    took_effect: bool = False


@dataclass(frozen=True)
class ObjectFault:
    """The reason why an object can't be read from S3. Rekognition returns InvalidS3ObjectException.

    Attributes:
        code: GetObject's error code; ``None`` if S3 serves it.
        status: GetObject's status.
        head_status: HeadObject's status, whose answer has no code.
        headers: More headers of HeadObject's answer.
    """

    code: str | None = "AccessDenied"
    status: int = 403
    head_status: int = 403
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class JobFault:
    """The fate of a job on a video.

    Attributes:
        message: The job's StatusMessage.
        at: When it happens, as a share of the job's duration.
        notified: The status in the completion message.
        vanishes: Whether the job doesn't fail but is unknown from then on. It sends no message.
    """

    message: str = "The video could not be processed."
    at: float = 0.5
    notified: Literal["FAILED", "ERROR"] = "FAILED"
    vanishes: bool = False


@dataclass(frozen=True)
class MessageFault:
    """The fate of a job's completion message.

    Attributes:
        kind: ``lost``; ``late`` (some seconds after the end); ``doubled``; ``early`` (when the job
            starts); or ``foreign`` (a message about a job of another program comes first).
        seconds: How late.
    """

    kind: Literal["lost", "late", "doubled", "early", "foreign"]
    seconds: float = 60.0


class TokenBucket:
    """A quota: a number of requests per second, with a burst of some seconds' worth."""

    def __init__(self, requests_per_second: float, burst_seconds: float = 1.0) -> None:
        self.requests_per_second = requests_per_second
        self.burst = max(1.0, requests_per_second * burst_seconds)
        self._tokens = self.burst
        self._since = time.monotonic()

    def take(self) -> bool:
        """Return whether another request is within the quota."""
        now = time.monotonic()
        self._tokens += (now - self._since) * self.requests_per_second
        self._tokens, self._since = min(self._tokens, self.burst), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Faults:
    """The settings of faults. They can be changed while the endpoint serves."""

    def __init__(self) -> None:
        self.latency_ms = 0.0
        self.throttling_code = "ProvisionedThroughputExceededException"
        self.accepted_key_ids: frozenset[str] | None = None
        self.head_object_status: int | None = None
        self.bucket_region = "us-east-1"
        self.objects: dict[str, ObjectFault] = {}
        self._lock = Lock()
        self._quotas: dict[str, tuple[float, float]] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self._failures: defaultdict[str, deque[Failure]] = defaultdict(deque)
        self._always: dict[str, Failure] = {}
        self._jobs: deque[JobFault | None] = deque()
        self._messages: deque[MessageFault | None] = deque()
        self._refused_tokens = 0

    def set_quota(
        self, requests_per_second: float, operation: str = "*", burst_seconds: float = 1.0
    ) -> None:
        """Limit an operation, or each operation by itself, even while it is in use."""
        with self._lock:
            self._quotas[operation] = (requests_per_second, burst_seconds)
            self._buckets.clear()

    def set_video_quotas(self) -> None:
        """Limit the operations on videos as Amazon does in the large regions."""
        for name in VIDEO_OPERATIONS:
            self.set_quota(START_PER_SECOND, f"Start{name}")
            self.set_quota(GET_PER_SECOND, f"Get{name}")

    def fail_next(self, operation: str, *failures: Failure) -> None:
        """Fail the next calls of an operation, or of any with ``*``, one error each."""
        with self._lock:
            self._failures[operation].extend(failures)

    def fail_always(self, operation: str, failure: Failure | None) -> None:
        """Fail all calls of an operation, or of any with ``*``. ``None`` ends it."""
        with self._lock:
            self._always.pop(operation, None)
            if failure is not None:
                self._always[operation] = failure

    def next_failure(self, operation: str) -> Failure | None:
        """Return the failure of the next call of an operation, if any."""
        with self._lock:
            for name in (operation, "*"):
                if self._failures[name]:
                    return self._failures[name].popleft()
                if name in self._always:
                    return self._always[name]
        return None

    def disturb_next_jobs(self, *faults: JobFault | None) -> None:
        """Inject these faults into the next jobs, one each. ``None`` leaves a job alone."""
        with self._lock:
            self._jobs.extend(faults)

    def next_job_fault(self) -> JobFault | None:
        """Return the fate of the next job, if any."""
        with self._lock:
            return self._jobs.popleft() if self._jobs else None

    def disturb_next_messages(self, *faults: MessageFault | None) -> None:
        """Inject these faults into the completion messages of the next jobs, one each."""
        with self._lock:
            self._messages.extend(faults)

    def next_message_fault(self) -> MessageFault | None:
        """Return the fate of the next job's completion message, if any."""
        with self._lock:
            return self._messages.popleft() if self._messages else None

    def refuse_next_tokens(self, count: int = 1) -> None:
        """Refuse the pagination tokens of the next requests that have one, in mid-read."""
        with self._lock:
            self._refused_tokens = count

    def refuses_token(self) -> bool:
        """Return whether the pagination token of this request is refused."""
        with self._lock:
            refused = self._refused_tokens > 0
            self._refused_tokens -= refused
            return refused

    def check_quota(self, operation: str) -> None:
        """Take a token of the operation's own bucket."""
        with self._lock:
            quota = self._quotas.get(operation) or self._quotas.get("*")
            if quota is None:
                return
            if operation not in self._buckets:
                self._buckets[operation] = TokenBucket(*quota)
            if not self._buckets[operation].take():
                raise AwsError(self.throttling_code, "Provisioned rate exceeded")
