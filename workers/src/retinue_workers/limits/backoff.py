"""How long to wait before the next try."""

import random

BASE_SECONDS = 0.5
"""Longest wait before the second try."""

CAP_SECONDS = 30.0
"""Longest wait that the worker chooses itself."""

LONGEST_SECONDS = 3_600.0
"""Longest wait that a service can ask for; it may have mistaken a unit."""


def backoff_seconds(attempt: int, *, at_least: float | None = None) -> float:
    """Return a wait by exponential backoff with full jitter.

    The formula is that of "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): uniform
    between 0 and ``min(CAP_SECONDS, BASE_SECONDS * 2 ** attempt)``.

    Args:
        attempt: How many tries have failed before, 0 or more.
        at_least: A wait that the service asked for, in seconds, of which ``LONGEST_SECONDS`` at
            most are granted; the jitter is added to it.
    """
    ceiling = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(attempt, 30))
    return bounded(at_least or 0.0) + random.uniform(0.0, ceiling)  # noqa: S311 - spreads load, no secret


def bounded(seconds: float) -> float:
    """Return a wait that a service asked for, limited to 0 to ``LONGEST_SECONDS``."""
    return max(0.0, min(LONGEST_SECONDS, seconds))  # in this order NaN becomes the longest


def requeue_seconds(receive_count: int) -> int:
    """Return how long a requeued message stays hidden: 1, 2, 4 … at most 300 seconds."""
    return int(min(300, 2 ** min(receive_count - 1, 30)))
