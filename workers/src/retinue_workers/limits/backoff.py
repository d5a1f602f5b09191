"""Compute the wait before the next try."""

import random

BASE_SECONDS = 0.5
"""Maximum wait before the second try."""

CAP_SECONDS = 30.0
"""Maximum wait without a request of the service."""

LONGEST_SECONDS = 3_600.0
"""Maximum wait that a service can request. It may have confused units."""


def backoff_seconds(attempt: int, *, at_least: float | None = None) -> float:
    """Return a wait by exponential backoff with full jitter.

    The formula is that of "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): uniform
    between 0 and ``min(CAP_SECONDS, BASE_SECONDS * 2 ** attempt)``.

    Args:
        attempt: Number of failed tries, 0 or more.
        at_least: A wait that the service requested, in seconds, limited to ``LONGEST_SECONDS``. The
            jitter is added to it.
    """
    ceiling = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(attempt, 30))
    return bounded(at_least or 0.0) + random.uniform(0.0, ceiling)  # noqa: S311 - spreads load, no secret


def bounded(seconds: float) -> float:
    """Return a wait that a service requested, limited to 0 to ``LONGEST_SECONDS``."""
    return max(0.0, min(LONGEST_SECONDS, seconds))  # in this order NaN becomes the maximum


def requeue_seconds(receive_count: int) -> int:
    """Return the seconds for which a requeued message stays hidden: 1, 2, 4 … at most 300."""
    return int(min(300, 2 ** min(receive_count - 1, 30)))
