"""Calls are spaced, the estimate goes down by what was throttled, and comes back."""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_sdk import (
    AsyncDetector,
    Capabilities,
    Detector,
    DetectorNotReadyError,
    DetectorOptions,
    DetectorSession,
    Findings,
    Image,
    Input,
    InvalidImageError,
    Result,
    RetriableError,
)
from retinue_sdk.rate_limits import (
    CLIMB_SECONDS,
    HEADROOM,
    STEP,
    LeakyBucket,
    LocalRateLimiter,
    RateEstimate,
    is_significant,
)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def moments(bucket: LeakyBucket, clock: Clock, number: int) -> list[float]:
    """When so many calls are made by somebody who always wants to."""
    made = []
    for _ in range(number):
        clock.now = max(clock.now, bucket.due())
        bucket.take()
        made.append(clock.now)
    return made


def test_calls_are_evenly_spaced() -> None:
    clock = Clock()
    made = moments(LeakyBucket(10, clock=clock), clock, 4)
    assert made == pytest.approx([1_000.0, 1_000.1, 1_000.2, 1_000.3])


def test_a_small_delay_is_made_up_for_and_a_long_one_is_lost() -> None:
    clock = Clock()
    bucket = LeakyBucket(10, clock=clock)
    moments(bucket, clock, 1)
    clock.now += 0.17
    assert moments(bucket, clock, 3) == pytest.approx([1_000.17, 1_000.22, 1_000.3])
    clock.now += 100
    made = moments(bucket, clock, 20)
    assert made[-1] - made[0] == pytest.approx(1.9, abs=0.11)


@given(delays=st.lists(st.floats(0, 0.3), max_size=60), rate=st.sampled_from([1.5, 10, 12.25, 49]))
def test_no_second_holds_more_than_the_quota(delays: list[float], rate: float) -> None:
    clock = Clock()
    bucket = LeakyBucket(rate, clock=clock)
    made: list[float] = []
    for delay in [*delays, *[0.0] * 60]:
        clock.now += delay
        made += moments(bucket, clock, 1)
    for start in made:
        inside = sum(start <= moment < start + 1 - 1e-9 for moment in made)
        assert inside <= math.ceil(rate / HEADROOM - 1e-9)


def test_a_new_pace_holds_for_the_next_call() -> None:
    clock = Clock()
    bucket = LeakyBucket(0.01, clock=clock)
    moments(bucket, clock, 1)
    assert bucket.due() == pytest.approx(clock.now + 100)
    bucket.set_rate(10)
    assert bucket.due() == pytest.approx(clock.now + 0.1)


@given(
    calls=st.integers(1, 10_000),
    part=st.floats(0, 1),
    later=st.floats(0, 1e9),
    configured=st.floats(0.001, 1e6),
)
def test_throttling_lowers_at_most_to_half_and_time_raises_to_the_quota(
    calls: int, part: float, later: float, configured: float
) -> None:
    throttled = max(1, round(calls * part))
    lowered = RateEstimate().lowered(0.0, configured, calls=calls, throttled=throttled)
    assert lowered.limit is not None
    assert 0.5 * configured <= lowered.limit * 1.000001
    assert lowered.epoch == 1
    assert 0 < lowered.rate(later, configured) <= configured
    assert lowered.rate(0.0, configured) == pytest.approx(
        min(configured, lowered.limit * (1 - STEP))
    )
    assert lowered.rate(CLIMB_SECONDS, configured) == pytest.approx(lowered.limit)
    assert lowered.rate(3_600, configured) == configured


def test_what_half_a_quota_lets_through_is_found() -> None:
    lowered = RateEstimate().lowered(0.0, 50, calls=200, throttled=100)
    assert lowered.limit == pytest.approx(30)
    again = lowered.lowered(6.0, 50, calls=200, throttled=33)
    assert again.limit == pytest.approx(25, rel=0.15)


def test_what_may_be_chance_costs_no_more_than_the_climb_back() -> None:
    assert RateEstimate().lowered(0.0, 50, calls=20, throttled=3).limit == 50


def test_a_single_throttled_call_says_nothing() -> None:
    assert not is_significant(1_000, 1)
    assert not is_significant(1_000, 9)
    assert not is_significant(5, 5)
    assert is_significant(100, 3)


class Caller(Detector[DetectorOptions]):
    """Calls a service with a quota."""

    name: ClassVar[str] = "caller"
    version: ClassVar[str] = "1"
    capabilities = Capabilities(Input.REFERENCE, quotas={"service": 1_000_000.0})

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        with self.rate_limited("service"):
            return [Findings() for _ in images]


class AsyncCaller(AsyncDetector[DetectorOptions]):
    """Calls a service with a quota."""

    name: ClassVar[str] = "async-caller"
    version: ClassVar[str] = "1"
    capabilities = Capabilities(Input.REFERENCE, quotas={"service": 1_000_000.0})

    async def detect(self, image: Image) -> Findings:
        async with self.rate_limited("service"):
            return Findings()


class Recorder:
    """A rate limiter, and permits, that record what happens."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def acquire(self, quota: str) -> "Recorder":
        return self.acquire_blocking(quota)

    def acquire_blocking(self, quota: str) -> "Recorder":
        self.events.append(quota)
        return self

    def throttled(self) -> None:
        self.events.append("throttled")


@pytest.mark.parametrize("kind", [Caller, AsyncCaller])
@pytest.mark.parametrize(
    ("error", "reports"),
    [
        (None, []),
        (RetriableError(throttled=True), ["throttled"]),
        (RetriableError(), []),
        (InvalidImageError(), []),
        (DetectorNotReadyError(), []),
        (OSError(), []),
    ],
)
def test_only_throttling_is_reported(
    kind: type[Caller | AsyncCaller], error: Exception | None, reports: list[str]
) -> None:
    caller, recorder = kind(DetectorOptions()), Recorder()
    caller.rate_limiter = recorder

    async def call() -> None:
        async with caller.rate_limited("service"):
            if error is not None:
                raise error

    expected = pytest.raises(type(error)) if error is not None else nullcontext()
    if isinstance(caller, AsyncDetector):
        with expected:
            asyncio.run(call())
    else:
        with expected, caller.rate_limited("service"):
            if error is not None:
                raise error
    assert recorder.events == ["service", *reports]


@pytest.mark.parametrize("kind", [Caller, AsyncCaller])
def test_a_detector_without_a_worker_limits_its_own_rate(kind: type[Caller | AsyncCaller]) -> None:
    caller = kind(DetectorOptions())
    with DetectorSession(caller) as session:
        assert session.detect([Image.from_bytes(b"x")]) == [Findings()]
    unknown = pytest.raises(ValueError, match=r"no quota 'other'.*service")
    with unknown, caller.rate_limited("other"):
        pass


def test_a_local_rate_limiter_learns_from_throttling() -> None:
    clock = Clock()
    limiter = LocalRateLimiter({"service": 100.0}, clock=clock)

    def rate() -> float:
        """Call 40 times, and return the rate of the last 30: the first make up for the pause."""
        made = []
        for _ in range(40):
            while (wait := limiter._quotas["service"].try_take()) > 0:
                clock.now += wait
            made.append(clock.now)
        return 30 / (made[-1] - made[9])

    for _ in range(20):
        clock.now += 1
        limiter.acquire_blocking("service").throttled()
    clock.now += 1
    assert rate() < 70
    clock.now += 300
    rate()
    assert rate() == pytest.approx(98, rel=0.05)


@pytest.mark.parametrize("kind", ["acquire", "acquire_blocking"])
async def test_a_local_limiter_waits_for_a_permit(kind: str) -> None:
    limiter = LocalRateLimiter({"service": 50.0})
    began = time.monotonic()
    for _ in range(6):
        if kind == "acquire":
            await limiter.acquire("service")
        else:
            limiter.acquire_blocking("service")
    assert time.monotonic() - began >= 4 / 50


def test_throttling_of_a_call_made_before_the_estimate_was_lowered_says_nothing() -> None:
    clock = Clock()
    limiter = LocalRateLimiter({"service": 100.0}, clock=clock)

    def acquire() -> Any:
        clock.now += 1
        return limiter.acquire_blocking("service")

    earlier = [acquire() for _ in range(60)]
    while (permit := acquire()).epoch == 0:
        permit.throttled()
    for permit in earlier:
        permit.throttled()
        acquire()
    assert acquire().epoch == 1


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_quota_that_allows_nothing_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="service"):
        Capabilities(Input.BYTES, quotas={"service": rate})
