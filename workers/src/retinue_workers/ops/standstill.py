"""Measure how long messages have waited without progress."""

import asyncio
import time
from collections.abc import Callable

import structlog

from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.work import QueueDepth

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
"""How often the queue is checked for waiting messages."""

STANDSTILL_SECONDS = 120.0
"""Time after which a standstill is logged, and shown by ``/health``."""


class Standstill:
    """Measures how long messages have waited without progress.

    Messages wait in the queue, or in flight in this worker. The worker stands still while none of
    them is deleted or requeued, for any reason.

    Args:
        in_flight: Returns how many messages are in flight.
        queue_depth: Reads the queue's depth; ``None`` if it can't be read.
        clock: The time in seconds.
    """

    def __init__(
        self,
        in_flight: Callable[[], int],
        queue_depth: Callable[[], QueueDepth] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._in_flight = in_flight
        self._queue_depth = queue_depth
        self._clock = clock
        self._visible = 0
        self._since = clock()
        self._is_logged = False

    def record_progress(self) -> None:
        """Record that a message was finished, or that none waits."""
        self._since = self._clock()
        self._is_logged = False

    def waiting(self) -> int:
        """Return the known number of waiting messages. Thread-safe."""
        return self._in_flight() + self._visible

    def seconds(self) -> float:
        """Return the seconds that messages have waited without progress; 0 if none waits.

        Thread-safe.
        """
        return self._clock() - self._since if self.waiting() else 0.0

    def text(self) -> str:
        """Return a line about a long standstill; otherwise an empty text. Thread-safe."""
        seconds = self.seconds()
        if seconds < STANDSTILL_SECONDS:
            return ""
        return f"standing still for {seconds:.0f} s with {self.waiting()} messages waiting"

    async def watch(self) -> None:
        """Check the queue for waiting messages until cancelled."""
        threads = DaemonThreads("standstill", 1)
        try:
            while True:
                await self.look(threads)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            threads.close()

    async def look(self, threads: DaemonThreads) -> None:
        """Check once whether messages wait. Log a long standstill.

        Args:
            threads: Run the call of SQS.
        """
        idle_seconds = self._clock() - self._since
        self._visible = 0
        if self._queue_depth is not None and idle_seconds >= LOOK_SECONDS:
            try:
                self._visible = (await threads.run(self._queue_depth)).visible
            except Exception as error:  # noqa: BLE001 - the queue is unavailable, too
                log.warning("queue_depth_unknown", reason=str(error))
                self._visible = 1  # an unknown depth doesn't mean that none waits
        if not self.waiting():
            self.record_progress()
        elif not self._is_logged and (text := self.text()):
            self._is_logged = True
            log.error("standing_still", reason=text)
