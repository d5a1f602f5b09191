"""What to do with a detector's answer for one image."""

from dataclasses import dataclass
from typing import TypeAlias

from retinue_sdk import (
    ConfigurationError,
    DetectorNotReadyError,
    Findings,
    InvalidImageError,
    RetriableError,
)

from retinue_workers.attempt import Attempt
from retinue_workers.backoff import backoff_seconds

PROBE_SECONDS = 5.0
"""Wait before a detector that was not ready is tried again, where it does not say itself."""


@dataclass(frozen=True, slots=True)
class Succeed:
    """Record the findings."""

    findings: Findings


@dataclass(frozen=True, slots=True)
class Fail:
    """Record a failed run. ``final``: trying this very image again cannot help."""

    code: str
    message: str
    final: bool


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask the detector again after ``after_seconds``; ``alone`` in a batch of its own."""

    after_seconds: float
    reason: str
    alone: bool = False


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
    age_seconds: float,
    batch_size: int,
    retry_window_seconds: float,
) -> Verdict:
    """Decide by the kind of the answer.

    Args:
        answer: What the detector returned for the image, or what it raised.
        attempt: Whose answer it is.
        age_seconds: How long ago the attempt began.
        batch_size: How many images shared the call.
        retry_window_seconds: How long retriable errors are tried again inside the worker.
    """
    match answer:
        case Findings():
            return Succeed(answer)
        case InvalidImageError():
            return Fail(answer.code, str(answer), answer.final)
        case DetectorNotReadyError():
            wait = answer.retry_after_seconds
            return Pause(PROBE_SECONDS if wait is None else wait, str(answer))
        case ConfigurationError():  # found out late: as systemic as a detector that is not ready
            return Pause(PROBE_SECONDS, str(answer))
        case RetriableError() if age_seconds < retry_window_seconds:
            wait_seconds = backoff_seconds(attempt.tries, at_least=answer.retry_after_seconds)
            return Retry(wait_seconds, str(answer))
        case RetriableError():
            return _give_up("retries_exhausted", str(answer), attempt)
        case _ if batch_size > 1:  # one image of the batch is to blame: find out which
            return Retry(0.0, _describe(answer), alone=True)
        case _:
            return _give_up("unexpected_error", _describe(answer), attempt)


def _give_up(code: str, message: str, attempt: Attempt) -> Verdict:
    """Leave the message for redrive; before it would be lost to sight, record the failure."""
    if attempt.delivery.last_receive:
        return Fail(code, message, final=False)
    return HandBack(redrive_seconds(attempt.delivery.message.receive_count), message)


def redrive_seconds(receive_count: int) -> int:
    """How long a message that was handed back stays hidden: 1, 2, 4 … at most 300 seconds."""
    return int(min(300, 2 ** min(receive_count - 1, 30)))


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
