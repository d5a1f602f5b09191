"""One detector and the attempts that wait for it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from threading import Condition, Thread

import structlog
from retinue_history import RunRecord
from retinue_sdk import (
    AnyDetector,
    ConfigurationError,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    Image,
    Input,
)

from retinue_workers import record
from retinue_workers.attempt import Attempt
from retinue_workers.breaker import CircuitBreaker
from retinue_workers.schedule import Schedule
from retinue_workers.verdict import (
    PROBE_SECONDS,
    Fail,
    HandBack,
    Pause,
    Retry,
    Succeed,
    judge,
)

log = structlog.get_logger(__name__)

Settle = Callable[[Attempt, RunRecord | HandBack], None]
"""What a lane calls, once for each attempt, when it is done with it."""

STOPPING = HandBack(0, "the worker stops")
"""The outcome of an attempt that the worker no longer has time for."""


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """How far a lane trusts its detector; see the settings of the same names."""

    detector_timeout_seconds: float
    retry_window_seconds: float
    max_detections: int
    max_response_bytes: int


@dataclass(eq=False, slots=True)
class _Call:
    """A call of ``detect`` that is under way."""

    attempts: list[Attempt]
    deadline: float
    started: float = field(default_factory=time.monotonic)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def duration_ms(self) -> float:
        """Milliseconds since the call began, shared out evenly over its images."""
        return (time.monotonic() - self.started) * 1_000 / len(self.attempts)


class Lane:
    """Feeds one detector: batches, paces, times, retries, and stops when it is not ready.

    Batches are whatever waits when the detector is free, up to its largest batch: full under load,
    and no image waits for company. A call that exceeds its time is abandoned with its thread (it
    cannot be killed) and a fresh thread takes over.

    Args:
        detector: The detector, made but not started.
        usd_per_unit: Price of one billed unit, in US dollars.
        limits: How far to trust the detector.
        breaker: Tripped, under the detector's name, while the detector works for no image.
        settle: Told the outcome of each attempt.
    """

    def __init__(
        self,
        detector: AnyDetector,
        *,
        usd_per_unit: Decimal,
        limits: LaneLimits,
        breaker: CircuitBreaker,
        settle: Settle,
    ) -> None:
        """Start nothing yet."""
        self.detector = detector
        self.fingerprint = detector.fingerprint()
        self._usd_per_unit = usd_per_unit
        self._limits = limits
        self._breaker = breaker
        self._settle = settle
        self._capabilities = detector.capabilities
        self._schedule = Schedule(
            max_batch_size=self._capabilities.max_batch_size,
            requests_per_second=self._capabilities.requests_per_second,
        )
        self._changed = Condition()
        self._calls: set[_Call] = set()
        self._hung = 0
        self._stopping = False

    @property
    def name(self) -> str:
        """The detector's name."""
        return self.detector.name

    @property
    def input(self) -> Input:
        """What of an image the detector needs."""
        return self._capabilities.input

    def start(self) -> None:
        """Start the detector, then its threads.

        A detector that is not ready yet trips the breaker and is started as soon as it is.

        Raises:
            ConfigurationError: It can never start as it is set.
        """
        try:
            ready = self._start_detector()
        except ConfigurationError as error:
            raise ConfigurationError(f"detector {self.name}: {error}") from error
        except Exception as error:  # a plugin's start can raise anything
            raise ConfigurationError(
                f"detector {self.name} cannot start: {type(error).__name__}: {error}"
            ) from error
        if ready:
            self._run_threads()
        else:
            self._thread(self._start_when_ready, "start")

    def put(self, attempt: Attempt, due: float = 0.0) -> None:
        """Add an attempt, to be made at ``due`` (monotonic clock, seconds) or as soon as may be.

        If the lane is stopping it is settled at once: handed back.
        """
        if not self._schedule.put(attempt, due):
            self._settle(attempt, STOPPING)

    def stop(self, deadline: float) -> None:
        """Hand back what waits, let running calls finish until ``deadline``, close the detector.

        Args:
            deadline: On the monotonic clock, in seconds.
        """
        for attempt in self._schedule.close():
            self._settle(attempt, STOPPING)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: not self._calls, timeout=max(0.0, deadline - time.monotonic())
            )
            abandoned = list(self._calls)
        for call in abandoned:
            if self._claim(call):
                log.warning("call_abandoned", detector=self.name, images=len(call.attempts))
                for attempt in call.attempts:
                    self._settle(attempt, STOPPING)
        if abandoned or self._hung:
            return  # closing under a call that still runs could crash the process
        try:
            self.detector.close()
        except Exception:
            log.exception("detector_close_failed", detector=self.name)

    def _start_detector(self) -> bool:
        """Start the detector; ``False``, with the breaker tripped, if it is not ready."""
        try:
            self.detector.start()
        except DetectorNotReadyError as error:
            self._breaker.trip(self.name, str(error))
            wait = error.retry_after_seconds
            self._schedule.pause(time.monotonic() + (PROBE_SECONDS if wait is None else wait))
            return False
        log.info(
            "detector_started",
            detector=self.name,
            version=self.detector.version,
            model_version=self.detector.model_version,
            fingerprint=self.fingerprint,
        )
        self._breaker.reset(self.name)
        return True

    def _start_when_ready(self) -> None:
        """Try again until the detector starts or the worker stops."""
        while self._schedule.wait_until_resumed():
            try:
                if self._start_detector():
                    self._run_threads()
                    return
            except Exception as error:  # was not ready before; keep the messages and say why
                log.exception("detector_start_failed", detector=self.name)
                self._breaker.trip(self.name, f"{type(error).__name__}: {error}")
                self._schedule.pause(time.monotonic() + PROBE_SECONDS)

    def _run_threads(self) -> None:
        for _ in range(self._capabilities.max_concurrency):
            self._thread(self._work, "work")
        self._thread(self._watch, "watch")

    def _thread(self, target: Callable[[], None], role: str) -> None:
        Thread(target=target, name=f"{self.name}-{role}", daemon=True).start()

    def _work(self) -> None:
        """Call the detector with batch after batch, until the lane stops or a call hung."""
        while batch := self._schedule.take():
            if not self._call(batch):
                return

    def _call(self, batch: list[Attempt]) -> bool:
        """Call the detector and act on its answers.

        Returns:
            ``False`` if the call took so long that it was given up meanwhile.
        """
        prepared, answers = [], []
        for attempt in batch:
            attempt.tries += 1
            error = _prepare(attempt.image, self.input)
            if error is None:
                prepared.append(attempt)
            else:
                answers.append((attempt, error))
        now = datetime.now(UTC)
        for attempt, error in answers:
            self._answer(attempt, error, batch_size=1, started_at=now, duration_ms=0.0)
        if not prepared:
            return True

        call = _Call(prepared, time.monotonic() + self._limits.detector_timeout_seconds)
        with self._changed:
            self._calls.add(call)
            self._changed.notify_all()
        results = _detect(self.detector, [attempt.image for attempt in prepared])
        duration_ms = call.duration_ms()
        if not self._claim(call):
            return False
        for attempt, result in zip(prepared, results, strict=True):
            self._answer(
                attempt,
                result,
                batch_size=len(prepared),
                started_at=call.started_at,
                duration_ms=duration_ms,
            )
        return True

    def _claim(self, call: _Call) -> bool:
        """Take a call off the list of those under way; ``True`` for the one who did it."""
        with self._changed:
            if call not in self._calls:
                return False
            self._calls.remove(call)
            self._changed.notify_all()
            return True

    def _answer(
        self,
        attempt: Attempt,
        answer: Findings | BaseException,
        *,
        batch_size: int,
        started_at: datetime,
        duration_ms: float,
    ) -> None:
        """Do what the answer asks for."""
        verdict = judge(
            answer,
            attempt,
            age_seconds=time.monotonic() - attempt.begun,
            batch_size=batch_size,
            retry_window_seconds=self._limits.retry_window_seconds,
        )
        if isinstance(verdict, Succeed | Fail):
            self._breaker.reset(self.name)
        match verdict:
            case Succeed(findings):
                try:
                    run = record.success(
                        attempt,
                        findings,
                        model_version=self.detector.model_version,
                        usd_per_unit=self._usd_per_unit,
                        started_at=started_at,
                        duration_ms=duration_ms,
                        max_detections=self._limits.max_detections,
                        max_response_bytes=self._limits.max_response_bytes,
                    )
                except record.InvalidResultError as error:
                    fail = Fail("invalid_result", str(error), final=False)
                    run = record.failure(
                        attempt, fail, started_at=started_at, duration_ms=duration_ms
                    )
                self._settle(attempt, run)
            case Fail():
                self._settle(
                    attempt,
                    record.failure(
                        attempt, verdict, started_at=started_at, duration_ms=duration_ms
                    ),
                )
            case Retry(after_seconds, reason, alone):
                log.warning(
                    "retry",
                    detector=self.name,
                    image_id=str(attempt.image.image_id),
                    tries=attempt.tries,
                    after_seconds=round(after_seconds, 3),
                    reason=reason,
                )
                attempt.alone = alone or attempt.alone
                self.put(attempt, time.monotonic() + after_seconds)
            case Pause(after_seconds, reason):
                self._breaker.trip(self.name, reason)
                self._schedule.pause(time.monotonic() + after_seconds)
                self.put(attempt)
            case HandBack():
                self._settle(attempt, verdict)

    def _watch(self) -> None:
        """Give up calls that exceed their time."""
        while True:
            with self._changed:
                if self._stopping:
                    return
                now = time.monotonic()
                hung = [call for call in self._calls if call.deadline <= now]
                if not hung:
                    nearest = min((call.deadline for call in self._calls), default=None)
                    self._changed.wait(None if nearest is None else nearest - now)
                    continue
                self._hung += len(hung)
            for call in hung:
                if self._claim(call):
                    self._give_up(call)

    def _give_up(self, call: _Call) -> None:
        """Record that a call hung, and put a fresh thread in the place of its own."""
        seconds = self._limits.detector_timeout_seconds
        log.error("detector_timed_out", detector=self.name, images=len(call.attempts))
        for attempt in call.attempts:
            fail = Fail("detector_timeout", f"no answer within {seconds:g} s", final=False)
            self._settle(
                attempt,
                record.failure(
                    attempt, fail, started_at=call.started_at, duration_ms=call.duration_ms()
                ),
            )
        self._thread(self._work, "work")


def _prepare(image: Image, wanted: Input) -> BaseException | None:
    """Have what the detector needs of the image at hand; why not, if it cannot be had.

    Usually the loader has done it already and this costs nothing.
    """
    try:
        match wanted:
            case Input.BYTES:
                image.read()
            case Input.PIXELS:
                image.pixels()
            case Input.REFERENCE:
                pass
    except Exception as error:  # DetectorErrors are sorted by the verdict, others are bugs
        if not isinstance(error, DetectorError):
            log.exception("image_failed", image_id=str(image.image_id))
        return error
    return None


def _detect(detector: AnyDetector, images: Sequence[Image]) -> Sequence[Findings | BaseException]:
    """One answer for each image, whatever the detector does."""
    try:
        results: list[object] = list(detector.detect(images))
    except (DetectorError, ConfigurationError) as error:
        return [error] * len(images)
    except BaseException as error:  # even SystemExit must not take the thread down
        log.exception("detector_raised", detector=detector.name, images=len(images))
        return [error] * len(images)
    if len(results) != len(images):
        wrong = TypeError(f"detect returned {len(results)} results for {len(images)} images")
        log.error("detector_misbehaved", detector=detector.name, reason=str(wrong))
        return [wrong] * len(images)
    return [
        result
        if isinstance(result, Findings | DetectorError)
        else TypeError(f"detect returned a {type(result).__name__}, not Findings or DetectorError")
        for result in results
    ]
