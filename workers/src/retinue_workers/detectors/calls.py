"""Calls of a detector: made safely, given up when they hang, each ended exactly once."""

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from threading import Condition, local
from typing import Any, cast

import structlog
from retinue_sdk import (
    AnyDetector,
    ConfigurationError,
    DetectorError,
    Findings,
    FutureDetector,
    Image,
    Result,
)

from retinue_workers.attempt import Attempt

log = structlog.get_logger(__name__)


class MisansweredError(TypeError):
    """A detector returned something that is no answer, or not one for each image."""


@dataclass(eq=False, slots=True)
class Call:
    """A call of ``detect``.

    Attributes:
        attempts: Whose images it is about.
        deadline: When it is given up (monotonic clock, seconds).
        started: When it began, on the same clock.
        started_at: When it began, in UTC.
        turns: How many calls of its service it was allowed to make.
        submitted: Whether ``submit`` has returned, where that is what was called.
    """

    attempts: list[Attempt]
    deadline: float
    started: float = field(default_factory=time.monotonic)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    turns: int = 0
    submitted: bool = False

    def duration_ms(self) -> float:
        """Milliseconds that the call took without waiting, shared out evenly over its images."""
        return (time.monotonic() - self.started) * 1_000 / len(self.attempts)

    def image_ids(self) -> list[str]:
        """What it is about, as the log names it."""
        return [str(attempt.image.image_id) for attempt in self.attempts]


class Calls:
    """The calls that a detector is at. Whoever ends a call answers for its attempts.

    That is the thread that made it, when the detector answers; or ``overdue``, when it takes too
    long; or ``drain``, when the worker stops and has no more time.
    """

    def __init__(self) -> None:
        """Begin with none, and open."""
        self._changed = Condition()
        self._running: set[Call] = set()
        self._hung: set[Call] = set()
        self._busy = 0
        self._watched_until = -math.inf
        self._draining = False
        self._closed = False
        self._here = local()

    @property
    def closed(self) -> bool:
        """Whether no call may begin any more."""
        return self._closed

    @property
    def running(self) -> int:
        """How many calls have begun and not ended, those aside that hang."""
        return len(self._running)

    @contextmanager
    def suspended(self) -> Iterator[Call | None]:
        """Stop the clock of the call that this thread is at, if it is at one, and yield it."""
        call: Call | None = getattr(self._here, "call", None)
        if call is None:
            yield None
            return
        began, rest = time.monotonic(), call.deadline - time.monotonic()
        call.deadline = math.inf
        try:
            yield call
        finally:
            with self._changed:
                now = time.monotonic()
                call.started += now - began
                call.deadline = now + rest
                if call.deadline < self._watched_until:
                    self._changed.notify_all()

    @contextmanager
    def busy(self) -> Iterator[bool]:
        """Say that a thread is at the detector, or about to be; yields whether it still may."""
        may = self.enter()
        try:
            yield may
        finally:
            self.leave()

    def enter(self) -> bool:
        """As ``busy``, until ``leave``, on whatever thread."""
        with self._changed:
            self._busy += 1
            return not self._closed

    def leave(self) -> None:
        """What ``enter`` began is over."""
        with self._changed:
            self._busy -= 1
            if self._draining:
                self._changed.notify_all()

    def begin(self, call: Call) -> bool:
        """Count a call as running; ``False`` if none may begin any more."""
        with self._changed:
            if self._closed:
                return False
            self._running.add(call)
            self._here.call = call
            if call.deadline < self._watched_until:
                self._changed.notify_all()
            return True

    def end(self, call: Call) -> bool:
        """Count a call as over; ``False`` if it was given up before."""
        with self._changed:
            self._here.call = None
            self._hung.discard(call)
            if call not in self._running:
                return False
            self._running.remove(call)
            return True

    def submitted(self, call: Call) -> bool:
        """The thread that began a call has submitted it; whether it was not given up meanwhile."""
        with self._changed:
            self._here.call = None
            call.submitted = call in self._running or call not in self._hung
            return call.submitted

    def overdue(self) -> list[Call]:
        """Wait for calls to exceed their time, and give them up; none at all after ``close``."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if late := {call for call in self._running if call.deadline <= now}:
                    self._running -= late
                    self._hung |= late
                    return list(late)
                nearest = min((call.deadline for call in self._running), default=math.inf)
                # Who begins a call wakes this thread only if it would sleep too long.
                self._watched_until = nearest
                self._changed.wait(None if nearest == math.inf else nearest - now)
            return []

    def close(self) -> None:
        """Let no call begin any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def drain(self, deadline: float) -> list[Call]:
        """Wait until no thread is busy but those that hang; give up calls that last longer.

        Args:
            deadline: How long to wait at most (monotonic clock, seconds).

        Returns:
            The calls given up.
        """
        with self._changed:
            self._draining = True
            self._changed.wait_for(
                lambda: self._busy == len(self._hung),
                timeout=max(0.0, deadline - time.monotonic()),
            )
            late = list(self._running)
            self._hung |= self._running
            self._running.clear()
            return late

    @property
    def idle(self) -> bool:
        """Whether no thread is at the detector."""
        return self._busy == 0


def detect(detector: AnyDetector, images: Sequence[Image]) -> Sequence[Findings | BaseException]:
    """One answer for each image, whatever the detector does."""
    try:
        # One more than wanted tells that there are too many, even if they never end.
        results: list[object] = list(islice(detector.detect(images), len(images) + 1))
    except BaseException as error:  # noqa: BLE001 - even SystemExit must not take the thread down
        return [_raised(detector, error, len(images))] * len(images)
    if len(results) != len(images):
        number = len(results) if len(results) < len(images) else "more"
        wrong = MisansweredError(f"detect returned {number} results for {len(images)} images")
        log.error("detector_misbehaved", detector=detector.name, reason=str(wrong))
        return [wrong] * len(images)
    return [_answer("detect returned", result) for result in results]


def submit(detector: AnyDetector, image: Image) -> "Future[Result]":
    """A future of the answer for an image, whatever the detector does."""
    try:
        future: object = cast("FutureDetector[Any]", detector).submit(image)
    except BaseException as error:  # noqa: BLE001 - as above
        wrong = error
    else:
        if isinstance(future, Future):
            return future
        wrong = MisansweredError(f"submit returned a {type(future).__name__}, not a Future")
    failed: Future[Result] = Future()
    failed.set_exception(wrong)
    return failed


def outcome(detector: AnyDetector, future: "Future[Result]") -> Findings | BaseException:
    """The answer that a future has, which is done."""
    try:
        return _answer("the future was of", future.result(0))
    except BaseException as error:  # noqa: BLE001 - as above; CancelledError is one
        return _raised(detector, error, 1)


def _raised(detector: AnyDetector, error: BaseException, images: int) -> BaseException:
    """What was raised, as an answer."""
    if isinstance(error, MisansweredError):
        log.error("detector_misbehaved", detector=detector.name, reason=str(error))
    elif not isinstance(error, DetectorError | ConfigurationError):
        log.error("detector_raised", detector=detector.name, images=images, exc_info=error)
    return error


def _answer(what: str, result: object) -> Findings | BaseException:
    """What was returned, if it is an answer."""
    if isinstance(result, Findings | DetectorError):
        return result
    return MisansweredError(f"{what} a {type(result).__name__}, not Findings or DetectorError")
