"""Run one detector: batches, concurrency, rate, deadlines and pauses."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Protocol

import structlog
from retinue_sdk import (
    AsyncDetector,
    Capabilities,
    ConfigurationError,
    DetectorError,
    DetectorNotReadyError,
    DetectorOptions,
    Findings,
    Image,
    Input,
    InvalidImageError,
    JobDetector,
    Media,
)
from retinue_sdk.detector import preparation_of
from retinue_sdk.errors import drop_tracebacks, format_error

from retinue_workers.detectors.call import Call, QueuedTask, current_call
from retinue_workers.detectors.encoding import EncodedFindings, FindingsEncoder
from retinue_workers.detectors.errors import (
    DetectorTimeoutError,
    InvalidAnswerError,
    MessageExpiredError,
    wrong_number,
    wrong_type,
)
from retinue_workers.detectors.filters import Filters
from retinue_workers.detectors.hang_detector import HangDetector
from retinue_workers.detectors.load_limit import LoadLimit
from retinue_workers.detectors.retry_policy import PROBE_SECONDS, Answer, probe_seconds
from retinue_workers.detectors.shortage import is_shortage
from retinue_workers.detectors.suspects import Successes, Suspects
from retinue_workers.intake.prefetch import Form, Prefetch, StageObserver
from retinue_workers.limits.budget import Budget
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.settings.settings import MAX_VISIBILITY_TIMEOUT_SECONDS
from retinue_workers.settings.video import VideoSampling
from retinue_workers.work import Task

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 1.0
"""Seconds that a detector may take to close, after the rest of the worker's grace period."""


class BlockingDetector(Protocol):
    """The part of a ``Detector`` that the runner uses. An isolated detector's proxy has it, too."""

    @property
    def name(self) -> str:
        """Return the detector's name."""

    @property
    def version(self) -> str:
        """Return the detector's version."""

    @property
    def options(self) -> DetectorOptions:
        """Return the detector's options."""

    @property
    def capabilities(self) -> Capabilities:
        """Return the detector's capabilities."""

    @property
    def model_version(self) -> str | None:
        """Return the model's version if it is the same for all images."""

    def fingerprint(self) -> str:
        """Return the fingerprint of options and model."""

    def start(self) -> None:
        """Load the model."""

    def detect(self, images: Sequence[Image]) -> Sequence[Findings | DetectorError]:
        """Process the images."""

    def close(self) -> None:
        """Release everything that ``start`` acquired."""


class DetectorRunner:
    """Calls one detector for its tasks, in batches.

    A batch has all tasks that wait when the detector is free, up to the maximum batch size. If the
    detector declares ``max_wait_ms``, tasks wait that long for a full batch, while other images are
    being loaded. A ``Detector`` runs on threads and an ``AsyncDetector`` on the event loop. A call
    that exceeds its deadline is abandoned, and another call takes its place.

    Args:
        detector: The detector, not started.
        timeout_seconds: Time limit of a call.
        gate: Closed for ``detector NAME`` while the detector works for no image.
        budget: Decides whether the detector's monthly budget allows a call.
        prefetch: Loads images again.
        filters: Filter the detector's findings.
        video: Frames of videos that the detector receives; ``None`` if it takes no videos.
        on_stage: Gets the seconds of each stage of the work: how long images waited for a call, and
            those that the loading threads report.

    Attributes:
        detector: The detector.
        fingerprint: The detector's fingerprint, filters included.
        video_fingerprint: The fingerprint of runs on videos; ``None`` without videos.
        input: The form of an image that the detector declares.
        form: The form in which images are loaded for it.
        media: The media that the detector takes.
        video: Frames of videos that the detector receives.
        suspects: Images that may be the cause of an error.

    Raises:
        ConfigurationError: The detector's capabilities can't be read.
    """

    def __init__(
        self,
        detector: AsyncDetector[Any] | BlockingDetector,
        *,
        timeout_seconds: float,
        gate: ReceiveGate,
        budget: Budget,
        prefetch: Prefetch,
        filters: Filters,
        successes: Successes,
        video: VideoSampling | None = None,
        on_stage: StageObserver | None = None,
    ) -> None:
        self.detector = detector
        self.video = video
        self.media = {Media.IMAGE} if video is None else {Media.IMAGE, Media.VIDEO}
        self._timeout_seconds = timeout_seconds
        self._gate = gate
        self._budget = budget
        self._prefetch = prefetch
        self._filters = filters
        self._cause = f"detector {detector.name}"
        with startup_errors(detector.name):
            self.fingerprint = filters.fingerprint(detector.fingerprint())
            capabilities = detector.capabilities
            budget.add(detector.name, capabilities)
        self.video_fingerprint = None if video is None else video.fingerprint(self.fingerprint)
        self.input: Input = capabilities.input
        self._wait_seconds = capabilities.max_wait_ms / 1_000
        self.form = Form(
            capabilities.input,
            preparation_of(detector),
            on_stage,
            waits_for_others=self._wait_seconds > 0,
        )
        self._on_stage = on_stage
        if video is not None and self.input is not Input.PIXELS:
            raise ConfigurationError(
                f"RETINUE_VIDEO[{detector.name}]: this detector takes files, and frames of videos "
                "have only pixels: remove it there"
            )
        batch_size = 1 if isinstance(detector, AsyncDetector) else capabilities.max_batch_size
        self._load = LoadLimit(detector.name, capabilities.max_concurrency, batch_size)
        self.suspects = Suspects(
            gate, f"images of {self._cause}", self._load, self._rest, successes
        )
        rate = capabilities.requests_per_second
        self._interval_seconds = 1 / rate if rate else 0.0
        self._threads = DaemonThreads(detector.name, capabilities.max_concurrency)
        self._hangs = HangDetector()
        self._queue: deque[QueuedTask] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._running: set[Call] = set()
        self._inside: set[Call] = set()  # the detector's code has not returned
        self._slots_used = 0
        self._next_call_at = 0.0
        self._paused_until = 0.0
        self._is_probing = False
        self._is_started = False
        self._is_stopping = False
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = 0.0
        self._starting: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Return the detector's name."""
        return self.detector.name

    @property
    def version(self) -> str:
        """Return the detector's version."""
        return self.detector.version

    @property
    def capacity(self) -> int:
        """Return the number of images that the detector can process at a time."""
        return self._load.concurrency * self._load.batch_size

    @property
    def is_stopping(self) -> bool:
        """Return whether new calls are forbidden."""
        return self._is_stopping

    async def start(self) -> None:
        """Start the detector. If it isn't ready, keep trying in the background.

        Raises:
            ConfigurationError: The detector can never start with its options.
        """
        with startup_errors(self.name):
            wait_seconds = await self._try_to_start()
        if wait_seconds is not None:
            self._starting = asyncio.create_task(self._start_when_ready(wait_seconds))

    async def detect(self, task: Task, encoder: FindingsEncoder | None = None) -> Answer:
        """Call the detector for a task's image when it is the task's turn.

        The caller must release the budget that the answer reserves. The answer's findings are
        encoded if there is an encoder.

        Cancellation ends the waiting. A running call absorbs it and may finish. A second
        cancellation abandons the call.
        """
        entry = QueuedTask(task, asyncio.get_running_loop().create_future(), encoder)
        self._queue.append(entry)
        self._start_calls()
        try:
            return await entry.answer  # `asyncio.shield` would take twice the time
        except asyncio.CancelledError:
            if entry in self._queue:
                self._queue.remove(entry)
                raise
            if entry.is_dropped:
                raise
        if entry.answer.cancelled():  # the call hasn't ended meanwhile
            entry.answer = asyncio.get_running_loop().create_future()
        entry.is_last_wait = True
        return await entry.answer

    def pause(self, seconds: float, reason: str) -> None:
        """Close the gate and make no call for ``seconds``: the detector works for no image."""
        self._gate.close(self._cause, reason)
        self._pause_until(time.monotonic() + seconds)

    def stop_calling(self) -> None:
        """Start no more calls. A call that still waits for its first permit gives up."""
        self._is_stopping = True
        if self._starting is not None:
            self._starting.cancel()
        for call in self._running:
            if not call.permits:
                for wait in call.permit_waits:
                    wait.cancel()

    async def close(self, deadline: float) -> None:
        """Close the detector, unless a call is running: closing could then crash the process.

        Args:
            deadline: Until when running calls may take, on the monotonic clock in seconds. Closing
                may take ``CLOSE_SECONDS`` more.
        """
        if self._starting is not None:
            await asyncio.wait({self._starting}, timeout=max(0.0, deadline - time.monotonic()))
        if self._calls:
            await asyncio.wait(self._calls, timeout=max(0.0, deadline - time.monotonic()))
        for call in self._running:
            log.warning("call_abandoned", detector=self.name, image_ids=call.image_ids())
        if self._is_started and not self._slots_used and not self._inside:
            closing = asyncio.create_task(self._close())
            left = max(0.0, deadline - time.monotonic()) + CLOSE_SECONDS
            done, _ = await asyncio.wait({closing}, timeout=left)
            if not done:
                log.error("detector_close_timed_out", detector=self.name)
                closing.cancel()
        self._threads.close()

    async def _close(self) -> None:
        with close_errors(self.name):
            if isinstance(self.detector, AsyncDetector):
                await self.detector.close()
            else:
                await self._threads.run(self.detector.close)

    async def _try_to_start(self) -> float | None:
        """Start the detector. If it isn't ready, return the wait before the next try."""
        try:
            if isinstance(self.detector, AsyncDetector):
                await self.detector.start()
            else:
                await self._threads.run(self.detector.start)
        except DetectorNotReadyError as error:
            self._gate.close(self._cause, str(error))
            return probe_seconds(error)
        except Exception as error:
            if not is_shortage(error):  # another process may hold a resource that this one needs
                raise
            log.exception("detector_start_failed", detector=self.name)
            self._gate.close(self._cause, format_error(error))
            return PROBE_SECONDS
        except BaseException as error:  # SystemExit must not end the loop
            if _is_cancellation(error):
                raise
            raise RuntimeError(format_error(error)) from error
        self._is_started = True
        self._gate.open(self._cause)
        log_start(self.detector, self.fingerprint)
        self._start_calls()
        return None

    async def _start_when_ready(self, wait_seconds: float | None) -> None:
        """Try again until the detector has started. Cancellation ends the wait."""
        while wait_seconds is not None:
            await asyncio.sleep(wait_seconds)
            start = asyncio.ensure_future(self._try_to_start())
            try:
                wait_seconds = await asyncio.shield(start)
            except asyncio.CancelledError:
                await start  # a detector must not be closed while it starts
                raise
            except Exception as error:  # it wasn't ready before: keep the messages
                log.exception("detector_start_failed", detector=self.name)
                self._gate.close(self._cause, format_error(error))
                wait_seconds = PROBE_SECONDS

    def _start_calls(self) -> None:
        """Start the calls that tasks, concurrency, rate limits and pauses allow."""
        if self._is_stopping or not self._is_started:
            return
        while self._queue and self._slots_used < self._load.concurrency:
            now = time.monotonic()
            due = max(self._paused_until, self._next_call_at)
            if due > now:
                self._wake_at(due, now)
                return
            full_at = self._full_at()
            if full_at > now:
                self._wake_at(full_at, now)
                return
            self._next_call_at = now + self._interval_seconds
            if self._is_probing:
                self._paused_until = math.inf
                batch = [self._queue.popleft()]
            else:
                batch = self._pop_batch()
            self._slots_used += 1
            call = asyncio.create_task(self._serve(batch, is_probe=self._is_probing))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    def _full_at(self) -> float:
        """Return until when the waiting tasks may wait for others."""
        first = self._queue[0]
        is_full = len(self._queue) >= self._load.batch_size
        if not self._wait_seconds or is_full or self._is_probing or first.task.alone:
            return 0.0
        is_loaded_here = self.input is not Input.REFERENCE and first.task.image.has_file
        if is_loaded_here and not self._prefetch.is_loading:  # no other image is about to come
            return 0.0
        return first.queued_at + self._wait_seconds

    def _wake_at(self, due: float, now: float) -> None:
        """Start calls at ``due``. An earlier timer remains: it sets the next one."""
        if self._timer is not None:
            if self._wakes_at <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due < math.inf:
            loop = asyncio.get_running_loop()
            self._wakes_at = due  # uvloop's handle for a delay near 0 doesn't have its time
            self._timer = loop.call_later(due - now, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._start_calls()

    def _pop_batch(self) -> list[QueuedTask]:
        batch = [self._queue.popleft()]
        while (
            self._queue
            and len(batch) < self._load.batch_size
            and not batch[0].task.alone
            and not self._queue[0].task.alone
        ):
            batch.append(self._queue.popleft())
        return batch

    def _pause_until(self, moment: float) -> None:
        self._paused_until = moment
        self._start_calls()

    def _rest(self, seconds: float) -> None:
        """Make no call for ``seconds``, or until a longer pause ends."""
        self._pause_until(max(self._paused_until, time.monotonic() + seconds))

    def _probe_at(self, moment: float) -> None:
        """Make one call at ``moment`` for one image, and no others until the detector answers."""
        self._is_probing = True
        self._pause_until(moment)

    async def _serve(self, batch: Sequence[QueuedTask], *, is_probe: bool) -> None:
        """Make one call and answer its entries. Then free the call's slot."""
        has_slot = True
        try:
            reserved_usd = await self._budget.reserve(self.name, len(batch))
            while reserved_usd is None and len(batch) > 1:  # the budget may allow fewer images
                middle = len(batch) // 2
                self._put_back(batch[middle:])
                batch = batch[:middle]
                reserved_usd = await self._budget.reserve(self.name, len(batch))
            if reserved_usd is None:
                self._put_back(batch)
                self._pause_until(time.monotonic() + PROBE_SECONDS)
                return
            for entry in batch:
                entry.reserved_usd = reserved_usd / len(batch)
            ready = await self._loaded(batch)
            if self._is_stopping:
                for entry in ready:
                    self._drop(entry)
            elif ready:
                has_slot = await self._call(ready, is_probe=is_probe)
            elif is_probe:  # the detector wasn't called: probe with another image
                self._probe_at(time.monotonic())
        finally:
            self._slots_used -= has_slot
            self._start_calls()

    def _put_back(self, entries: Sequence[QueuedTask]) -> None:
        """Queue entries that exceed the budget in front. The receive gate is closed already."""
        if self._is_stopping:
            for entry in entries:
                self._drop(entry)
            return
        self._queue.extendleft(reversed(entries))

    async def _loaded(self, batch: Sequence[QueuedTask]) -> list[QueuedTask]:
        """Load images that are no longer loaded. Entries whose images fail get the error.

        So do entries whose messages are visible again, after a pause of hours: another worker may
        process them, too.
        """
        ready = []
        hidden_since = time.monotonic() - MAX_VISIBILITY_TIMEOUT_SECONDS
        for entry in batch:
            image = entry.task.image
            error: Exception | None = None
            if entry.task.message.received_at <= hidden_since:
                error = MessageExpiredError("SQS hides a message for at most 12 hours")
            elif not self.form.is_loaded(image):
                error = await self._prefetch.load(image, self.form)
            if error is None:
                ready.append(entry)
            else:
                self._answer(entry, Answer(error, datetime.now(UTC)))
        return ready

    async def _call(self, entries: Sequence[QueuedTask], *, is_probe: bool) -> bool:
        """Call the detector and answer the entries.

        Returns:
            Whether the call still has its slot. A call that timed out has lost it.
        """
        call = Call(
            entries,
            self._timeout_seconds,
            self._time_out,
            is_probe=is_probe,
            coroutine=asyncio.current_task(),
        )
        token = current_call.set(call)
        self._running.add(call)
        self._inside.add(call)
        call.start_clock()
        if self._on_stage is not None:
            self._on_stage("wait", time.monotonic() - entries[0].queued_at)
        try:
            values = await self._values(call, [entry.task.image for entry in entries])
        except asyncio.CancelledError:
            if call.is_over:  # it timed out
                return False
            raise
        except Exception as error:  # noqa: BLE001 - a bug must not leave tasks without an answer
            values = [self._raised(error, len(entries))] * len(entries)
        finally:
            call.stop_clock()
            current_call.reset(token)
            self._running.discard(call)
        if call.is_over:
            return False
        duration_ms = call.duration_ms()
        call.end()
        if any(isinstance(value, DetectorTimeoutError) for value in values):
            self._blame_hang(call, entries)  # an isolated detector, whose process was killed
            return True
        self._note_response(values)
        size = len(entries)
        for entry, value in zip(entries, values, strict=True):
            if entry.encoder is not None and isinstance(value, Findings):
                encoded = self._encoded(value, entry.encoder)
                self._answer(entry, Answer(encoded, call.started_at, duration_ms, size))
            else:
                self._answer(entry, Answer(value, call.started_at, duration_ms, size))
        return True

    def _encoded(self, findings: Findings, encoder: FindingsEncoder) -> Findings | EncodedFindings:
        """Encode findings here, where the processor's cache has them, and they can be freed.

        Findings that can't be encoded are returned. ``RunRecorder`` reports the error.
        """
        try:
            return encoder.encode(findings, self.detector.model_version)
        except BaseException:  # noqa: BLE001 - a plugin's values can raise anything
            return findings

    async def _values(
        self, call: Call, images: Sequence[Image]
    ) -> Sequence[Findings | BaseException]:
        if isinstance(self.detector, AsyncDetector):
            try:
                return [await self._detect_async(self.detector, images[0])]
            finally:
                self._inside.discard(call)
        return await self._threads.run(self._detect_on_thread, self.detector, call, images)

    async def _detect_async(
        self, detector: AsyncDetector[Any], image: Image
    ) -> Findings | BaseException:
        """Return one answer for any result or error of the detector."""
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task else 0
        try:
            found: object = await detector.detect(image)
        except asyncio.CancelledError as error:
            if task is None or task.cancelling() > cancelled_before:
                raise
            return self._raised(error, 1)  # the plugin's own
        except BaseException as error:  # noqa: BLE001 - SystemExit must not end the loop
            return self._raised(error, 1)
        answer = self._checked(found)
        if isinstance(answer, Findings) and self._filters:
            return await self._threads.run(self._filters.apply, self.name, image.reference, answer)
        return answer

    def _detect_on_thread(
        self, detector: BlockingDetector, call: Call, images: Sequence[Image]
    ) -> Sequence[Findings | BaseException]:
        """Return one answer per image for any result or error of the detector."""
        try:
            # One more answer than expected shows that there are too many, even if they never end.
            results: list[object] = list(islice(detector.detect(images), len(images) + 1))
        except BaseException as error:  # noqa: BLE001 - SystemExit must not end the thread
            return [self._raised(error, len(images))] * len(images)
        finally:
            self._inside.discard(call)  # also if the call was abandoned
        if len(results) != len(images):
            wrong = wrong_number(len(results), len(images))
            return [self._raised(wrong, len(images))] * len(images)
        answers = [self._checked(result) for result in results]
        if not self._filters:
            return answers
        return [
            self._filters.apply(self.name, image.reference, answer)
            if isinstance(answer, Findings)
            else answer
            for image, answer in zip(images, answers, strict=True)
        ]

    def _checked(self, result: object) -> Findings | BaseException:
        if isinstance(result, DetectorError):
            drop_tracebacks(result)
            return result
        return result if isinstance(result, Findings) else wrong_type(result)

    def _raised(self, error: BaseException, images: int) -> BaseException:
        if isinstance(error, InvalidAnswerError):
            log.error("detector_misbehaved", detector=self.name, reason=str(error))
        elif not isinstance(error, DetectorError | ConfigurationError):
            log.error("detector_raised", detector=self.name, images=images, exc_info=error)
        drop_tracebacks(error)
        return error

    def _note_response(self, values: Sequence[Findings | BaseException]) -> None:
        """Record that the detector answers, and that it is ready if it returned findings."""
        was_unresponsive = self._hangs.is_unresponsive
        self._hangs.record_response()
        if was_unresponsive:
            self._is_probing = False
            self._paused_until = 0.0
        looked = any(isinstance(value, Findings | InvalidImageError) for value in values)
        if was_unresponsive or looked:
            self._gate.open(self._cause)

    def _time_out(self, call: Call) -> None:
        """Abandon a call that exceeded its deadline, and free its slot."""
        entries = call.entries
        call.end()
        self._running.discard(call)
        self._slots_used -= 1
        if call.coroutine is not None:
            call.coroutine.cancel()  # ends a coroutine, and abandons a thread
            self._calls.discard(call.coroutine)  # nothing waits for a call that continues
        self._blame_hang(call, entries)
        self._start_calls()

    def _blame_hang(self, call: Call, entries: Sequence[QueuedTask]) -> None:
        """Fail the images of a call that hung, or close the gate if the detector answers none."""
        error = DetectorTimeoutError(self._timeout_seconds)
        image_ids = {entry.task.image.image_id for entry in entries}
        log.error("detector_timed_out", detector=self.name, image_ids=[*map(str, image_ids)])
        # Calls that ran when it became unresponsive don't affect the next probe.
        if call.is_probe or not self._hangs.is_unresponsive:
            self._hangs.record_timeout(image_ids)
            if self._hangs.is_unresponsive:
                reason = f"{error}, to several calls in a row and any since"
                self._gate.close(self._cause, reason)
                self._probe_at(time.monotonic() + self._hangs.probe_seconds())
        answer = Answer(
            error,
            call.started_at,
            self._timeout_seconds * 1_000 / len(entries),
            len(entries),
            is_unresponsive=self._hangs.is_unresponsive,
        )
        for entry in entries:
            entry.task.probes += self._hangs.is_unresponsive
            self._answer(entry, answer)

    def _answer(self, entry: QueuedTask, answer: Answer) -> None:
        if entry.answer.done():  # the wait was cancelled
            if entry.is_last_wait:
                self._drop(entry)
                return
            entry.answer = asyncio.get_running_loop().create_future()  # `detect` finds it
        if entry.reserved_usd:
            answer = replace(answer, reserved_usd=entry.reserved_usd)
        entry.answer.set_result(answer)

    def _drop(self, entry: QueuedTask) -> None:
        """End an entry without an answer, because the worker is stopping."""
        entry.is_dropped = True
        entry.answer.cancel()
        self._budget.release(self.name, entry.reserved_usd)


@contextmanager
def startup_errors(name: str) -> Iterator[None]:
    """Turn a plugin's exception into a refusal to start that names the detector."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"detector {name}: {error}") from error
    except BaseException as error:
        if _is_cancellation(error):
            raise
        log.exception("detector_start_failed", detector=name)
        raise ConfigurationError(f"detector {name} cannot start: {format_error(error)}") from error


@contextmanager
def close_errors(name: str) -> Iterator[None]:
    """Log an exception of a plugin that is being closed. The others must be closed, too."""
    try:
        yield
    except asyncio.CancelledError:
        raise
    except BaseException:  # a plugin can raise anything
        log.exception("detector_close_failed", detector=name)


def log_start(
    detector: AsyncDetector[Any] | BlockingDetector | JobDetector[Any], fingerprint: str
) -> None:
    """Log that a detector has started."""
    log.info(
        "detector_started",
        detector=detector.name,
        version=detector.version,
        model_version=detector.model_version,
        fingerprint=fingerprint,
    )


def _is_cancellation(error: BaseException) -> bool:
    """Return whether this task was cancelled. A plugin may raise ``CancelledError`` itself."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop
        return False
    return task is not None and task.cancelling() > 0
