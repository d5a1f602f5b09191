"""Distinguish a detector that hangs from an image that makes it hang."""

from collections.abc import Set
from uuid import UUID

HUNG_CALLS = 3
"""Consecutive timeouts of calls for different images after which the detector counts as hanging."""

FIRST_PROBE_SECONDS = 5.0
"""Wait before an unresponsive detector is probed. It doubles after each probe that hangs."""

LONGEST_PROBE_SECONDS = 300.0
"""Maximum wait between probes, because each probe that hangs costs a thread."""


class HangDetector:
    """Counts timeouts of one detector, and decides whether the detector is unresponsive.

    One poison image can't make a detector unresponsive, because its calls count once. Three poison
    images in a row can. Then other images in flight are tried in turn, and the first answer ends
    the state.
    """

    def __init__(self) -> None:
        self._calls = 0
        self._images: set[UUID] = set()
        self._probes = 0

    @property
    def is_unresponsive(self) -> bool:
        """Return whether the detector, rather than an image, is the cause of timeouts."""
        return self._calls >= HUNG_CALLS

    def record_timeout(self, images: Set[UUID]) -> None:
        """Count a timeout of a call for these images."""
        if self.is_unresponsive:
            self._probes += 1
        elif not images & self._images:
            self._calls += 1
            self._images |= images

    def record_response(self) -> None:
        """Record that the detector answered, with findings or an error."""
        if self._calls:
            self._calls = self._probes = 0
            self._images.clear()

    def probe_seconds(self) -> float:
        """Return the wait before the next probe, in seconds."""
        return float(min(LONGEST_PROBE_SECONDS, FIRST_PROBE_SECONDS * 2.0 ** min(self._probes, 10)))
