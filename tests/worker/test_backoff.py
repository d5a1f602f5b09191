"""Waits grow, scatter, and stay within bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_workers.limits.backoff import (
    BASE_SECONDS,
    CAP_SECONDS,
    LONGEST_SECONDS,
    backoff_seconds,
)


@given(attempt=st.integers(0, 10**9))
def test_a_wait_is_between_nothing_and_its_ceiling(attempt: int) -> None:
    ceiling = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(attempt, 30))
    assert 0 <= backoff_seconds(attempt) <= ceiling


@given(at_least=st.floats(allow_nan=True, allow_infinity=True))
def test_what_the_other_side_asks_for_is_granted_within_reason(at_least: float) -> None:
    wait = backoff_seconds(0, at_least=at_least)
    assert 0 <= wait <= LONGEST_SECONDS + BASE_SECONDS
    if 0 <= at_least <= LONGEST_SECONDS:
        assert wait >= at_least


@pytest.mark.parametrize("attempt", [0, 3, 50])
def test_waits_scatter(attempt: int) -> None:
    assert len({backoff_seconds(attempt) for _ in range(20)}) > 10
