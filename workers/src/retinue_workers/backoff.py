"""How long to wait before the next attempt."""

import random

BASE_SECONDS = 0.5
"""Longest wait before the second attempt."""

CAP_SECONDS = 30.0
"""Longest wait before any attempt."""


def backoff_seconds(attempt: int, *, at_least: float | None = None) -> float:
    """Exponential backoff with full jitter.

    The formula is that of "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): uniform
    between 0 and ``min(CAP_SECONDS, BASE_SECONDS * 2 ** attempt)``.

    Args:
        attempt: How many attempts have failed before, 0 or more.
        at_least: A wait that the other side asked for, in seconds; the jitter is added to it.
    """
    ceiling = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(attempt, 30))
    return (at_least or 0.0) + random.uniform(0.0, ceiling)  # noqa: S311 - spreads load, no secret
