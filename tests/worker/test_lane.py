"""One detector: its calls begin, hang, are given up and end, and each attempt is settled once."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from fakes.deliveries import attempt
from fakes.history import MemoryHistory
from fakes.waiting import eventually
from retinue_history import RunRecord
from retinue_sdk import (
    Capabilities,
    ConfigurationError,
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
from retinue_workers.attempt import Attempt
from retinue_workers.breaker import CircuitBreaker
from retinue_workers.call import Call, Calls
from retinue_workers.lane import Lane, LaneLimits
from retinue_workers.settings import TierPrice
from retinue_workers.spending import Spending
from retinue_workers.verdict import HandBack


class Scripted(Detector[DetectorOptions]):
    """Does what the test says; notes whatever must not happen."""

    name: ClassVar[str] = "scripted"
    version: ClassVar[str] = "1"

    def __init__(self, script: Callable[[Sequence[Image]], Any], **capabilities: Any) -> None:
        super().__init__(DetectorOptions())
        self._script = script
        self._capabilities = Capabilities(Input.REFERENCE, **capabilities)
        self._lock = threading.Lock()
        self.inside = 0
        self.most_inside = 0
        self.closed = 0
        self.misuse: list[str] = []

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            if self.closed:
                self.misuse.append("detect after close")
        try:
            answer: Sequence[Result] = self._script(images)
            return answer
        finally:
            with self._lock:
                self.inside -= 1

    def close(self) -> None:
        with self._lock:
            if self.inside:
                self.misuse.append("closed while at work")
            self.closed += 1


class Setup:
    def __init__(self) -> None:
        self.breaker = CircuitBreaker()
        self.settled: list[tuple[Attempt, RunRecord | HandBack]] = []
        self.lanes: list[Lane] = []

    def lane(
        self,
        script: Callable[[Sequence[Image]], Any],
        *,
        timeout: float = 20,
        window: float = 20,
        **capabilities: Any,
    ) -> tuple[Lane, Scripted]:
        detector = Scripted(script, **capabilities)
        lane = Lane(
            detector,
            spending=Spending(
                MemoryHistory(), self.breaker, prices={"scripted": (TierPrice(usd=Decimal(1)),)}
            ),
            limits=LaneLimits(timeout, window, 100, 10_000),
            breaker=self.breaker,
            settle=lambda one, outcome: self.settled.append((one, outcome)),
        )
        self.lanes.append(lane)
        lane.start()
        return lane, detector

    def codes(self) -> list[str]:
        return [
            outcome.error_code or "ok" if isinstance(outcome, RunRecord) else "back"
            for _, outcome in self.settled
        ]


@pytest.fixture
def setup() -> Iterator[Setup]:
    setup = Setup()
    yield setup
    for lane in setup.lanes:
        lane.stop(time.monotonic())


def fine(images: Sequence[Image]) -> list[Result]:
    return [Findings(billed_units=Decimal(1)) for _ in images]


def test_as_many_calls_at_once_as_it_can_take(setup: Setup) -> None:
    gate = threading.Event()

    def wait(images: Sequence[Image]) -> list[Result]:
        gate.wait(10)
        return fine(images)

    lane, detector = setup.lane(wait, max_concurrency=3)
    for _ in range(10):
        lane.put(attempt())
    eventually(lambda: detector.inside == 3)
    gate.set()
    eventually(lambda: len(setup.settled) == 10)
    assert detector.most_inside == 3
    run = setup.settled[0][1]
    assert isinstance(run, RunRecord)
    assert run.price_usd == 1


def test_a_hung_call_is_given_up_once_and_its_late_answer_ignored(setup: Setup) -> None:
    gate = threading.Event()
    first = [True]

    def hang_once(images: Sequence[Image]) -> list[Result]:
        if first.pop() if first else False:
            gate.wait(10)
        return fine(images)

    lane, detector = setup.lane(hang_once, timeout=0.1, max_batch_size=2)
    lane._schedule.pause(time.monotonic() + 0.3)  # so that both are one batch
    for _ in range(2):
        lane.put(attempt())
    eventually(lambda: len(setup.settled) == 2)
    lane.put(attempt())  # a fresh thread is there for it
    eventually(lambda: len(setup.settled) == 3)
    assert sorted(setup.codes()) == ["detector_timeout", "detector_timeout", "ok"]
    gate.set()
    eventually(lambda: detector.inside == 0)
    lane.put(attempt())
    eventually(lambda: len(setup.settled) == 4)
    lane.stop(time.monotonic() + 5)
    assert len(setup.settled) == 4
    # It came back, so nothing is at work any more, and the detector can be closed after all.
    assert detector.closed == 1
    assert detector.misuse == []


def test_while_a_call_hangs_the_detector_is_not_closed_and_nobody_waits(setup: Setup) -> None:
    gate = threading.Event()

    def hang(images: Sequence[Image]) -> list[Result]:
        gate.wait(10)
        return fine(images)

    lane, detector = setup.lane(hang, timeout=0.05)
    lane.put(attempt())
    eventually(lambda: setup.codes() == ["detector_timeout"])
    began = time.monotonic()
    lane.stop(time.monotonic() + 10)
    assert time.monotonic() - began < 5
    assert detector.closed == 0
    gate.set()


def test_a_stop_hands_back_what_waits_and_what_comes_later(setup: Setup) -> None:
    gate = threading.Event()

    def wait(images: Sequence[Image]) -> list[Result]:
        gate.wait(10)
        return fine(images)

    lane, detector = setup.lane(wait)
    for _ in range(3):
        lane.put(attempt())
    lane.put(attempt(), time.monotonic() + 1_000)
    eventually(lambda: detector.inside == 1)
    lane.hand_back()
    assert setup.codes() == ["back"] * 3
    lane.put(attempt())
    assert setup.codes() == ["back"] * 4
    gate.set()
    lane.stop(time.monotonic() + 10)
    assert sorted(setup.codes()) == ["back"] * 4 + ["ok"]
    assert detector.closed == 1


@pytest.mark.parametrize("moment", range(8))
def test_a_stop_at_any_moment_settles_all_once_and_closes_under_nobody(
    setup: Setup, moment: int
) -> None:
    chance = random.Random(moment)

    def moody(images: Sequence[Image]) -> list[Result]:
        time.sleep(chance.random() * 0.002)
        answers: list[Result] = [
            Findings(),
            RetriableError(retry_after_seconds=0),
            InvalidImageError(),
        ]
        return [chance.choice(answers) for _ in images]

    lane, detector = setup.lane(moody, max_batch_size=3, max_concurrency=4)
    attempts = [attempt(f"{n}.jpg") for n in range(200)]

    def feed() -> None:
        for one in attempts:
            lane.put(one)

    feeding = threading.Thread(target=feed)
    feeding.start()
    time.sleep(moment * 0.004)
    lane.stop(time.monotonic() + 10)
    feeding.join(10)
    assert Counter(id(one) for one, _ in setup.settled) == Counter(map(id, attempts))
    assert detector.closed == 1
    assert detector.misuse == []


def test_not_ready_pauses_and_only_the_detectors_own_answer_ends_it(
    setup: Setup, logged: list[dict[str, Any]]
) -> None:
    answers: list[Any] = [DetectorNotReadyError("stopped", retry_after_seconds=0.05)] * 3

    def get_ready(images: Sequence[Image]) -> list[Result]:
        if answers:
            raise answers.pop()
        return fine(images)

    lane, _ = setup.lane(get_ready)
    lane.put(attempt())
    eventually(lambda: setup.breaker.causes() == {"detector scripted": "stopped"})
    eventually(lambda: setup.codes() == ["ok"])
    assert setup.breaker.causes() == {}
    assert [entry["event"] for entry in logged].count("receiving_stopped") == 1


def test_the_retry_window_begins_with_the_first_retriable_error(setup: Setup) -> None:
    """Not when the message came: it may have waited for a detector that was not ready."""
    answers: list[Any] = [
        DetectorNotReadyError("stopped", retry_after_seconds=0.5),
        RetriableError("busy", retry_after_seconds=0),
        RetriableError("busy", retry_after_seconds=0),
    ]

    def get_ready(images: Sequence[Image]) -> list[Result]:
        return [answers.pop(0) if answers else Findings()]

    lane, _ = setup.lane(get_ready, window=0.3)
    lane.put(attempt())
    eventually(lambda: setup.settled)
    assert setup.codes() == ["ok"]


def test_the_images_of_a_batch_are_let_go_before_the_next_one(setup: Setup) -> None:
    import weakref

    lane, _ = setup.lane(fine, max_batch_size=4)
    held = []
    for _ in range(4):
        one = attempt()
        held.append(weakref.ref(one.image))
        lane.put(one)
        del one
    eventually(lambda: len(setup.settled) == 4)
    setup.settled.clear()
    eventually(lambda: not any(reference() for reference in held))


@pytest.mark.parametrize("member", ["capabilities", "fingerprint"])
def test_a_detector_that_cannot_say_what_it_needs_is_named(member: str) -> None:
    def fail(self: object) -> Any:
        raise OSError("weights.onnx is not there")

    broken = type("Broken", (Scripted,), {member: property(fail) if member[0] == "c" else fail})
    with pytest.raises(ConfigurationError, match=r"scripted.*OSError: weights.onnx is not there"):
        Lane(
            broken(fine),
            spending=Spending(MemoryHistory(), CircuitBreaker()),
            limits=LaneLimits(1, 1, 1, 2),
            breaker=CircuitBreaker(),
            settle=lambda *_: None,
        )


# The calls under way.


def call(seconds: float = 100) -> Call:
    return Call([attempt()], time.monotonic() + seconds)


def test_a_call_ends_once() -> None:
    calls, one = Calls(), call()
    assert calls.begin(one)
    assert calls.end(one)
    assert not calls.end(one)


def test_a_call_given_up_cannot_end_any_more() -> None:
    calls, late, other = Calls(), call(0.0), call()
    calls.begin(late)
    calls.begin(other)
    assert calls.overdue() == [late]
    assert not calls.end(late)
    assert calls.end(other)


def test_no_call_begins_after_the_close() -> None:
    calls = Calls()
    calls.close()
    assert not calls.begin(call())
    assert calls.overdue() == []
    with calls.busy() as may:
        assert not may


def test_draining_waits_for_the_busy_and_not_for_the_hung() -> None:
    calls, hung = Calls(), call(0.0)
    entered, release = threading.Event(), threading.Event()

    def work() -> None:
        with calls.busy():
            calls.begin(hung)
            entered.set()
            release.wait(10)
            calls.end(hung)

    worker = threading.Thread(target=work)
    worker.start()
    assert entered.wait(10)
    assert calls.overdue() == [hung]
    calls.close()
    assert calls.drain(time.monotonic() + 10) == []
    assert not calls.idle
    release.set()
    worker.join(10)
    assert calls.idle
