"""How much a detector is given at once: less after a shortage, and slowly more again."""

import time

import structlog

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.5
"""How long a detector pauses after a shortage; twice as long after each in a row that one image at
a time met."""

LONGEST_PAUSE_SECONDS = 30.0
"""The longest such pause."""

FIRST_QUIET_SECONDS = 30.0
"""How long there must be no shortage before more is tried; twice as long after each shortage."""

LONGEST_QUIET_SECONDS = 3_600.0
"""The longest such time."""


class LoadLimit:
    """Limits the calls at once and the images in a call of one detector.

    After a shortage batches are halved, then the number of calls, until one image at a time is
    tried. After a time without a shortage the limits are doubled again.

    Args:
        detector: The detector's name, for the log.
        concurrency: Most calls at once.
        batch_size: Most images in a call.

    Attributes:
        concurrency: How many calls may run at once now.
        batch_size: How many images a call may have now.
    """

    def __init__(self, detector: str, concurrency: int, batch_size: int) -> None:
        self._detector = detector
        self._most = (concurrency, batch_size)
        self.concurrency, self.batch_size = concurrency, batch_size
        self._resumed_at = 0.0  # when calls went on after the last change
        self._quiet_seconds = FIRST_QUIET_SECONDS
        self._in_a_row = 0

    @property
    def is_single(self) -> bool:
        """Return whether one image at a time is tried."""
        return self.concurrency == self.batch_size == 1

    def was_single(self, began_at: float) -> bool:
        """Return whether a call that began then was the only one."""
        return self.is_single and began_at >= self._resumed_at

    def reduce(self, began_at: float, reason: str) -> float:
        """Allow less after a shortage, unless the call began before less was allowed.

        Args:
            began_at: When the call began, by ``time.monotonic()``.
            reason: The error, for the log.

        Returns:
            How long to pause from now on, in seconds.
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
        """The detector looked at an image; allow more if it has for a while."""
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
        """Allow as much as the detector declares: all is well, or one image was to blame."""
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
