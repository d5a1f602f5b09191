"""Wait for a lock without blocking others: give up after a second, and try again."""

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import OperationalError

LOCK_TIMEOUT = "1s"
"""Maximum time that other sessions may queue behind one that waits for a lock."""

_LOCK_NOT_AVAILABLE = "55P03"

T = TypeVar("T")


def retry_on_lock_timeout(step: Callable[[], T], *, tries: int, pause_seconds: float = 0.5) -> T:
    """Run a step. Repeat it while a lock isn't free in time.

    Args:
        step: A transaction or savepoint in which ``lock_timeout`` is ``LOCK_TIMEOUT``.
        tries: Maximum number of runs.
        pause_seconds: How long to wait in between.

    Raises:
        OperationalError: The step raised it, or the lock was never free.
    """
    for attempt in range(1, tries + 1):
        try:
            return step()
        except OperationalError as error:
            if not timed_out(error) or attempt == tries:
                raise
        time.sleep(pause_seconds)
    raise ValueError(f"tries must be 1 or more, not {tries}")


def timed_out(error: OperationalError) -> bool:
    """Return whether a lock wasn't free in time."""
    return getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE
