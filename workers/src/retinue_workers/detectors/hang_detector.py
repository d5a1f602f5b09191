"""Telling a detector that hangs from an image that it hangs on."""

from collections.abc import Set
from uuid import UUID

HUNG_CALLS = 3
"""How many calls in a row, about different images and without an answer, blame the detector."""

FIRST_PROBE_SECONDS = 5.0
"""Wait before an unresponsive detector is probed; twice as long after each probe that hangs."""

LONGEST_PROBE_SECONDS = 300.0
"""The longest such wait: each probe that hangs costs a thread."""


class HangDetector:
    """Counts calls of one detector that timed out, and decides whether the detector is to blame.

    One poison image cannot make a detector unresponsive: however often it is delivered, its calls
    count once. Three poison images in a row can; then other images in flight are tried in turn,
    and the first answer to any of them ends it.
    """

    def __init__(self) -> None:
        self._calls = 0
        self._images: set[UUID] = set()
        self._probes = 0

    @property
    def is_unresponsive(self) -> bool:
        """Return whether the detector, rather than an image, is to blame."""
        return self._calls >= HUNG_CALLS

    def record_timeout(self, images: Set[UUID]) -> None:
        """Count a call about these images that timed out."""
        if self.is_unresponsive:
            self._probes += 1
        elif not images & self._images:
            self._calls += 1
            self._images |= images

    def record_response(self) -> None:
        """The detector answered, whatever it said."""
        if self._calls:
            self._calls = self._probes = 0
            self._images.clear()

    def probe_seconds(self) -> float:
        """Return how long to wait before the next probe."""
        return float(min(LONGEST_PROBE_SECONDS, FIRST_PROBE_SECONDS * 2.0 ** min(self._probes, 10)))
