"""The retry policy: what to do with a detector's answer about one image.

This is the table "Errors by what to do next" of docs/architecture.md, as one function.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

import structlog
from retinue_sdk import (
    ConfigurationError,
    DetectorNotReadyError,
    Findings,
    InvalidImageError,
    ObjectRefusedError,
    RetriableError,
)
from retinue_sdk.errors import format_error

from retinue_workers.detectors.errors import (
    DetectorCrashedError,
    DetectorTimeoutError,
    InvalidAnswerError,
    ShortageError,
)
from retinue_workers.limits.backoff import backoff_seconds, bounded, requeue_seconds
from retinue_workers.work import Requeue, Task

log = structlog.get_logger(__name__)

PROBE_SECONDS = 5.0
"""Wait before a detector that was not ready is called again, unless it gives a time itself."""

PROBES_PER_IMAGE = 5
"""How many calls about one image may hang while the detector is unresponsive, before the image is
blamed. Images take turns, so that takes as many calls about every image in flight."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of calling a detector about one image.

    Attributes:
        value: The findings, or why there are none.
        started_at: When the call began, in UTC.
        duration_ms: Milliseconds of the call for each of its images, without waiting.
        batch_size: How many images shared the call.
        is_unresponsive: Whether the detector has not answered several calls in a row.
        reserved_usd: What is reserved of the detector's budget for the image, in US dollars.
    """

    value: Findings | BaseException
    started_at: datetime
    duration_ms: float = 0.0
    batch_size: int = 1
    is_unresponsive: bool = False
    reserved_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Succeed:
    """Record the findings."""

    findings: Findings


@dataclass(frozen=True, slots=True)
class Fail:
    """Record a failed run. ``retryable``: another try with the same image could succeed."""

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Retry:
    """Call the detector again after ``after_seconds``, ``alone`` in a batch of its own.

    ``throttled``: the service refused the call because there were too many.
    """

    after_seconds: float
    reason: str
    alone: bool = False
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """The detector works for no image: stop receiving and call it after ``after_seconds``."""

    after_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Compare:
    """One image is to blame, or none: call again after ``after_seconds``, and others meanwhile."""

    after_seconds: float
    reason: str


Decision: TypeAlias = Succeed | Fail | Retry | Pause | Compare | Requeue


def decide(
    answer: Answer,
    task: Task,
    attempt: int,
    *,
    retrying_seconds: float,
    retry_window_seconds: float,
) -> Decision:
    """Decide what to do with an answer.

    Args:
        answer: The answer.
        task: Its task.
        attempt: How many times the detector has been called for the task; 1 or more.
        retrying_seconds: For how long the task has got nothing but retriable errors.
        retry_window_seconds: For how long retriable errors are retried inside the worker.
    """
    try:
        return _decide(answer, task, attempt, retrying_seconds, retry_window_seconds)
    except BaseException as error:  # an exception class of a plugin's own that is broken itself
        log.exception("detector_result_invalid", kind=type(answer.value).__name__)
        message = f"a {type(answer.value).__name__} that cannot be read: {format_error(error)}"
        return _give_up("unexpected_error", message, task)


def _decide(
    answer: Answer, task: Task, attempt: int, retrying_seconds: float, retry_window_seconds: float
) -> Decision:
    value = answer.value
    match value:
        case Findings():
            return Succeed(value)
        case DetectorTimeoutError() if answer.is_unresponsive and task.probes <= PROBES_PER_IMAGE:
            return Retry(0.0, str(value))
        case InvalidImageError():
            return Fail(str(value.code), str(value), bool(value.retryable))
        case ShortageError() if value.is_images_fault:
            return Fail(value.code, str(value), retryable=True)
        case ObjectRefusedError() | ShortageError():
            return Compare(probe_seconds(value), str(value))
        case DetectorNotReadyError():
            return Pause(probe_seconds(value), str(value))
        case ConfigurationError():  # found out late: as systemic as a detector that is not ready
            return Pause(PROBE_SECONDS, str(value))
        case RetriableError() if retrying_seconds < retry_window_seconds:
            wait_seconds = backoff_seconds(attempt, at_least=value.retry_after_seconds)
            return Retry(wait_seconds, str(value), throttled=bool(value.throttled))
        case RetriableError():
            return _give_up("retries_exhausted", str(value), task)
        case _ if answer.batch_size > 1:  # one image of the batch is to blame: find out which
            return Retry(0.0, format_error(value), alone=True)
        case InvalidAnswerError():  # the detector would say the same next time
            return Fail("invalid_result", str(value), retryable=True)
        case DetectorCrashedError():
            return _give_up("detector_crashed", str(value), task)
        case _:
            return _give_up("unexpected_error", format_error(value), task)


def _give_up(code: str, message: str, task: Task) -> Decision:
    """Requeue the message; record the failure before SQS would move it to the dead letters."""
    if task.is_last_receive:
        return Fail(code, message, retryable=True)
    return Requeue(requeue_seconds(task.message.receive_count), message)


def probe_seconds(error: DetectorNotReadyError) -> float:
    """Return how long to wait before a detector that is not ready is called again."""
    wait_seconds = error.retry_after_seconds
    return PROBE_SECONDS if wait_seconds is None else bounded(wait_seconds)
