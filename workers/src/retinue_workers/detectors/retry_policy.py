"""Decide the next step after a detector's answer for one image.

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

from retinue_workers.detectors.encoding import EncodedFindings
from retinue_workers.detectors.errors import (
    DetectorCrashedError,
    DetectorTimeoutError,
    InvalidAnswerError,
    MessageExpiredError,
    ShortageError,
)
from retinue_workers.limits.backoff import backoff_seconds, bounded, requeue_seconds
from retinue_workers.work import Requeue, Task

log = structlog.get_logger(__name__)

PROBE_SECONDS = 5.0
"""Wait before a call of a detector that wasn't ready, unless the detector gives a time."""

PROBES_PER_IMAGE = 5
"""Hanging calls for one image, while the detector is unresponsive, after which the image fails.
Images take turns, so every image in flight gets as many calls.
"""


@dataclass(slots=True)
class Answer:
    """The result of calling a detector for one image.

    Attributes:
        value: The findings, encoded if the caller asked for that, or the error.
        started_at: When the call began, in UTC.
        duration_ms: Milliseconds of the call per image, without waiting.
        batch_size: Number of images in the call.
        is_unresponsive: Whether the detector didn't answer several calls in a row.
        reserved_usd: The part of the detector's budget that is reserved for the image, in US
            dollars.
        images: Number of images: 1, or the frames of a video.
    """

    value: Findings | EncodedFindings | BaseException
    started_at: datetime
    duration_ms: float = 0.0
    batch_size: int = 1
    is_unresponsive: bool = False
    reserved_usd: Decimal = Decimal(0)
    images: int = 1


@dataclass(slots=True)
class Succeed:
    """Record the findings."""

    findings: Findings | EncodedFindings


@dataclass(frozen=True, slots=True)
class Fail:
    """Record a failed run. If ``retryable``, another call for the same image could succeed."""

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
    """Stop receiving messages, because the detector fails for every image.

    Call the detector again after ``after_seconds``.
    """

    after_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Compare:
    """Call again after ``after_seconds``, and process other images meanwhile to find the cause."""

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
    """Decide the next step after an answer.

    Args:
        answer: The answer.
        task: Its task.
        attempt: Number of calls of the detector for the task; 1 or more.
        retrying_seconds: For how long the task has had only retriable errors.
        retry_window_seconds: For how long retriable errors are retried inside the worker.
    """
    try:
        return _decide(answer, task, attempt, retrying_seconds, retry_window_seconds)
    except BaseException as error:  # a plugin's exception class that is itself invalid
        log.exception("detector_result_invalid", kind=type(answer.value).__name__)
        message = f"a {type(answer.value).__name__} that cannot be read: {format_error(error)}"
        return _give_up("unexpected_error", message, task)


def _decide(
    answer: Answer, task: Task, attempt: int, retrying_seconds: float, retry_window_seconds: float
) -> Decision:
    value = answer.value
    match value:
        case Findings() | EncodedFindings():
            return Succeed(value)
        case DetectorTimeoutError() if answer.is_unresponsive and task.probes <= PROBES_PER_IMAGE:
            return Retry(0.0, str(value))
        case InvalidImageError():
            return Fail(str(value.code), str(value), bool(value.retryable))
        case ShortageError() if value.is_images_fault:
            return Fail(value.code, str(value), retryable=True)
        case MessageExpiredError():
            return Requeue(0, str(value))
        case ObjectRefusedError() | ShortageError():
            return Compare(probe_seconds(value), str(value))
        case DetectorNotReadyError():
            return Pause(probe_seconds(value), str(value))
        case ConfigurationError():  # found late, but as systemic as a detector that isn't ready
            return Pause(PROBE_SECONDS, str(value))
        case RetriableError() if retrying_seconds < retry_window_seconds:
            wait_seconds = backoff_seconds(attempt, at_least=value.retry_after_seconds)
            return Retry(wait_seconds, str(value), throttled=bool(value.throttled))
        case RetriableError():
            return _give_up("retries_exhausted", str(value), task)
        case _ if answer.batch_size > 1:  # one image of the batch may be the cause: call each alone
            return Retry(0.0, format_error(value), alone=True)
        case InvalidAnswerError():  # the detector would answer the same next time
            return Fail("invalid_result", str(value), retryable=True)
        case DetectorCrashedError():
            return _give_up("detector_crashed", str(value), task)
        case _:
            return _give_up("unexpected_error", format_error(value), task)


def _give_up(code: str, message: str, task: Task) -> Decision:
    """Requeue the message. At its last receive, record the failure instead."""
    if task.is_last_receive:
        return Fail(code, message, retryable=True)
    return Requeue(requeue_seconds(task.message.receive_count), message)


def probe_seconds(error: DetectorNotReadyError) -> float:
    """Return the wait before the next call of a detector that isn't ready."""
    wait_seconds = error.retry_after_seconds
    return PROBE_SECONDS if wait_seconds is None else bounded(wait_seconds)
