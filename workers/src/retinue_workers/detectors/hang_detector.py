"""Telling a detector that hangs from an image that it hangs on."""

from collections.abc import Set
from threading import Lock
from uuid import UUID

HUNG_CALLS = 3
"""How many calls in a row, about different images, no answer in between, blame the detector."""

FIRST_PROBE_SECONDS = 5.0
"""Wait before a detector that hangs is tried again; twice as long after each probe in vain."""

LONGEST_PROBE_SECONDS = 300.0
"""The longest such wait: each probe that hangs costs a thread."""

PROBES_AN_IMAGE = 5
"""How many probes one image may be in before it is the image's turn to be blamed. Images take
turns, so it takes that many probes of every image in flight."""


class Silence:
    """Counts calls of one detector that were given up, and whether it is believed to hang.

    One poison image cannot silence a detector: however often it is delivered, its calls count once.
    Three poison images in a row can; then other images in flight are tried in turn, and the first
    answer to any of them ends it.
    """

    def __init__(self) -> None:
        """Begin with a detector that answers."""
        self._lock = Lock()
        self._calls = 0
        self._images: set[UUID] = set()
        self._probes = 0

    @property
    def fallen(self) -> bool:
        """Whether the detector is believed to hang."""
        return self._calls >= HUNG_CALLS

    def hung(self, images: Set[UUID]) -> bool:
        """A call about these images was given up; whether the detector is to blame now."""
        with self._lock:
            if self._calls >= HUNG_CALLS:
                self._probes += 1
            elif not images & self._images:
                self._calls += 1
                self._images |= images
            return self._calls >= HUNG_CALLS

    def broken(self) -> bool:
        """The detector answered, whatever it said; whether it was believed to hang."""
        if not self._calls:  # the usual case, kept free of the lock
            return False
        with self._lock:
            fallen = self._calls >= HUNG_CALLS
            self._calls = self._probes = 0
            self._images.clear()
            return fallen

    def probe_seconds(self) -> float:
        """How long to wait before the next probe."""
        return float(min(LONGEST_PROBE_SECONDS, FIRST_PROBE_SECONDS * 2.0 ** min(self._probes, 10)))
