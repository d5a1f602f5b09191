"""One detector and the attempts that wait for it."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from threading import Semaphore, Thread

import structlog
from retinue_sdk import (
    AnyDetector,
    ConfigurationError,
    DetectorNotReadyError,
    FutureDetector,
    Input,
    Result,
)
from retinue_sdk.errors import format_error

from retinue_workers.attempt import Attempt
from retinue_workers.detectors.batch_queue import Schedule
from retinue_workers.detectors.call_limiter import CallPacer
from retinue_workers.detectors.calls import Call, Calls, detect, outcome, submit
from retinue_workers.detectors.results import Answers, Settle
from retinue_workers.detectors.retry_policy import (
    PROBE_SECONDS,
    HandBack,
    probe_seconds,
)
from retinue_workers.detectors.run_records import RunRecords
from retinue_workers.intake.prefetch import prepare
from retinue_workers.limits.budget import Spending
from retinue_workers.limits.rate_limits.shared_limiter import SharedPacer
from retinue_workers.limits.receive_gate import CircuitBreaker

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 1.0
"""How long a detector may take to close, beyond what is left of the worker's grace."""

STOPPING = HandBack(0, "the worker stops")
"""The outcome of an attempt that the worker no longer has time for."""


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """How far a lane trusts its detector; see the settings of the same names."""

    detector_timeout_seconds: float
    retry_window_seconds: float
    max_detections: int
    max_response_bytes: int


class Lane:
    """Feeds one detector: batches, paces, times, retries, and stops when it is not ready.

    Batches are whatever waits when the detector is free, up to its largest batch: full under load,
    and no image waits for company. A call that exceeds its time is abandoned with its thread (it
    cannot be killed) and a fresh thread takes over. Of a ``FutureDetector`` one thread submits the
    images, and what an answer asks for is done on the thread that it comes on.

    Args:
        detector: The detector, made but not started.
        limits: How far to trust the detector.
        spending: What its runs cost, and whether its budget allows another call.
        pacer: Paces calls that count against a quota; ``None`` where the detector names none.
        breaker: Tripped, as ``detector NAME``, while the detector works for no image.
        settle: Told the outcome of each attempt.
        retried: Told of each attempt that is made again, and whether it was throttled.
        park: Told of each attempt that must wait before it is made again: its image may be let go.

    Raises:
        ConfigurationError: The detector cannot say what it needs.
    """

    def __init__(
        self,
        detector: AnyDetector,
        *,
        limits: LaneLimits,
        spending: Spending,
        pacer: SharedPacer | None = None,
        breaker: CircuitBreaker,
        settle: Settle,
        retried: Callable[[bool], None] = lambda throttled: None,  # noqa: ARG005
        park: Callable[[Attempt], None] = lambda attempt: None,  # noqa: ARG005
    ) -> None:
        """Start nothing yet."""
        self.detector = detector
        self._limits = limits
        self._breaker = breaker
        self._settle = settle
        self._cause = f"detector {detector.name}"
        with refusing(detector):
            self.fingerprint = detector.fingerprint()
            self._capabilities = detector.capabilities
            self._schedule = Schedule(
                max_batch_size=1
                if isinstance(detector, FutureDetector)
                else self._capabilities.max_batch_size,
                requests_per_second=self._capabilities.requests_per_second,
            )
            spending.add(detector.name, self._capabilities)
        self._spending = spending
        self._answers = Answers(
            detector,
            records=RunRecords(
                detector,
                spending,
                max_detections=limits.max_detections,
                max_response_bytes=limits.max_response_bytes,
            ),
            schedule=self._schedule,
            breaker=breaker,
            detector_timeout_seconds=limits.detector_timeout_seconds,
            retry_window_seconds=limits.retry_window_seconds,
            put=self.put,
            settle=settle,
            retried=retried,
            park=park,
        )
        self._calls = Calls()
        self._room = Semaphore(self._capabilities.max_concurrency)  # for images that are submitted
        self._pacer = pacer
        if pacer is not None and self._capabilities.quotas:
            crowd = self._crowd if isinstance(detector, FutureDetector) else lambda: 1
            detector.pacer = CallPacer(pacer, self._calls, crowd)
        self._open = False

    @property
    def name(self) -> str:
        """The detector's name."""
        return self.detector.name

    @property
    def usd_per_unit(self) -> Decimal:
        """What one more billed unit would cost now, in US dollars."""
        return self._spending.unit_usd(self.name)

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
        self._open = True
        with refusing(self.detector):
            ready = self._start_detector()
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

    def hand_back(self) -> None:
        """Begin to stop: hand back what waits, and make no call any more."""
        for attempt in self._schedule.close():
            self._settle(attempt, STOPPING)
        self._calls.close()
        self._room.release(self._capabilities.max_concurrency)  # whoever waits for some shall end
        if self._pacer is not None:
            self._pacer.wake()

    def stop(self, deadline: float) -> None:
        """Hand back what waits, let running calls finish until ``deadline``, close the detector.

        Args:
            deadline: On the monotonic clock, in seconds.
        """
        self.hand_back()
        for call in self._calls.drain(deadline):
            log.warning("call_abandoned", detector=self.name, image_ids=call.image_ids())
            for attempt in call.attempts:
                self._settle(attempt, STOPPING)
        if not self._open or not self._calls.idle:
            return  # closing under a call that still runs could crash the process
        self._open = False
        closing = self._thread(self._close, "close")
        closing.join(max(0.0, deadline - time.monotonic()) + CLOSE_SECONDS)
        if closing.is_alive():
            log.error("detector_close_hangs", detector=self.name)

    def _close(self) -> None:
        """Close the detector; on a thread of its own, since what was found is yet to commit."""
        try:
            self.detector.close()
        except BaseException:  # whatever a plugin raises, the others are to be stopped too
            log.exception("detector_close_failed", detector=self.name)

    def _start_detector(self) -> bool:
        """Start the detector; ``False``, with the breaker tripped, if it is not ready."""
        try:
            self.detector.start()
        except DetectorNotReadyError as error:
            self._breaker.trip(self._cause, str(error))
            self._schedule.pause(time.monotonic() + probe_seconds(error))
            return False
        log.info(
            "detector_started",
            detector=self.name,
            version=self.detector.version,
            model_version=self.detector.model_version,
            fingerprint=self.fingerprint,
        )
        self._breaker.reset(self._cause)
        return True

    def _start_when_ready(self) -> None:
        """Try again until the detector starts or the worker stops."""
        while self._schedule.wait_until_resumed():
            with self._calls.busy() as may:
                if not may:
                    return
                try:
                    ready = self._start_detector()
                except BaseException as error:  # was not ready before; keep the messages, say why
                    log.exception("detector_start_failed", detector=self.name)
                    self._breaker.trip(self._cause, format_error(error))
                    self._schedule.pause(time.monotonic() + PROBE_SECONDS)
                    continue
            if ready:
                self._run_threads()
                return

    def _run_threads(self) -> None:
        if isinstance(self.detector, FutureDetector):
            self._thread(self._submit_all, "submit")
        else:
            for _ in range(self._capabilities.max_concurrency):
                self._thread(self._work, "work")
        self._thread(self._watch, "watch")

    def _thread(self, target: Callable[[], None], role: str) -> Thread:
        thread = Thread(target=target, name=f"{self.name}-{role}", daemon=True)
        thread.start()
        return thread

    def _work(self) -> None:
        """Call the detector with batch after batch, until the lane stops or a call hung."""
        # No variable here: it would keep the last batch's images while the thread waits.
        while self._serve(self._schedule.take()):
            pass

    def _serve(self, batch: list[Attempt]) -> bool:
        """Call the detector and act on its answers.

        Returns:
            ``False`` if there was nothing to do, the lane stops, or the call took so long that it
            was given up meanwhile.
        """
        aside = self._spending.set_aside(self.name, len(batch))
        if aside is None:
            self._postpone(batch)
            return True
        try:
            return self._call(batch)
        finally:
            self._spending.take_back(self.name, aside)

    def _postpone(self, batch: Sequence[Attempt]) -> None:
        """Wait until there is money again."""
        self._schedule.pause(time.monotonic() + PROBE_SECONDS)
        for attempt in batch:
            self.put(attempt)

    def _call(self, batch: list[Attempt]) -> bool:
        """As ``_serve``, where money does not matter."""
        with self._calls.busy() as may:
            call = self._begun(batch, may)
            if call is None:
                return bool(batch)
            results = detect(self.detector, [attempt.image for attempt in call.attempts])
            duration_ms = call.duration_ms()
            if not self._calls.end(call):
                return False
        self._answers.take(call, results, duration_ms)
        return True

    def _begun(self, batch: Sequence[Attempt], may: bool) -> Call | None:
        """A call about those images that can be had; ``None`` if there are none, or none may."""
        ready = self._readied(batch) if may else list(batch)
        if not ready:
            if self._answers.silent:  # nobody asked the detector: let another image do it
                self._schedule.probe(time.monotonic())
            return None
        call = Call(ready, time.monotonic() + self._limits.detector_timeout_seconds)
        if self._calls.begin(call):
            return call
        for attempt in ready:
            self._settle(attempt, STOPPING)
        return None

    def _readied(self, batch: Sequence[Attempt]) -> list[Attempt]:
        """Have the images at hand; what cannot be had is answered, and left out."""
        ready = []
        for attempt in batch:
            attempt.tries += 1
            error = prepare(attempt.image, self.input)
            if error is None:
                ready.append(attempt)
            else:
                now = datetime.now(UTC)
                self._answers.take_one(
                    attempt, error, batch_size=1, started_at=now, duration_ms=0.0
                )
        return ready

    def _watch(self) -> None:
        """Give up calls that exceed their time."""
        while hung := self._calls.overdue():
            for call in hung:
                self._give_up(call)

    def _give_up(self, call: Call) -> None:
        """Answer for a call that hung, and put a fresh thread in the place of its own."""
        self._answers.hung(call, call.duration_ms())
        if not isinstance(self.detector, FutureDetector):
            self._thread(self._work, "work")
            return
        if not call.submitted:
            self._thread(self._submit_all, "submit")
        self._room.release()

    def _submit_all(self) -> None:
        """Submit image after image, as far as there is room, until the lane stops or one hung."""
        while self._room.acquire() and self._submit(self._schedule.take()):
            pass

    def _submit(self, batch: list[Attempt]) -> bool:
        """Submit an image; as ``_serve``, but for the answer, which comes by itself."""
        aside = self._spending.set_aside(self.name, len(batch))
        if aside is None:
            self._postpone(batch)
            self._room.release()
            return True
        call = self._begun(batch, self._calls.enter())
        if call is None:
            self._leave(aside)
            self._room.release()
            return bool(batch)
        future = submit(self.detector, call.attempts[0].image)
        going_on = self._calls.submitted(call)
        future.add_done_callback(partial(self._answered, call, aside))
        return going_on

    def _crowd(self) -> int:
        """How many images would be submitted if they could, the one at hand included."""
        return 1 + min(
            self._schedule.ready, self._capabilities.max_concurrency - self._calls.running
        )

    def _answered(self, call: Call, aside: Decimal, future: "Future[Result]") -> None:
        """The answer to an image that was submitted is there."""
        try:
            duration_ms = call.duration_ms()
            if self._calls.end(call):
                self._room.release()
                self._answers.take(call, [outcome(self.detector, future)], duration_ms)
        finally:
            self._leave(aside)

    def _leave(self, aside: Decimal) -> None:
        """Nothing of what ``_submit`` began is left."""
        self._calls.leave()
        self._spending.take_back(self.name, aside)


@contextmanager
def refusing(detector: AnyDetector) -> Iterator[None]:
    """Turn whatever a plugin raises into a refusal to start, naming the detector."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"detector {detector.name}: {error}") from error
    except (Exception, SystemExit) as error:
        log.exception("detector_cannot_start", detector=detector.name)
        raise ConfigurationError(
            f"detector {detector.name} cannot start: {format_error(error)}"
        ) from error
