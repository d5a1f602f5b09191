"""What to do with a detector's answer for one image."""

from dataclasses import dataclass
from typing import TypeAlias

import structlog
from retinue_sdk import (
    ConfigurationError,
    DetectorNotReadyError,
    Findings,
    InvalidImageError,
    RetriableError,
)
from retinue_sdk.errors import format_error

from retinue_workers.attempt import Attempt
from retinue_workers.detectors.calls import MisansweredError
from retinue_workers.detectors.isolation.errors import DetectorCrashedError
from retinue_workers.limits.backoff import backoff_seconds, bounded

log = structlog.get_logger(__name__)

PROBE_SECONDS = 5.0
"""Wait before a detector that was not ready is tried again, where it does not say itself."""


@dataclass(frozen=True, slots=True)
class Succeed:
    """Record the findings."""

    findings: Findings


@dataclass(frozen=True, slots=True)
class Fail:
    """Record a failed run. ``retryable``: another attempt at this image can succeed."""

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask the detector again after ``after_seconds``; ``alone`` in a batch of its own.

    ``throttled``: the detector was told that it asks too often.
    """

    after_seconds: float
    reason: str
    alone: bool = False
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """The detector works for no image: stop receiving, and try again after ``after_seconds``."""

    after_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class HandBack:
    """Record nothing and let the queue deliver the message again after ``after_seconds``."""

    after_seconds: int
    reason: str


Verdict: TypeAlias = Succeed | Fail | Retry | Pause | HandBack


def judge(
    answer: Findings | BaseException,
    attempt: Attempt,
    *,
    retrying_seconds: float,
    batch_size: int,
    retry_window_seconds: float,
) -> Verdict:
    """Decide by the kind of the answer.

    Args:
        answer: What the detector returned for the image, or what it raised.
        attempt: Whose answer it is.
        retrying_seconds: For how long it has been answered with nothing but retriable errors.
        batch_size: How many images shared the call.
        retry_window_seconds: How long retriable errors are tried again inside the worker.
    """
    try:
        return _judge(answer, attempt, retrying_seconds, batch_size, retry_window_seconds)
    except Exception as error:  # an exception class of a plugin's own, and not well made
        log.exception("answer_unreadable", kind=type(answer).__name__)
        wrong = TypeError(f"a {type(answer).__name__} that cannot be read: {format_error(error)}")
        return _judge(wrong, attempt, retrying_seconds, batch_size, retry_window_seconds)


def _judge(
    answer: Findings | BaseException,
    attempt: Attempt,
    retrying_seconds: float,
    batch_size: int,
    retry_window_seconds: float,
) -> Verdict:
    match answer:
        case Findings():
            return Succeed(answer)
        case InvalidImageError():
            return Fail(str(answer.code), str(answer), bool(answer.retryable))
        case DetectorNotReadyError():
            return Pause(probe_seconds(answer), str(answer))
        case ConfigurationError():  # found out late: as systemic as a detector that is not ready
            return Pause(PROBE_SECONDS, str(answer))
        case RetriableError() if retrying_seconds < retry_window_seconds:
            wait_seconds = backoff_seconds(attempt.tries, at_least=answer.retry_after_seconds)
            return Retry(wait_seconds, str(answer), throttled=bool(answer.throttled))
        case RetriableError():
            return _give_up("retries_exhausted", str(answer), attempt)
        case _ if batch_size > 1:  # one image of the batch is to blame: find out which
            return Retry(0.0, format_error(answer), alone=True)
        case MisansweredError():  # it would say the same next time
            return Fail("invalid_result", str(answer), retryable=True)
        case DetectorCrashedError():
            return _give_up("detector_crashed", str(answer), attempt)
        case _:
            return _give_up("unexpected_error", format_error(answer), attempt)


def _give_up(code: str, message: str, attempt: Attempt) -> Verdict:
    """Leave the message for redrive; before it would be lost to sight, record the failure."""
    if attempt.delivery.last_receive:
        return Fail(code, message, retryable=True)
    return HandBack(redrive_seconds(attempt.delivery.message.receive_count), message)


def redrive_seconds(receive_count: int) -> int:
    """How long a message that was handed back stays hidden: 1, 2, 4 … at most 300 seconds."""
    return int(min(300, 2 ** min(receive_count - 1, 30)))


def probe_seconds(error: DetectorNotReadyError) -> float:
    """How long to wait before a detector that is not ready is tried again."""
    wait = error.retry_after_seconds
    return PROBE_SECONDS if wait is None else bounded(wait)
