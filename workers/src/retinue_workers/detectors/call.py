"""One call of a detector: its images and its remaining time."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from retinue_workers.detectors.encoding import FindingsEncoder
from retinue_workers.detectors.retry_policy import Answer
from retinue_workers.work import Task

current_call: ContextVar["Call | None"] = ContextVar("current_call", default=None)
"""The current call, on any thread that runs a detector's code."""


@dataclass(eq=False, slots=True)
class QueuedTask:
    """A task that waits for its detector.

    Attributes:
        task: The task.
        answer: The detector's answer.
        encoder: Encodes the findings for the history; ``None`` for a frame of a video.
        reserved_usd: The amount that is reserved for the call.
        queued_at: When it began to wait, on the monotonic clock in seconds.
        is_dropped: Whether there will be no answer.
        is_last_wait: Whether the next cancellation of the wait for the answer abandons the call.
    """

    task: Task
    answer: "asyncio.Future[Answer]"
    encoder: FindingsEncoder | None = None
    reserved_usd: Decimal = Decimal(0)
    queued_at: float = field(default_factory=time.monotonic)
    is_dropped: bool = False
    is_last_wait: bool = False


@dataclass(eq=False, slots=True)
class Call:
    """One call of ``detect``.

    Attributes:
        entries: The tasks of the call.
        timeout_seconds: Time limit without waits for permits.
        time_out: Called when the time is over.
        permits: Number of calls to its service that were permitted.
        permit_waits: The permits that it currently waits for.
        is_probe: Whether it tests if the detector answers again.
        is_over: Whether it has ended or timed out.
        coroutine: The coroutine that makes the call.
    """

    entries: Sequence[QueuedTask]
    timeout_seconds: float
    time_out: Callable[["Call"], None]
    is_probe: bool = False
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    permits: int = 0
    permit_waits: "set[asyncio.Future[Any]]" = field(default_factory=set)
    is_over: bool = False
    coroutine: "asyncio.Task[Any] | None" = None
    _started: float = field(default_factory=time.monotonic)
    _timer: asyncio.TimerHandle | None = None
    _suspensions: int = 0
    _suspended_at: float = 0.0

    def start_clock(self) -> None:
        """Start or restart the clock of the remaining time."""
        loop = asyncio.get_running_loop()
        left = self.timeout_seconds - (time.monotonic() - self._started)
        self._timer = loop.call_later(left, self.time_out, self)

    def stop_clock(self) -> None:
        """Stop the clock of the remaining time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None  # its context has this call: a cycle of garbage for each image

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Stop the clock inside the block, where the detector waits for a permit."""
        if not self._suspensions:
            self.stop_clock()
            self._suspended_at = time.monotonic()
        self._suspensions += 1
        try:
            yield
        finally:
            self._suspensions -= 1
            if not self._suspensions:
                self._started += time.monotonic() - self._suspended_at
                if not self.is_over:
                    self.start_clock()

    def end(self) -> None:
        """End the call and release its images, because a timer may keep the call for a while."""
        self.is_over = True
        self.entries = ()

    def duration_ms(self) -> float:
        """Return the call's milliseconds without waits, divided evenly among its images."""
        return (time.monotonic() - self._started) * 1_000 / len(self.entries)

    def image_ids(self) -> list[str]:
        """Return the ids of the call's images, for the log."""
        return [str(entry.task.image.image_id) for entry in self.entries]
