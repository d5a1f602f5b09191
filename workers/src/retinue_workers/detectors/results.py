"""What is done about a detector's answers."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

import structlog
from retinue_history import RunRecord
from retinue_sdk import AnyDetector, Findings, InvalidImageError

from retinue_workers.attempt import Attempt
from retinue_workers.detectors import run_record
from retinue_workers.detectors.batch_queue import Schedule
from retinue_workers.detectors.calls import Call
from retinue_workers.detectors.hang_detector import HUNG_CALLS, PROBES_AN_IMAGE, Silence
from retinue_workers.detectors.isolation.errors import DetectorTimeoutError
from retinue_workers.detectors.retry_policy import Fail, HandBack, Pause, Retry, Succeed, judge
from retinue_workers.detectors.run_records import RunRecords
from retinue_workers.limits.receive_gate import CircuitBreaker

log = structlog.get_logger(__name__)

Settle: TypeAlias = Callable[[Attempt, RunRecord | HandBack], None]
"""What is called, once for each attempt, when a lane is done with it."""


class Answers:
    """Takes the answers of one detector: settles attempts, or has them made again.

    Args:
        detector: Whose answers.
        records: Makes the records of its runs.
        schedule: Paused while the detector works for no image.
        breaker: Tripped likewise, as ``detector NAME``.
        detector_timeout_seconds: After how long a call is given up.
        retry_window_seconds: How long retriable errors are tried again.
        put: Takes each attempt that is made again, and when (monotonic clock, seconds).
        settle: Told the outcome of each attempt.
        retried: Told of each attempt that is made again, and whether it was throttled.
        park: Told of each attempt that must wait before it is made again.
    """

    def __init__(
        self,
        detector: AnyDetector,
        *,
        records: RunRecords,
        schedule: Schedule,
        breaker: CircuitBreaker,
        detector_timeout_seconds: float,
        retry_window_seconds: float,
        put: Callable[[Attempt, float], None],
        settle: Settle,
        retried: Callable[[bool], None],
        park: Callable[[Attempt], None],
    ) -> None:
        """Take none yet."""
        self._name = detector.name
        self._cause = f"detector {detector.name}"
        self._records = records
        self._schedule = schedule
        self._breaker = breaker
        self._timeout_seconds = detector_timeout_seconds
        self._retry_window_seconds = retry_window_seconds
        self._put = put
        self._settle = settle
        self._retried = retried
        self._park = park
        self._silence = Silence()

    @property
    def silent(self) -> bool:
        """Whether the detector is believed to hang."""
        return self._silence.fallen

    def take(
        self, call: Call, results: Sequence[Findings | BaseException], duration_ms: float
    ) -> None:
        """Act on the answers to a call that has ended.

        Args:
            call: The call.
            results: An answer for each of its attempts.
            duration_ms: Milliseconds that it took for each image.
        """
        if any(isinstance(result, DetectorTimeoutError) for result in results):
            self.hung(call, duration_ms)  # in a process of its own, which was killed
            return
        if self._silence.broken():
            self._schedule.resume()
            self._breaker.reset(self._cause)
        if any(isinstance(result, Findings | InvalidImageError) for result in results):
            self._breaker.reset(self._cause)
        size = len(call.attempts)
        for attempt, result in zip(call.attempts, results, strict=True):
            self.take_one(
                attempt,
                result,
                batch_size=size,
                started_at=call.started_at,
                duration_ms=duration_ms,
            )

    def take_one(
        self,
        attempt: Attempt,
        answer: Findings | BaseException,
        *,
        batch_size: int,
        started_at: datetime,
        duration_ms: float,
    ) -> None:
        """Do what an answer asks for."""
        now = time.monotonic()
        attempt.billed_units += run_record.bill_of(answer)
        since = attempt.retrying_since
        verdict = judge(
            answer,
            attempt,
            retrying_seconds=0.0 if since is None else now - since,
            batch_size=batch_size,
            retry_window_seconds=self._retry_window_seconds,
        )
        match verdict:
            case Succeed(findings):
                self._settle(
                    attempt, self._records.success(attempt, findings, started_at, duration_ms)
                )
            case Fail() as fail:
                run = self._records.failure(attempt, fail, started_at, duration_ms)
                self._settle(attempt, run)
            case Retry(after_seconds, reason, alone, throttled):
                log.warning(
                    "retry",
                    detector=self._name,
                    image_id=str(attempt.image.image_id),
                    receive_count=attempt.delivery.message.receive_count,
                    tries=attempt.tries,
                    after_seconds=round(after_seconds, 3),
                    reason=reason,
                )
                self._retried(throttled)
                attempt.alone = alone or attempt.alone
                if attempt.retrying_since is None:
                    attempt.retrying_since = now
                if after_seconds:
                    self._park(attempt)
                self._put(attempt, now + after_seconds)
            case Pause(after_seconds, reason):
                self._breaker.trip(self._cause, reason)
                self._schedule.pause(now + after_seconds)
                attempt.retrying_since = None
                self._park(attempt)
                self._put(attempt, 0.0)
            case HandBack() as outcome:
                self._settle(attempt, outcome)

    def hung(self, call: Call, duration_ms: float) -> None:
        """Blame the images of a call without an answer; or the detector, if it gives none to any.

        Then the breaker opens, the images are kept, and one of those in flight after the other is
        tried, alone, until the detector answers.
        """
        seconds = self._timeout_seconds
        log.error("detector_timed_out", detector=self._name, image_ids=call.image_ids())
        silent = self._silence.hung({attempt.image.image_id for attempt in call.attempts})
        if silent:
            reason = f"no answer within {seconds:g} s, to {HUNG_CALLS} calls in a row and any since"
            self._breaker.trip(self._cause, reason)
            self._schedule.probe(time.monotonic() + self._silence.probe_seconds())
        fail = Fail("detector_timeout", f"no answer within {seconds:g} s", retryable=True)
        for attempt in call.attempts:
            attempt.probes += silent
            if silent and attempt.probes <= PROBES_AN_IMAGE:
                self._park(attempt)
                self._put(attempt, 0.0)
            else:
                self._settle(
                    attempt, self._records.failure(attempt, fail, call.started_at, duration_ms)
                )
