"""Calls are spaced, the estimate goes down by what was throttled, and comes back."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_sdk import (
    Capabilities,
    Detector,
    DetectorNotReadyError,
    DetectorOptions,
    Findings,
    Image,
    Input,
    InvalidImageError,
    Result,
    RetriableError,
)
from retinue_sdk.pacing import (
    CLIMB_SECONDS,
    HEADROOM,
    STEP,
    LocalPacer,
    RateEstimate,
    Slots,
    StoppedError,
    telling,
)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def moments(slots: Slots, clock: Clock, number: int) -> list[float]:
    """When so many calls are made by somebody who always wants to."""
    made = []
    for _ in range(number):
        clock.now = max(clock.now, slots.due())
        slots.take()
        made.append(clock.now)
    return made


def test_calls_are_evenly_spaced() -> None:
    clock = Clock()
    made = moments(Slots(10, clock=clock), clock, 4)
    assert made == pytest.approx([1_000.0, 1_000.1, 1_000.2, 1_000.3])


def test_a_small_delay_is_made_up_for_and_a_long_one_is_lost() -> None:
    clock = Clock()
    slots = Slots(10, clock=clock)
    moments(slots, clock, 1)
    clock.now += 0.17
    assert moments(slots, clock, 3) == pytest.approx([1_000.17, 1_000.22, 1_000.3])
    clock.now += 100
    made = moments(slots, clock, 20)
    assert made[-1] - made[0] == pytest.approx(1.9, abs=0.11)


@given(delays=st.lists(st.floats(0, 0.3), max_size=60), rate=st.sampled_from([1.5, 10, 12.25, 49]))
def test_no_second_holds_more_than_the_quota(delays: list[float], rate: float) -> None:
    clock = Clock()
    slots = Slots(rate, clock=clock)
    made: list[float] = []
    for delay in [*delays, *[0.0] * 60]:
        clock.now += delay
        made += moments(slots, clock, 1)
    for start in made:
        inside = sum(start <= moment < start + 1 - 1e-9 for moment in made)
        assert inside <= math.ceil(rate / HEADROOM - 1e-9)


def test_a_new_pace_holds_for_the_next_call() -> None:
    clock = Clock()
    slots = Slots(0.01, clock=clock)
    moments(slots, clock, 1)
    assert slots.due() == pytest.approx(clock.now + 100)
    slots.set_rate(10)
    assert slots.due() == pytest.approx(clock.now + 0.1)


def test_who_waits_can_be_let_go() -> None:
    slots = Slots(0.001)
    slots.take()
    with pytest.raises(StoppedError):
        slots.take(lambda: True)
    assert slots.waiting == 0


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
    assert not telling(1_000, 1)
    assert not telling(1_000, 9)
    assert not telling(5, 5)
    assert telling(100, 3)


class Caller(Detector[DetectorOptions]):
    """Calls a service with a quota."""

    name: ClassVar[str] = "caller"
    version: ClassVar[str] = "1"
    capabilities = Capabilities(Input.REFERENCE, quotas={"service": 1_000_000.0})

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        with self.paced("service"):
            return [Findings() for _ in images]


class Noted:
    """A pacer that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def wait(self, quota: str) -> "Noted":
        self.told.append(quota)
        return self

    def throttled(self) -> None:
        self.told.append("throttled")

    def accepted(self) -> None:
        self.told.append("accepted")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, ["accepted"]),
        (RetriableError(throttled=True), ["throttled"]),
        (RetriableError(), []),
        (InvalidImageError(), ["accepted"]),
        (DetectorNotReadyError(), ["accepted"]),
        (OSError(), []),
    ],
)
def test_the_pacer_is_told_by_the_class_of_the_error(
    error: Exception | None, told: list[str]
) -> None:
    caller, pacer = Caller(DetectorOptions()), Noted()
    caller.pacer = pacer
    expected = pytest.raises(type(error)) if error is not None else nullcontext()
    with expected, caller.paced("service"):
        if error is not None:
            raise error
    assert pacer.told == ["service", *told]


def test_a_detector_without_a_worker_paces_itself() -> None:
    caller = Caller(DetectorOptions())
    assert caller.detect([]) == []
    with pytest.raises(ValueError, match=r"no quota 'other'.*service"), caller.paced("other"):
        pass


def test_a_local_pacer_learns_from_throttling() -> None:
    clock = Clock()
    pacer = LocalPacer({"service": 100.0}, clock=clock)

    def rate() -> float:
        [local] = pacer._quotas.values()
        return local._slots._rate

    for _ in range(20):
        clock.now += 1
        pacer.wait("service").throttled()
    clock.now += 1
    pacer.wait("service").accepted()
    assert rate() < 70
    clock.now += 300
    pacer.wait("service").accepted()
    assert rate() == pytest.approx(98)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_quota_that_allows_nothing_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="service"):
        Capabilities(Input.BYTES, quotas={"service": rate})
