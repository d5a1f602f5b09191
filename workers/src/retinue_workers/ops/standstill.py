"""How long messages have waited without one of them being done."""

import asyncio
import time
from collections.abc import Callable

import structlog

from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.work import QueueDepth

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
"""How often the queue is asked whether messages wait."""

STANDSTILL_SECONDS = 120.0
"""After how long a standstill is logged, and told by ``/health``."""


class Standstill:
    """Measures how long the worker has stood still while messages wait.

    Messages wait in the queue, or in flight in this worker. It stands still while none of them is
    deleted or requeued, whatever the reason.

    Args:
        in_flight: Returns how many messages the worker holds.
        queue_depth: Reads what the queue holds; ``None`` if it can't be read.
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
        """A message was done, or there is none."""
        self._since = self._clock()
        self._is_logged = False

    def waiting(self) -> int:
        """Return how many messages wait, as far as is known. Thread-safe."""
        return self._in_flight() + self._visible

    def seconds(self) -> float:
        """Return how long messages have waited without one being done; 0 if none waits.

        Thread-safe.
        """
        return self._clock() - self._since if self.waiting() else 0.0

    def text(self) -> str:
        """Return a line for people, or nothing if it doesn't stand still for long. Thread-safe."""
        seconds = self.seconds()
        if seconds < STANDSTILL_SECONDS:
            return ""
        return f"standing still for {seconds:.0f} s with {self.waiting()} messages waiting"

    async def watch(self) -> None:
        """Look, until cancelled, whether messages wait in the queue."""
        threads = DaemonThreads("standstill", 1)
        try:
            while True:
                await self.look(threads)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            threads.close()

    async def look(self, threads: DaemonThreads) -> None:
        """Look once whether messages wait; log it if they have for long.

        Args:
            threads: Where the queue is asked.
        """
        idle_seconds = self._clock() - self._since
        self._visible = 0
        if self._queue_depth is not None and idle_seconds >= LOOK_SECONDS:
            try:
                self._visible = (await threads.run(self._queue_depth)).visible
            except Exception as error:  # noqa: BLE001 - the queue is away, too
                log.warning("queue_depth_unknown", reason=str(error))
                self._visible = 1  # it isn't known that none waits
        if not self.waiting():
            self.record_progress()
        elif not self._is_logged and (text := self.text()):
            self._is_logged = True
            log.error("standing_still", reason=text)
