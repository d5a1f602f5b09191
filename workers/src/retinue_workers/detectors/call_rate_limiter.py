"""Limit the rate of one detector's calls. Waits don't count against their time."""

import asyncio

from retinue_sdk import Permit, StoppedError

from retinue_workers.detectors.call import current_call
from retinue_workers.detectors.runner import DetectorRunner
from retinue_workers.limits.rate_limits.shared_limiter import SharedRateLimiter


class CallRateLimiter:
    """Limits the calls of one detector.

    Waiting for a permit doesn't count against the detector's timeout or the run's duration.
    When the worker stops, a call that waits for its first permit gives up; one that has already
    called its service may finish.

    Args:
        shared: The worker's rate limiter.
        runner: The detector's runner; ``None`` for a detector whose calls aren't timed.
    """

    def __init__(self, shared: SharedRateLimiter, runner: DetectorRunner | None) -> None:
        self._shared = shared
        self._runner = runner
        self._loop = asyncio.get_running_loop()

    async def acquire(self, quota: str) -> Permit:
        """Wait until a call against ``quota`` is allowed."""
        call = current_call.get()
        if call is None or self._runner is None:
            return await self._shared.acquire(quota)
        if self._runner.is_stopping and not call.permits:
            raise StoppedError
        permit = self._shared.try_acquire(quota)
        if permit is None:
            with call.suspended():
                wait = asyncio.ensure_future(self._shared.acquire(quota))
                call.permit_waits.add(wait)
                try:
                    await asyncio.wait({wait})
                finally:
                    call.permit_waits.discard(wait)
                    wait.cancel()
            if wait.cancelled():
                raise StoppedError
            permit = wait.result()
        call.permits += 1
        return permit

    def acquire_blocking(self, quota: str) -> Permit:
        """Wait like ``acquire``, on a detector's thread."""
        return asyncio.run_coroutine_threadsafe(self.acquire(quota), self._loop).result()
