"""Decide the next step of a job after an answer of its detector.

This is the table "Errors of jobs" of docs/architecture.md, as one function.
"""

from dataclasses import dataclass
from typing import TypeAlias

import structlog
from retinue_sdk import (
    ConfigurationError,
    DetectorNotReadyError,
    Findings,
    InvalidImageError,
    JobLostError,
    ObjectRefusedError,
    RetriableError,
)
from retinue_sdk.errors import format_error

from retinue_workers.detectors.errors import InvalidAnswerError
from retinue_workers.detectors.retry_policy import (
    PROBE_SECONDS,
    Fail,
    Pause,
    Succeed,
    probe_seconds,
)
from retinue_workers.detectors.shortage import is_shortage
from retinue_workers.limits.backoff import bounded

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 3
"""Maximum number of jobs that are started for a video."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Look at the job, or start it, again after at least ``after_seconds``.

    ``was_refused``: the service surely didn't start it, for example because too many are under way.
    """

    after_seconds: float
    reason: str
    was_refused: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """Start another job for the video."""

    reason: str


Step: TypeAlias = Succeed | Fail | Wait | Pause | Restart


def next_step(value: Findings | BaseException, attempt: int) -> Step:
    """Decide the next step.

    Args:
        value: The findings, or the error.
        attempt: The number of the job for its video, from 1.
    """
    try:
        return _next_step(value, attempt)
    except BaseException as error:  # a plugin's exception class that is itself invalid
        log.exception("detector_result_invalid", kind=type(value).__name__)
        message = f"a {type(value).__name__} that cannot be read: {format_error(error)}"
        return Fail("unexpected_error", message, retryable=True)


def _next_step(value: Findings | BaseException, attempt: int) -> Step:
    match value:
        case Findings():
            return Succeed(value)
        case InvalidImageError():
            return Fail(str(value.code), str(value), bool(value.retryable))
        case JobLostError():
            return _restart_or_fail("job_lost", str(value), attempt)
        case ObjectRefusedError():  # the store compares it with others at the next tries
            return Wait(probe_seconds(value), str(value), was_refused=True)
        case DetectorNotReadyError():
            return Pause(probe_seconds(value), str(value))
        case ConfigurationError():
            return Pause(PROBE_SECONDS, str(value))
        case RetriableError():
            after_seconds = bounded(value.retry_after_seconds or 0.0)
            return Wait(after_seconds, str(value), was_refused=bool(value.throttled))
        case InvalidAnswerError():  # the detector would answer the same next time
            return Fail("invalid_result", str(value), retryable=True)
        case _ if is_shortage(value):
            return Wait(0.0, format_error(value))
        case _:
            return _restart_or_fail("job_failed", format_error(value), attempt)


def _restart_or_fail(code: str, reason: str, attempt: int) -> Restart | Fail:
    if attempt < MAX_ATTEMPTS:
        return Restart(reason)
    return Fail(code, f"{reason} ({attempt} jobs were started)", retryable=True)
