"""How long to wait before the next attempt."""

import random

BASE_SECONDS = 0.5
"""Longest wait before the second attempt."""

CAP_SECONDS = 30.0
"""Longest wait that we choose ourselves."""

LONGEST_SECONDS = 3_600.0
"""Longest wait that the other side can ask for, who may have mistaken a unit."""


def backoff_seconds(attempt: int, *, at_least: float | None = None) -> float:
    """Exponential backoff with full jitter.

    The formula is that of "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): uniform
    between 0 and ``min(CAP_SECONDS, BASE_SECONDS * 2 ** attempt)``.

    Args:
        attempt: How many attempts have failed before, 0 or more.
        at_least: A wait that the other side asked for, in seconds, of which we grant
            ``LONGEST_SECONDS`` at most; the jitter is added to it.
    """
    ceiling = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(attempt, 30))
    return bounded(at_least or 0.0) + random.uniform(0.0, ceiling)  # noqa: S311 - spreads load, no secret


def bounded(seconds: float) -> float:
    """A wait that the other side asked for, as long as we grant it: 0 to ``LONGEST_SECONDS``."""
    return max(0.0, min(LONGEST_SECONDS, seconds))  # in this order NaN becomes the longest
