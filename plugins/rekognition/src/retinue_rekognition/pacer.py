"""Not more than so many calls a second."""

import time
from collections.abc import Callable
from threading import Lock


class Pacer:
    """Spaces the calls of all threads of this detector evenly.

    The worker paces whole images. A search makes several calls for one image, so it also paces
    them by operation. A pacer shared between workers can take this one's place: it has one method.

    Args:
        requests_per_second: The rate; above 0.
        clock: The time in seconds.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        requests_per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin with a free slot."""
        self._interval_seconds = 1 / requests_per_second
        self._clock = clock
        self._sleep = sleep
        self._lock = Lock()
        self._next_slot = 0.0

    def wait(self) -> None:
        """Return when the next call may be made."""
        with self._lock:
            now = self._clock()
            slot = max(now, self._next_slot)
            self._next_slot = slot + self._interval_seconds
        if slot > now:
            self._sleep(slot - now)
