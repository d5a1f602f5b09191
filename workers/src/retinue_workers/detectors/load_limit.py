"""Limit a detector's concurrent work after a shortage, and raise the limit slowly again."""

import time

import structlog

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.5
"""Pause of a detector after a shortage.

It doubles after each consecutive shortage of a single image.
"""

LONGEST_PAUSE_SECONDS = 30.0
"""Maximum length of a pause."""

FIRST_QUIET_SECONDS = 30.0
"""Time without a shortage before the limit rises. It doubles after each shortage."""

LONGEST_QUIET_SECONDS = 3_600.0
"""Maximum of that time."""


class LoadLimit:
    """Limits the concurrent calls and the batch size of one detector.

    A shortage halves the batch size, then the number of calls, down to one image at a time. After a
    time without a shortage, the limits double again.

    Args:
        detector: The detector's name, for the log.
        concurrency: Maximum number of concurrent calls.
        batch_size: Maximum number of images in a call.

    Attributes:
        concurrency: Number of concurrent calls that are allowed now.
        batch_size: Number of images that a call may have now.
    """

    def __init__(self, detector: str, concurrency: int, batch_size: int) -> None:
        self._detector = detector
        self._most = (concurrency, batch_size)
        self.concurrency, self.batch_size = concurrency, batch_size
        self._resumed_at = 0.0  # when calls resumed after the last change
        self._quiet_seconds = FIRST_QUIET_SECONDS
        self._in_a_row = 0

    @property
    def is_single(self) -> bool:
        """Return whether only one image at a time is processed."""
        return self.concurrency == self.batch_size == 1

    def was_single(self, began_at: float) -> bool:
        """Return whether a call that began then was the only one."""
        return self.is_single and began_at >= self._resumed_at

    def reduce(self, began_at: float, reason: str) -> float:
        """Lower the limit after a shortage, unless the call began before the limit was lowered.

        Args:
            began_at: When the call began, by ``time.monotonic()``.
            reason: The error, for the log.

        Returns:
            The length of the pause in seconds.
        """
        now = time.monotonic()
        if began_at < self._resumed_at:
            return max(0.0, self._resumed_at - now)
        pause_seconds = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**self._in_a_row)
        if self.batch_size > 1:
            self.batch_size //= 2
        elif self.concurrency > 1:
            self.concurrency //= 2
        else:
            self._in_a_row = min(self._in_a_row + 1, 10)
        self._quiet_seconds = min(LONGEST_QUIET_SECONDS, 2 * self._quiet_seconds)
        self._resumed_at = now + pause_seconds
        self._log(reason)
        return pause_seconds

    def record_success(self) -> None:
        """Record a processed image. Raise the limit if there was no shortage for a while."""
        self._in_a_row = 0
        if not self._resumed_at or time.monotonic() < self._resumed_at + self._quiet_seconds:
            return
        concurrency, batch_size = self._most
        if (self.concurrency, self.batch_size) == self._most:
            self.restore()
            return
        if self.concurrency < concurrency:
            self.concurrency = min(concurrency, 2 * self.concurrency)
        else:
            self.batch_size = min(batch_size, 2 * self.batch_size)
        self._resumed_at = time.monotonic()
        self._log("no shortage for a while")

    def restore(self) -> None:
        """Restore the declared limits, because the shortage ended or one image was the cause."""
        self.concurrency, self.batch_size = self._most
        self._resumed_at = 0.0
        self._quiet_seconds = FIRST_QUIET_SECONDS
        self._in_a_row = 0

    def _log(self, reason: str) -> None:
        log.warning(
            "detector_load_changed",
            detector=self._detector,
            concurrency=self.concurrency,
            batch_size=self.batch_size,
            reason=reason,
        )
