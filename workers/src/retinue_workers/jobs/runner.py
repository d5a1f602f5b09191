"""A detector of videos, as the worker uses it."""

import asyncio
import time
from typing import Any

import structlog
from retinue_history import DetectorConfiguration
from retinue_sdk import DetectorNotReadyError, JobDetector, Media
from retinue_sdk.errors import format_error

from retinue_workers.detectors.filters import Filters
from retinue_workers.detectors.retry_policy import PROBE_SECONDS, probe_seconds
from retinue_workers.detectors.runner import CLOSE_SECONDS, close_errors, log_start, startup_errors
from retinue_workers.limits.budget import Budget

log = structlog.get_logger(__name__)

STALE_SECONDS = 300.0
"""Time after a pause during which its reason is shown. It is set again while jobs wait."""


class JobRunner:
    """Starts and closes a detector of videos, and reports whether its jobs must wait.

    Args:
        detector: The detector, not started.
        filters: Filter its findings.
        budget: Prices its jobs.
        max_jobs: Maximum number of jobs under way in its group; ``None`` for the detector's own.

    Attributes:
        detector: The detector.
        fingerprint: Its fingerprint, filters included.
        media: The media that it takes.
        job_group: The name under which its jobs are counted.
        max_jobs: Maximum number of jobs under way in its group.

    Raises:
        ConfigurationError: Its capabilities can't be read, or it has a budget and no price.
    """

    media = frozenset({Media.VIDEO})
    video_fingerprint: str | None = None  # it takes nothing but videos

    def __init__(
        self,
        detector: JobDetector[Any],
        *,
        filters: Filters,
        budget: Budget,
        max_jobs: int | None = None,
    ) -> None:
        self.detector = detector
        with startup_errors(detector.name):
            self.fingerprint = filters.fingerprint(detector.fingerprint())
            capabilities = detector.capabilities
            budget.add(detector.name, capabilities, closes_gate=False)
        self.job_group = capabilities.job_group or detector.name
        self.max_jobs = max_jobs or capabilities.max_jobs
        self.budget_usd = budget.limit_usd(detector.name)
        self._is_started = False
        self._reasons: dict[str, str] = {}
        self._until: dict[str, float] = {}

    @property
    def name(self) -> str:
        """Return the detector's name."""
        return self.detector.name

    @property
    def version(self) -> str:
        """Return the detector's version."""
        return self.detector.version

    @property
    def configuration(self) -> DetectorConfiguration:
        """Return the name, version and fingerprint, as the history stores them."""
        return DetectorConfiguration(self.name, self.version, self.fingerprint)

    @property
    def reasons(self) -> list[str]:
        """Return why jobs wait. Thread-safe."""
        now = time.monotonic()
        return [
            reason
            for cause, reason in list(self._reasons.items())
            if now < self._until.get(cause, now) + STALE_SECONDS
        ]

    async def start(self) -> None:
        """Start the detector. If it isn't ready, its jobs wait, and ``is_ready`` tries again.

        Raises:
            ConfigurationError: The detector can never start with its options.
        """
        with startup_errors(self.name):
            await self._try_to_start()

    async def is_ready(self) -> bool:
        """Return whether the service may be called."""
        if self._must_wait("detector"):
            return False
        if not self._is_started:
            try:
                await self._try_to_start()
            except Exception as error:  # it wasn't ready before: keep the jobs
                log.exception("detector_start_failed", detector=self.name)
                self.pause(PROBE_SECONDS, format_error(error))
        return self._is_started

    @property
    def may_spend(self) -> bool:
        """Return whether another job may be started, by the last known budget."""
        return not self._must_wait("budget")

    def pause(self, seconds: float, reason: str) -> None:
        """Don't call the service for ``seconds``: it processes no video."""
        self._wait("detector", seconds, reason)

    def pause_starts(self, seconds: float, reason: str) -> None:
        """Don't start jobs for ``seconds``, because the budget is spent."""
        self._wait("budget", seconds, reason)

    def resume(self) -> None:
        """Record that the service answers."""
        self._end("detector")

    def resume_starts(self) -> None:
        """Record that the budget allows a job."""
        self._end("budget")

    async def close(self) -> None:
        """Close the detector, if it was started."""
        if not self._is_started:
            return
        self._is_started = False
        with close_errors(self.name):
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self.detector.close()
            except TimeoutError:
                log.error("detector_close_timed_out", detector=self.name)

    async def _try_to_start(self) -> None:
        try:
            await self.detector.start()
        except DetectorNotReadyError as error:
            self.pause(probe_seconds(error), str(error))
            return
        except (SystemExit, KeyboardInterrupt) as error:  # they must not end the event loop
            raise RuntimeError(format_error(error)) from error
        self._is_started = True
        self.resume()
        log_start(self.detector, self.fingerprint)

    def _must_wait(self, cause: str) -> bool:
        return time.monotonic() < self._until.get(cause, 0.0)

    def _wait(self, cause: str, seconds: float, reason: str) -> None:
        self._until[cause] = time.monotonic() + seconds
        if self._reasons.get(cause) != reason:
            self._reasons[cause] = reason
            log.error("jobs_paused", detector=self.name, cause=cause, reason=reason)

    def _end(self, cause: str) -> None:
        self._until.pop(cause, None)
        if self._reasons.pop(cause, None) is not None:
            log.info("jobs_resumed", detector=self.name, cause=cause)
