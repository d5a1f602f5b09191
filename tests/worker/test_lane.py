"""One detector: its calls begin, hang, are given up and end, and each attempt is settled once."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from decimal import Decimal
from typing import Any

import pytest
from fakes.deliveries import attempt
from fakes.history import MemoryHistory
from fakes.lanes import Scripted, ScriptedFuture, Setup, fine
from fakes.waiting import eventually
from retinue_history import RunRecord
from retinue_sdk import (
    ConfigurationError,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    Image,
    InvalidImageError,
    Result,
    RetriableError,
)
from retinue_workers.detectors.calls import Call, Calls
from retinue_workers.detectors.runner import Lane, LaneLimits
from retinue_workers.limits.budget import Spending
from retinue_workers.limits.receive_gate import CircuitBreaker


@pytest.fixture
def setup() -> Iterator[Setup]:
    setup = Setup()
    yield setup
    for lane in setup.lanes:
        lane.stop(time.monotonic())


@pytest.fixture(params=[Scripted, ScriptedFuture], ids=["detect", "submit"])
def either(request: pytest.FixtureRequest) -> Iterator[Setup]:
    """With either kind of detector."""
    setup = Setup(request.param)
    yield setup
    for lane in setup.lanes:
        lane.stop(time.monotonic())


def test_as_many_calls_at_once_as_it_can_take(either: Setup) -> None:
    gate = threading.Event()

    def wait(images: Sequence[Image]) -> list[Result]:
        gate.wait(10)
        return fine(images)

    lane, detector = either.lane(wait, max_concurrency=3)
    for _ in range(10):
        lane.put(attempt())
    eventually(lambda: detector.inside == 3)
    gate.set()
    eventually(lambda: len(either.settled) == 10)
    assert detector.most_inside == 3
    run = either.settled[0][1]
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


def test_while_a_call_hangs_the_detector_is_not_closed_and_nobody_waits(either: Setup) -> None:
    gate = threading.Event()

    def hang(images: Sequence[Image]) -> list[Result]:
        gate.wait(10)
        return fine(images)

    lane, detector = either.lane(hang, timeout=0.05)
    lane.put(attempt())
    eventually(lambda: either.codes() == ["detector_timeout"])
    began = time.monotonic()
    lane.stop(time.monotonic() + 10)
    assert time.monotonic() - began < 5
    assert detector.closed == 0
    gate.set()


def test_a_stop_hands_back_what_waits_and_what_comes_later(either: Setup) -> None:
    gate = threading.Event()

    def wait(images: Sequence[Image]) -> list[Result]:
        gate.wait(10)
        return fine(images)

    lane, detector = either.lane(wait)
    for _ in range(3):
        lane.put(attempt())
    lane.put(attempt(), time.monotonic() + 1_000)
    eventually(lambda: detector.inside == 1)
    lane.hand_back()
    assert either.codes() == ["back"] * 3
    lane.put(attempt())
    assert either.codes() == ["back"] * 4
    gate.set()
    lane.stop(time.monotonic() + 10)
    assert sorted(either.codes()) == ["back"] * 4 + ["ok"]
    assert detector.closed == 1


@pytest.mark.parametrize("moment", range(8))
def test_a_stop_at_any_moment_settles_all_once_and_closes_under_nobody(
    either: Setup, moment: int
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

    lane, detector = either.lane(moody, max_batch_size=3, max_concurrency=4)
    attempts = [attempt(f"{n}.jpg") for n in range(200)]

    def feed() -> None:
        for one in attempts:
            lane.put(one)

    feeding = threading.Thread(target=feed)
    feeding.start()
    time.sleep(moment * 0.004)
    lane.stop(time.monotonic() + 10)
    feeding.join(10)
    assert Counter(id(one) for one, _ in either.settled) == Counter(map(id, attempts))
    assert detector.closed == 1
    assert detector.misuse == []


def test_not_ready_pauses_and_only_the_detectors_own_answer_ends_it(
    either: Setup, logged: list[dict[str, Any]]
) -> None:
    answers: list[Any] = [DetectorNotReadyError("stopped", retry_after_seconds=0.05)] * 3

    def get_ready(images: Sequence[Image]) -> list[Result]:
        if answers:
            raise answers.pop()
        return fine(images)

    lane, _ = either.lane(get_ready)
    lane.put(attempt())
    eventually(lambda: either.breaker.causes() == {"detector scripted": "stopped"})
    eventually(lambda: either.codes() == ["ok"])
    assert either.breaker.causes() == {}
    assert [entry["event"] for entry in logged].count("receiving_stopped") == 1


def test_the_retry_window_begins_with_the_first_retriable_error(either: Setup) -> None:
    """Not when the message came: it may have waited for a detector that was not ready."""
    answers: list[Any] = [
        DetectorNotReadyError("stopped", retry_after_seconds=0.5),
        RetriableError("busy", retry_after_seconds=0),
        RetriableError("busy", retry_after_seconds=0),
    ]

    def get_ready(images: Sequence[Image]) -> list[Result]:
        return [answers.pop(0) if answers else Findings()]

    lane, _ = either.lane(get_ready, window=0.3)
    lane.put(attempt())
    eventually(lambda: either.settled)
    assert either.codes() == ["ok"]


def test_the_images_of_a_batch_are_let_go_before_the_next_one(either: Setup) -> None:
    import weakref

    lane, _ = either.lane(fine, max_batch_size=4)
    held = []
    for _ in range(4):
        one = attempt()
        held.append(weakref.ref(one.image))
        lane.put(one)
        del one
    eventually(lambda: len(either.settled) == 4)
    either.settled.clear()
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


# What is submitted, and answered later.


class Promises(ScriptedFuture):
    """Gives out futures that the test itself settles."""

    def __init__(self, *arguments: Any, **capabilities: Any) -> None:
        super().__init__(*arguments, **capabilities)
        self.promised: list[Future[Any]] = []

    def submit(self, image: Image) -> Future[Result]:
        self._script([image])
        self.promised.append(Future())
        return self.promised[-1]


@pytest.fixture
def promising() -> Iterator[Setup]:
    setup = Setup(Promises)
    yield setup
    for lane in setup.lanes:
        lane.stop(time.monotonic())


def test_images_under_way_take_no_thread_each(promising: Setup) -> None:
    before = threading.active_count()
    lane, detector = promising.lane(fine, max_concurrency=100)
    assert isinstance(detector, Promises)
    for _ in range(120):
        lane.put(attempt())
    eventually(lambda: len(detector.promised) == 100)
    assert threading.active_count() <= before + 3
    for promise in detector.promised:
        promise.set_result(Findings())
    eventually(lambda: len(detector.promised) == 120)
    for promise in detector.promised[100:]:
        promise.set_result(Findings())
    eventually(lambda: len(promising.settled) == 120)


def test_a_future_that_never_comes_is_given_up_and_makes_room(promising: Setup) -> None:
    lane, detector = promising.lane(fine, timeout=0.1)
    assert isinstance(detector, Promises)
    lane.put(attempt("a.jpg"))
    eventually(lambda: promising.codes() == ["detector_timeout"])
    lane.put(attempt("b.jpg"))
    eventually(lambda: len(detector.promised) == 2)
    detector.promised[1].set_result(Findings())
    eventually(lambda: promising.codes() == ["detector_timeout", "ok"])
    detector.promised[0].set_result(Findings())  # too late: nobody listens, and it makes no room
    lane.put(attempt("c.jpg"))
    lane.put(attempt("d.jpg"))
    eventually(lambda: len(detector.promised) == 3)
    time.sleep(0.02)
    assert len(detector.promised) == 3
    detector.promised[2].set_result(Findings())
    eventually(lambda: len(detector.promised) == 4)
    detector.promised[3].set_result(Findings())
    lane.stop(time.monotonic() + 10)
    assert promising.codes() == ["detector_timeout", "ok", "ok", "ok"]
    assert detector.closed == 1


def test_a_submit_that_hangs_is_given_up_and_a_fresh_thread_goes_on(promising: Setup) -> None:
    gate = threading.Event()
    first = [True]

    def hang_once(images: Sequence[Image]) -> None:
        if first.pop() if first else False:
            gate.wait(10)

    lane, detector = promising.lane(hang_once, timeout=0.1)
    assert isinstance(detector, Promises)
    lane.put(attempt("a.jpg"))
    eventually(lambda: promising.codes() == ["detector_timeout"])
    for key in ("b.jpg", "c.jpg"):
        lane.put(attempt(key))
        eventually(lambda: detector.promised)
        detector.promised.pop().set_result(Findings())
    eventually(lambda: promising.codes() == ["detector_timeout", "ok", "ok"])
    gate.set()
    eventually(lambda: detector.promised)
    detector.promised.pop().set_result(Findings())
    lane.put(attempt("d.jpg"))
    eventually(lambda: detector.promised)
    detector.promised.pop().set_result(Findings())
    eventually(lambda: len(promising.settled) == 4)
    lane.stop(time.monotonic() + 10)
    assert detector.closed == 1


def test_a_stop_waits_for_what_is_under_way_and_then_gives_it_up(promising: Setup) -> None:
    lane, detector = promising.lane(fine, max_concurrency=2)
    assert isinstance(detector, Promises)
    for _ in range(3):
        lane.put(attempt())
    eventually(lambda: len(detector.promised) == 2)
    threading.Timer(0.05, detector.promised[0].set_result, [Findings()]).start()
    lane.stop(time.monotonic() + 0.3)
    assert sorted(promising.codes()) == ["back", "back", "ok"]
    assert detector.closed == 0  # it may still be at work
    detector.promised[1].set_result(Findings())
    assert len(promising.settled) == 3


def test_without_money_nothing_is_submitted(promising: Setup) -> None:
    lane, detector = promising.lane(fine, budget=Decimal(1))
    assert isinstance(detector, Promises)
    lane.put(attempt("a.jpg"))
    lane.put(attempt("b.jpg"))
    eventually(lambda: detector.promised)
    detector.promised[0].set_result(Findings(billed_units=Decimal(1)))
    eventually(lambda: "budget scripted" in promising.breaker.causes())
    assert len(detector.promised) == 1
    lane.stop(time.monotonic() + 10)
    assert promising.codes() == ["ok", "back"]


def _cancelled() -> Future[Any]:
    future: Future[Any] = Future()
    future.cancel()
    return future


def _done(answer: object) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(answer, BaseException) and not isinstance(answer, DetectorError):
        future.set_exception(answer)
    else:
        future.set_result(answer)
    return future


@pytest.mark.parametrize(
    ("future", "code"),
    [
        pytest.param(_done(Findings()), "ok", id="findings"),
        pytest.param(_done(InvalidImageError("blank", code="blank")), "blank", id="an error"),
        pytest.param(_done([Findings()]), "invalid_result", id="a list"),
        pytest.param(_done(None), "invalid_result", id="nothing"),
        pytest.param(Findings(), "invalid_result", id="no future"),
        pytest.param(None, "invalid_result", id="None"),
        pytest.param(_done(ZeroDivisionError()), "back", id="a bug"),
        pytest.param(_done(SystemExit()), "back", id="an exit"),
        pytest.param(_cancelled(), "back", id="cancelled"),
    ],
)
def test_whatever_a_future_brings_the_lane_goes_on(
    future: object, code: str, logged: list[dict[str, Any]]
) -> None:
    class Careless(ScriptedFuture):
        def submit(self, image: Image) -> Future[Result]:
            return future if image.reference.key == "bad.jpg" else _done(Findings())  # type: ignore[return-value]

    setup = Setup(Careless)
    lane, detector = setup.lane(fine)
    lane.put(attempt("bad.jpg"))
    lane.put(attempt("good.jpg"))
    eventually(lambda: len(setup.settled) == 2)
    lane.stop(time.monotonic() + 10)
    assert setup.codes() == [code, "ok"]
    assert detector.closed == 1
    raised = [one for one in logged if one["event"] == "detector_raised"]
    assert len(raised) == (code == "back")


def test_what_submit_raises_is_the_answer(setup: Setup) -> None:
    def fail(images: Sequence[Image]) -> None:
        raise InvalidImageError("blank", code="blank")

    setup = Setup(Promises)
    lane, _ = setup.lane(fail)
    lane.put(attempt())
    eventually(lambda: setup.codes() == ["blank"])
    lane.stop(time.monotonic() + 10)


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
