"""Which attempts a detector is given next, and when."""

import heapq
import math
import time
from collections import deque
from itertools import count
from threading import Condition

from retinue_workers.attempt import Attempt

_LONGEST_WAIT_SECONDS = 3_600.0
"""How long a thread sleeps at once: Python refuses waits of centuries, which a pace can ask for."""


class Schedule:
    """A detector's waiting attempts: in order, batched, paced, and some of them later.

    All times are on the monotonic clock, in seconds. Safe to use from any thread.

    Args:
        max_batch_size: Most attempts in one batch.
        requests_per_second: Most batches a second; ``None`` for no limit.
    """

    def __init__(self, *, max_batch_size: int, requests_per_second: float | None) -> None:
        """Begin empty and open."""
        self._max_batch_size = max_batch_size
        self._interval = 1 / requests_per_second if requests_per_second else 0.0
        self._changed = Condition()
        self._ready: deque[Attempt] = deque()
        self._later: list[tuple[float, int, Attempt]] = []
        self._order = count()
        self._paused_until = 0.0
        self._next_batch = 0.0
        self._closed = False
        self._probing = False

    @property
    def ready(self) -> int:
        """How many attempts could be handed out, but for pace and pauses."""
        return len(self._ready)

    def put(self, attempt: Attempt, due: float = 0.0) -> bool:
        """Add an attempt, not to be handed out before ``due``.

        Returns:
            ``False`` if the schedule is closed: the attempt was not taken.
        """
        with self._changed:
            if self._closed:
                return False
            if due:
                heapq.heappush(self._later, (due, next(self._order), attempt))
            else:
                self._ready.append(attempt)
            self._changed.notify()
            return True

    def pause(self, until: float) -> None:
        """Hand out nothing before ``until``."""
        with self._changed:
            self._paused_until = until
            self._changed.notify_all()

    def probe(self, until: float) -> None:
        """Hand out one attempt after ``until``, alone, and nothing more before ``resume``."""
        with self._changed:
            self._probing = True
            self._paused_until = until
            self._changed.notify_all()

    def resume(self) -> None:
        """Hand out batches again, as if there had been no ``probe``."""
        with self._changed:
            self._probing = False
            self._paused_until = 0.0
            self._changed.notify_all()

    def take(self) -> list[Attempt]:
        """Wait for a batch; an empty list once the schedule is closed.

        The batch is what waits now, up to the largest size: it does not wait for company.
        """
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                while self._later and self._later[0][0] <= now:
                    self._ready.append(heapq.heappop(self._later)[2])
                if not self._ready:
                    self._wait(self._later[0][0] - now if self._later else None)
                elif (not_before := max(self._paused_until, self._next_batch)) > now:
                    self._wait(not_before - now)
                else:
                    self._next_batch = now + self._interval
                    if self._probing:
                        self._paused_until = math.inf
                        return [self._ready.popleft()]
                    return self._pop_batch()
            return []

    def wait_until_resumed(self) -> bool:
        """Wait until the pause is over; ``False`` if the schedule was closed meanwhile."""
        with self._changed:
            while not self._closed and (rest := self._paused_until - time.monotonic()) > 0:
                self._wait(rest)
            return not self._closed

    def close(self) -> list[Attempt]:
        """Hand out nothing any more, and return what still waited."""
        with self._changed:
            self._closed = True
            waiting = [*self._ready, *(attempt for _, _, attempt in self._later)]
            self._ready.clear()
            self._later.clear()
            self._changed.notify_all()
            return waiting

    def _wait(self, seconds: float | None) -> None:
        """Sleep until something changes or the time is over, with the lock held."""
        self._changed.wait(None if seconds is None else min(seconds, _LONGEST_WAIT_SECONDS))

    def _pop_batch(self) -> list[Attempt]:
        batch = [self._ready.popleft()]
        while (
            self._ready
            and len(batch) < self._max_batch_size
            and not batch[0].alone
            and not self._ready[0].alone
        ):
            batch.append(self._ready.popleft())
        return batch
