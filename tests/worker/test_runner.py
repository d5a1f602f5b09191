"""One detector: its calls begin, hang, are abandoned and end, and each task gets one answer.

Most tests are about both kinds of detector; what differs is at the end.
"""

import asyncio
import gc
import random
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from fakes import work
from fakes.detectors import AnyScripted, AsyncScripted, Scripted, fine
from fakes.history import MemoryHistory
from fakes.runners import RunnerRig, running, said
from fakes.waiting import settle, until
from retinue_history import DetectionRecord, MonthTotals
from retinue_sdk import (
    ConfigurationError,
    Detection,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    Image,
    Input,
    InvalidImageError,
    RetriableError,
)
from retinue_sdk.plugins.manager import Filter
from retinue_workers.detectors import runner as runner_module
from retinue_workers.detectors.call import Call
from retinue_workers.detectors.encoding import EncodedFindings, FindingsEncoder
from retinue_workers.detectors.hang_detector import (
    HUNG_CALLS,
    LONGEST_PROBE_SECONDS,
    HangDetector,
)
from retinue_workers.detectors.retry_policy import Answer
from retinue_workers.work import Task

Make = Callable[..., AnyScripted]


def some() -> bytes:
    """Return the bytes of an image that can be read."""
    return b"?"


@pytest.fixture(params=[Scripted, AsyncScripted], ids=["thread", "coroutine"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a detector of either kind."""
    kind: Make = request.param
    return kind


@pytest.fixture(autouse=True)
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinue_workers.detectors.hang_detector.FIRST_PROBE_SECONDS", 0.05)
    monkeypatch.setattr("retinue_workers.detectors.retry_policy.PROBE_SECONDS", 0.05)
    monkeypatch.setattr(runner_module, "PROBE_SECONDS", 0.05)


def ask(rig: RunnerRig, *tasks: Task) -> "list[asyncio.Task[Answer]]":
    """Call the detector about each task."""
    return [asyncio.create_task(rig.runner.detect(task)) for task in tasks]


async def values(answers: "Sequence[Awaitable[Answer]]") -> list[str]:
    return [said(answer.value) for answer in await asyncio.gather(*answers)]


def tasks(number: int, prefix: str = "image") -> list[Task]:
    return [work.task(f"{prefix}-{index}.jpg") for index in range(number)]


# Calls: how many, how large, how often.


async def test_as_many_calls_run_as_the_detector_allows(make: Make) -> None:
    detector = make(max_concurrency=3)
    detector.notes.holding = lambda image: True
    async with running(detector) as rig:
        answers = ask(rig, *tasks(10))
        await until(lambda: detector.notes.inside == 3)
        detector.notes.release()
        assert await values(answers) == ["ok"] * 10
    assert detector.notes.most_inside == 3


async def test_requests_per_second_space_the_calls(make: Make) -> None:
    async with running(make(requests_per_second=50, max_concurrency=4)) as rig:
        await asyncio.sleep(0.1)  # a quiet time is no credit
        began = time.monotonic()
        await asyncio.gather(*ask(rig, *tasks(5)))
        assert time.monotonic() - began >= 4 / 50 - 0.001


@pytest.mark.parametrize("rate", [1e-300, 5e-324])
async def test_a_rate_that_is_next_to_nothing_is_no_error(make: Make, rate: float) -> None:
    detector = make(requests_per_second=rate)
    async with running(detector) as rig:
        first, second = ask(rig, *tasks(2))
        await first
        await settle()
        assert not second.done()
        second.cancel()
    assert len(detector.notes.batches) == 1


async def test_a_pause_holds_every_call_until_it_is_over(make: Make) -> None:
    detector = make()
    async with running(detector) as rig:
        began = time.monotonic()
        rig.runner.pause(0.1, "stopped")
        assert rig.gate.reasons() == {"detector scripted": "stopped"}
        await asyncio.gather(*ask(rig, *tasks(2)))
        assert time.monotonic() - began >= 0.1
        assert rig.gate.reasons() == {}, "it looked at an image"


async def test_tasks_that_come_just_before_a_pause_ends_wait_for_it(make: Make) -> None:
    async with running(make()) as rig:
        for _ in range(50):
            rig.runner.pause(0.0004, "stopped")  # uvloop's timers have milliseconds
            assert await values(ask(rig, *tasks(3))) == ["ok"] * 3


async def test_errors_of_single_images_leave_the_gate_closed_only_if_it_did_not_look(
    make: Make,
) -> None:
    answers: dict[str, Any] = {
        "busy.jpg": RetriableError("busy"),
        "blank.jpg": InvalidImageError("blank", code="blank"),
    }

    def script(image: Image) -> Any:
        raise answers[image.reference.key]

    async with running(make(script)) as rig:
        rig.runner.pause(0.0, "stopped")
        assert await values(ask(rig, work.task("busy.jpg"))) == ["RetriableError"]
        assert rig.gate.reasons()
        assert await values(ask(rig, work.task("blank.jpg"))) == ["blank"]
        assert not rig.gate.reasons()


async def test_a_call_is_let_go_without_the_garbage_collector(make: Make) -> None:
    """A cycle for each image took a tenth of the worker's time, because its objects were many."""
    async with running(make()) as rig:
        gc.collect()
        gc.disable()
        try:
            assert await values(ask(rig, *tasks(3))) == ["ok"] * 3
            await until(lambda: not any(isinstance(one, Call) for one in gc.get_objects()))
        finally:
            gc.enable()


class Held:
    """A large array of a plugin."""


@pytest.mark.parametrize("kind", [InvalidImageError, RuntimeError, ExceptionGroup])
@pytest.mark.parametrize("returned", [False, True], ids=["raised", "returned"])
async def test_an_error_keeps_nothing_of_the_detectors_variables(
    make: Make, kind: type[Exception], *, returned: bool
) -> None:
    held: list[weakref.ref[Held]] = []

    def fail() -> None:
        array = Held()
        held.append(weakref.ref(array))
        raise ExceptionGroup("two", [ValueError("a")]) if kind is ExceptionGroup else kind("no")

    def script(image: Image) -> Any:
        try:
            fail()
        except Exception as error:
            if not returned:
                raise
            wrapped = InvalidImageError("no")
            wrapped.__cause__ = error
            return wrapped

    async with running(make(script)) as rig:
        gc.collect()
        gc.disable()
        try:
            answers = await asyncio.gather(*ask(rig, *tasks(3)))
            assert not any(isinstance(answer.value, Findings) for answer in answers)
            await until(lambda: not any(one() for one in held))
        finally:
            gc.enable()


@pytest.mark.parametrize("centuries", [1e10, 1e300])
async def test_a_pause_of_centuries_is_no_error(make: Make, centuries: float) -> None:
    detector = make()
    async with running(detector) as rig:
        rig.runner.pause(centuries, "stopped")
        (waiting,) = ask(rig, work.task())
        await settle()
        rig.runner.pause(0.0, "started")
        assert said((await waiting).value) == "ok"


# Starting.


@pytest.mark.parametrize("error", [ValueError("no licence"), SystemExit("no licence")])
async def test_a_detector_that_cannot_start_refuses_by_name(
    make: Make, error: BaseException
) -> None:
    detector = make()

    def fail() -> None:
        raise error

    detector.starting = fail
    with pytest.raises(ConfigurationError, match=r"detector scripted cannot start: .*no licence"):
        async with running(detector):
            raise AssertionError("it started")
    assert detector.notes.closed == 0


async def test_a_start_that_is_not_ready_is_tried_until_it_is(
    make: Make, logged: list[dict[str, Any]]
) -> None:
    detector = make()
    problems: list[BaseException] = [
        DetectorNotReadyError("loading", retry_after_seconds=0.01),
        OSError("weights.onnx is half there"),
        SystemExit("no licence"),
        DetectorNotReadyError("loading"),
    ]

    def fail() -> None:
        if problems:
            raise problems.pop(0)

    detector.starting = fail
    async with running(detector) as rig:
        (waiting,) = ask(rig, work.task())
        assert rig.gate.reasons() == {"detector scripted": "loading"}
        await until(lambda: "half there" in str(rig.gate.reasons()))
        assert said((await waiting).value) == "ok"
        assert rig.gate.reasons() == {}
    assert detector.notes.starts == 5
    assert detector.notes.closed == 1
    events = [entry["event"] for entry in logged]
    assert events.count("detector_start_failed") == 2


async def test_a_stop_ends_a_start_that_waits(make: Make) -> None:
    detector = make()

    def fail() -> None:
        raise DetectorNotReadyError("loading", retry_after_seconds=3_600)

    detector.starting = fail
    began = time.monotonic()
    async with running(detector):
        pass
    assert time.monotonic() - began < 3
    assert (detector.notes.starts, detector.notes.closed) == (1, 0)


@pytest.mark.parametrize("member", ["capabilities", "fingerprint"])
async def test_a_detector_that_cannot_say_what_it_needs_is_named(make: Make, member: str) -> None:
    def fail(*_: object) -> Any:
        raise OSError("weights.onnx is not there")

    detector = make()
    broken = property(fail, fail) if member == "capabilities" else fail
    detector.__class__ = type("Broken", (type(detector),), {member: broken})
    with pytest.raises(ConfigurationError, match=r"scripted.*OSError: weights.onnx is not there"):
        async with running(detector):
            raise AssertionError("it was accepted")


# Calls that hang.


async def test_a_call_that_hangs_is_abandoned_once_and_its_late_answer_ignored(make: Make) -> None:
    detector = make()
    detector.notes.holding = lambda image: image.reference.key == "hangs.jpg"
    async with running(detector, timeout=0.1) as rig:
        hung, fine_one = ask(rig, work.task("hangs.jpg"), work.task("fine.jpg"))
        answer = await hung
        assert said(answer.value) == "detector_timeout"
        assert answer.duration_ms == pytest.approx(100)
        assert said((await fine_one).value) == "ok", "its slot was given to the next"
        assert rig.gate.reasons() == {}
        detector.notes.release()
        await until(lambda: detector.notes.inside == 0)
        assert await values(ask(rig, *tasks(2))) == ["ok"] * 2
    assert detector.notes.most_inside <= 2
    assert detector.notes.closed == 1, "it came back, so it can be closed after all"
    assert detector.notes.misuse == []


@pytest.mark.parametrize("kind", [Scripted, AsyncScripted])
async def test_a_detector_is_not_closed_under_a_call_that_hangs_and_nothing_waits_for_it(
    kind: type[AnyScripted],
) -> None:
    detector: Any = kind()
    detector.stubborn = True
    detector.notes.holding = lambda image: True
    async with running(detector, timeout=0.05) as rig:
        assert await values(ask(rig, work.task())) == ["detector_timeout"]
        began = time.monotonic()
        rig.runner.stop_calling()
        await rig.runner.close(time.monotonic() + 10)
        assert time.monotonic() - began < 5
        assert detector.notes.inside == 1
        assert detector.notes.closed == 0
        detector.notes.release()
        await until(lambda: detector.notes.inside == 0)
    assert detector.notes.misuse == []


async def test_a_coroutine_that_exceeds_its_time_is_cancelled() -> None:
    detector = AsyncScripted()
    detector.notes.holding = lambda image: True
    async with running(detector, timeout=0.05) as rig:
        assert await values(ask(rig, work.task())) == ["detector_timeout"]
        await until(lambda: detector.notes.inside == 0, within_seconds=2)
    assert detector.notes.closed == 1


async def test_a_detector_that_answers_no_image_is_unresponsive_until_it_answers_one(
    make: Make, logged: list[dict[str, Any]]
) -> None:
    detector = make(max_concurrency=4)
    detector.notes.holding = lambda image: True
    async with running(detector, timeout=0.05) as rig:
        first = ask(rig, *tasks(HUNG_CALLS))
        answers = await asyncio.gather(*first)
        assert [answer.is_unresponsive for answer in answers] == [False, False, True]
        (reason,) = rig.gate.reasons().values()
        assert "to several calls in a row" in reason
        before = len(detector.notes.batches)
        waiting = ask(rig, *tasks(4, "probe"))
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert len(detector.notes.batches) == before + 1, "one probe at a time"
        (probe,) = done
        assert (await probe).is_unresponsive
        detector.notes.release()  # the service is back
        assert (await values(waiting)).count("ok") >= 2
        await until(lambda: not rig.gate.reasons())
        assert await values(ask(rig, *tasks(4))) == ["ok"] * 4
    assert "fault_cleared" in [entry["event"] for entry in logged]


async def test_calls_that_hang_after_it_became_unresponsive_are_probes_of_their_images(
    make: Make,
) -> None:
    detector = make()
    detector.notes.holding = lambda image: True
    async with running(detector, timeout=0.03) as rig:
        for task in tasks(HUNG_CALLS - 1):
            await rig.runner.detect(task)
            assert task.probes == 0
        for number, task in enumerate([work.task("last.jpg")] * 3, 1):
            answer = await rig.runner.detect(task)
            assert answer.is_unresponsive
            assert task.probes == number


async def test_one_poison_image_never_makes_a_detector_unresponsive(make: Make) -> None:
    detector = make()
    detector.notes.holding = lambda image: True
    poison = work.task("poison.jpg")
    async with running(detector, timeout=0.02) as rig:
        for _ in range(HUNG_CALLS + 2):
            assert not (await rig.runner.detect(poison)).is_unresponsive
        assert rig.gate.reasons() == {}


@pytest.mark.parametrize("kind", [Scripted, AsyncScripted])
async def test_calls_under_way_when_it_becomes_unresponsive_delay_no_probe(
    kind: type[AnyScripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All calls of a service that is away hang together, and only one of them per probe is one."""
    monkeypatch.setattr("retinue_workers.detectors.hang_detector.LONGEST_PROBE_SECONDS", 300.0)
    detector = kind(max_concurrency=20)
    detector.notes.holding = lambda image: image.reference.key.startswith("hangs")
    async with running(detector, timeout=0.05) as rig:
        await asyncio.gather(*ask(rig, *tasks(20, "hangs")))
        began = time.monotonic()
        assert await values(ask(rig, work.task("fine.jpg"))) == ["ok"]
        assert time.monotonic() - began < 2


def test_probes_come_ever_later_but_not_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinue_workers.detectors.hang_detector.FIRST_PROBE_SECONDS", 5.0)
    hangs, waits = HangDetector(), []
    for _ in range(30):
        hangs.record_timeout({uuid4()})
        waits.append(hangs.probe_seconds())
    assert waits[:6] == [5, 5, 5, 10, 20, 40]
    assert waits[-1] == LONGEST_PROBE_SECONDS
    hangs.record_response()
    assert not hangs.is_unresponsive
    assert hangs.probe_seconds() == 5


def test_an_answer_between_calls_that_hang_keeps_the_detector_responsive() -> None:
    hangs = HangDetector()
    for _ in range(5):
        for _ in range(HUNG_CALLS - 1):
            hangs.record_timeout({uuid4()})
        assert not hangs.is_unresponsive
        hangs.record_response()


async def test_a_probe_whose_image_cannot_be_loaded_is_followed_by_another(make: Make) -> None:
    def gone() -> bytes:
        raise InvalidImageError("gone", code="object_not_found")

    detector = make(input=Input.BYTES)
    detector.notes.holding = lambda image: image.reference.key.startswith("image")

    async with running(detector, timeout=0.05) as rig:
        await asyncio.gather(*ask(rig, *[work.task(f"image-{n}.jpg", load=some) for n in range(3)]))
        assert rig.gate.reasons()
        answers = ask(rig, work.task("gone.jpg", load=gone), work.task("fine.jpg", load=some))
        assert await values(answers) == ["object_not_found", "ok"]
        assert not rig.gate.reasons()


# Answers.


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Findings(), "ok"),
        (InvalidImageError("blank", code="blank"), "blank"),
        (RetriableError("busy"), "RetriableError"),
        (None, "InvalidAnswerError"),
        ({"label": "Dog"}, "InvalidAnswerError"),
        ([Findings()], "InvalidAnswerError"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (SystemExit("bye"), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (asyncio.CancelledError(), "CancelledError"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
async def test_whatever_a_detector_does_it_is_called_again(
    make: Make, logged: list[dict[str, Any]], answer: Any, expected: str
) -> None:
    def script(image: Image) -> Any:
        if image.reference.key == "fine.jpg":
            return Findings()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async with running(make(script)) as rig:
        (bad, good) = await values(ask(rig, work.task("bad.jpg"), work.task("fine.jpg")))
    assert bad == expected
    assert good == "ok"
    events = [entry["event"] for entry in logged]
    is_bug = isinstance(answer, BaseException) and not isinstance(answer, DetectorError)
    assert events.count("detector_raised") == is_bug


async def test_a_detector_whose_iterator_ends_is_called_again(make: Make) -> None:
    """Python turns StopIteration into RuntimeError where a coroutine raises it."""
    images = iter(["one"])

    async with running(make(lambda image: next(images) and Findings())) as rig:
        assert (await values(ask(rig, work.task())))[0] == "ok"
        assert (await values(ask(rig, work.task())))[0] in {"StopIteration", "RuntimeError"}
        images = iter(["two"])
        assert (await values(ask(rig, work.task())))[0] == "ok"


async def test_a_returned_error_is_an_answer_as_a_raised_one(make: Make) -> None:
    error = InvalidImageError("blank", code="blank")
    async with running(make(lambda image: error)) as rig:
        answer = await rig.runner.detect(work.task())
    assert answer.value is error


async def test_an_answer_says_when_how_long_and_with_how_many(make: Make) -> None:
    async with running(make(lambda image: time.sleep(0.02) or Findings())) as rig:
        answer = await rig.runner.detect(work.task())
    assert answer.duration_ms >= 20
    assert answer.batch_size == 1
    assert not answer.is_unresponsive


async def test_findings_are_encoded_for_a_caller_that_wants_it(make: Make) -> None:
    found = Findings((Detection("label", "cat", 0.5, attributes={"a": 1}),), {"all": []}, "v1")
    async with running(make(lambda image: found)) as rig:
        answer = await rig.runner.detect(work.task(), FindingsEncoder(10, 100))
    assert answer.value == EncodedFindings(
        (DetectionRecord("label", "cat", 0.5, None, '{"a":1}'),), '{"all":[]}', "v1", Decimal(0)
    )


async def test_findings_that_cannot_be_encoded_are_the_answer(make: Make) -> None:
    found = Findings((Detection("label", "cat", 0.5),))
    async with running(make(lambda image: found)) as rig:
        answer = await rig.runner.detect(work.task(), FindingsEncoder(0, 100))
    assert answer.value is found


async def test_filtered_findings_are_encoded(make: Make) -> None:
    def hide(detections: Sequence[Detection], **_: object) -> list[Detection]:
        return []

    found = Findings((Detection("label", "cat", 0.5),))
    async with running(make(lambda image: found), filters=[Filter("privacy", hide)]) as rig:
        answer = await rig.runner.detect(work.task(), FindingsEncoder(10, 100))
    assert isinstance(answer.value, EncodedFindings)
    assert answer.value.detections == ()


async def test_findings_pass_the_filters_and_errors_do_not(make: Make) -> None:
    def shout(detections: Sequence[Detection], **_: object) -> list[Detection]:
        return [Detection("note", found.label.upper(), 1.0) for found in detections]

    def script(image: Image) -> Any:
        if image.reference.key == "blank.jpg":
            raise InvalidImageError("blank", code="blank")
        return Findings((Detection("note", "tom", 1.0),), raw_response={"tom": 1})

    async with running(make(script), filters=[Filter("privacy", shout)]) as rig:
        loud, failed = await asyncio.gather(*ask(rig, work.task("tom.jpg"), work.task("blank.jpg")))
    assert isinstance(loud.value, Findings)
    assert [found.label for found in loud.value.detections] == ["TOM"]
    assert loud.value.raw_response is None
    assert said(failed.value) == "blank"


async def test_what_cannot_be_loaded_is_answered_without_a_call(make: Make) -> None:
    def gone() -> bytes:
        raise InvalidImageError("gone", code="object_not_found")

    detector = make(input=Input.BYTES)
    async with running(detector) as rig:
        answers = ask(rig, work.task("gone.jpg", load=gone), work.task("here.jpg", load=some))
        assert await values(answers) == ["object_not_found", "ok"]
    assert detector.notes.batches == [["here.jpg"]]


async def test_images_are_let_go_before_the_next_call(make: Make) -> None:
    async with running(make(max_batch_size=4)) as rig:
        images = []
        for task in tasks(4):
            images.append(weakref.ref(task.image))
            await rig.runner.detect(task)
        del task
        await until(lambda: not any(image() for image in images), within_seconds=3)


# Budgets.


async def test_a_call_is_made_only_if_the_budget_allows_it(make: Make) -> None:
    detector = make(max_concurrency=4)
    async with running(detector, usd=Decimal(2)) as rig:
        answers = ask(rig, *tasks(3))
        await until(lambda: sum(answer.done() for answer in answers) == 2 and rig.gate.reasons())
        assert [*rig.gate.reasons()] == ["budget scripted"]
        _, waiting = await asyncio.wait(answers, timeout=0.1)
        assert len(waiting) == 1
        done = [answer for answer in answers if answer.done()]
        for answer in done:
            assert answer.result().reserved_usd == 1
            rig.budget.release("scripted", answer.result().reserved_usd)  # nothing was billed
        (last,) = waiting
        assert said((await last).value) == "ok"
    assert len(detector.notes.batches) == 3


async def test_calls_that_begin_together_share_a_reading_of_the_month(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retinue_workers.limits.budget.FRESH_SECONDS", 60.0)

    class Counting(MemoryHistory):
        readings = 0

        def month_totals(self, month: date, *_: object) -> MonthTotals:
            self.readings += 1
            time.sleep(0.01)
            return MonthTotals(month, {}, {})

    history = Counting()
    async with running(make(max_concurrency=50), usd=Decimal(1_000), history=history) as rig:
        assert await values(ask(rig, *tasks(50))) == ["ok"] * 50
    assert history.readings == 1


# Stopping.


async def test_a_stop_ends_what_waits_and_lets_the_call_under_way_finish(make: Make) -> None:
    detector = make()
    detector.notes.holding = lambda image: True
    async with running(detector, usd=Decimal(100)) as rig:
        answers = ask(rig, *tasks(3))
        await until(lambda: detector.notes.inside == 1)
        rig.runner.stop_calling()
        for answer in answers:
            answer.cancel()
        await until(lambda: sum(answer.done() for answer in answers) == 2)
        await settle()
        assert [answer.cancelled() for answer in answers] == [False, True, True]
        closing = asyncio.create_task(rig.runner.close(time.monotonic() + 10))
        await settle()
        assert detector.notes.closed == 0
        detector.notes.release()
        assert said((await answers[0]).value) == "ok"
        await closing
    assert detector.notes.closed >= 1
    assert detector.notes.misuse == []


@pytest.mark.parametrize("turns", range(8))
async def test_an_answer_that_comes_with_the_cancellation_is_returned(
    make: Make, turns: int
) -> None:
    detector = make()
    detector.notes.holding = lambda image: True
    async with running(detector) as rig:
        (answer,) = ask(rig, work.task())
        await until(lambda: detector.notes.inside == 1)
        detector.notes.release()
        for _ in range(turns):
            await asyncio.sleep(0)
        answer.cancel()
        assert said((await answer).value) == "ok"


async def test_a_second_cancellation_abandons_the_call(make: Make) -> None:
    detector = make()
    detector.notes.holding = lambda image: True
    async with running(detector, usd=Decimal(1)) as rig:
        (answer,) = ask(rig, work.task())
        await until(lambda: detector.notes.inside == 1)
        rig.runner.stop_calling()
        answer.cancel()
        await settle()
        assert not answer.done()
        await rig.runner.close(time.monotonic() + 0.05)
        assert detector.notes.closed == 0, "the call is still under way"
        answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer
        detector.notes.release()
        await until(lambda: detector.notes.inside == 0)
        await settle()
        assert await rig.budget.reserve("scripted", 1) == 1, "what was reserved is released"


async def test_what_comes_after_the_stop_waits_for_its_cancellation(make: Make) -> None:
    detector = make()
    async with running(detector) as rig:
        rig.runner.stop_calling()
        (late,) = ask(rig, work.task())
        await settle()
        assert not late.done()
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
    assert detector.notes.batches == []


async def test_a_close_that_hangs_does_not_hold_the_worker_up(
    make: Make, logged: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "CLOSE_SECONDS", 0.05)
    detector, gate = make(), threading.Event()
    if isinstance(detector, AsyncScripted):
        detector.close = asyncio.Event().wait
    else:
        detector.close = lambda: gate.wait(20)
    async with running(detector) as rig:
        began = time.monotonic()
        await rig.runner.close(began)
        assert time.monotonic() - began < 2
        gate.set()
    assert "detector_close_timed_out" in [entry["event"] for entry in logged]


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit("no")])
async def test_a_close_that_raises_is_logged(
    make: Make, logged: list[dict[str, Any]], error: BaseException
) -> None:
    detector = make()

    def fail() -> None:
        raise error

    detector.notes.close = fail
    async with running(detector):
        pass
    assert "detector_close_failed" in [entry["event"] for entry in logged]


@pytest.mark.parametrize("moment", range(8))
async def test_a_stop_at_any_moment_ends_every_task_once_and_closes_under_no_call(
    make: Make, moment: int
) -> None:
    chance = random.Random(moment)

    def moody(image: Image) -> Any:
        time.sleep(chance.random() * 0.002)
        return chance.choice([Findings(), RetriableError(), InvalidImageError()])

    detector = make(moody, max_batch_size=3, max_concurrency=4)
    async with running(detector, usd=Decimal(1_000)) as rig:
        answers = ask(rig, *tasks(200))
        await asyncio.sleep(moment * 0.004)
        rig.runner.stop_calling()
        for answer in answers:
            answer.cancel()
        await rig.runner.close(time.monotonic() + 10)
        done, pending = await asyncio.wait(answers, timeout=5)
        assert not pending
        answered = sum(not answer.cancelled() for answer in done)
        assert answered <= sum(detector.notes.calls_by_key.values())
        assert max(detector.notes.calls_by_key.values(), default=1) == 1
    assert detector.notes.misuse == []


# Threads and batches: of a ``Detector`` alone.


async def test_a_batch_is_what_waits_when_the_detector_is_free() -> None:
    detector = Scripted(max_batch_size=3)
    detector.notes.holding = lambda image: image.reference.key == "first.jpg"
    async with running(detector) as rig:
        answers = ask(rig, work.task("first.jpg"))
        await until(lambda: detector.notes.inside == 1)
        answers += ask(rig, *tasks(5))
        await settle()
        detector.notes.release()
        assert await values(answers) == ["ok"] * 6
        assert [(await answer).batch_size for answer in answers] == [1, 3, 3, 3, 2, 2]
    keys = [f"image-{number}.jpg" for number in range(5)]
    assert detector.notes.batches == [["first.jpg"], keys[:3], keys[3:]]


async def test_an_image_that_must_be_alone_shares_no_batch() -> None:
    detector = Scripted(max_batch_size=10)
    before, alone, *after = tasks(4)
    alone.alone = True
    async with running(detector) as rig:
        rig.runner.pause(0.02, "until all wait")
        await asyncio.gather(*ask(rig, before, alone, *after))
    assert [len(batch) for batch in detector.notes.batches] == [1, 1, 2]


async def test_an_error_that_is_raised_is_the_answer_for_each_image_of_its_batch() -> None:
    def script(image: Image) -> Any:
        raise ZeroDivisionError

    async with running(Scripted(script, max_batch_size=2)) as rig:
        rig.runner.pause(0.02, "until all wait")
        answers = await asyncio.gather(*ask(rig, *tasks(2)))
    assert [(said(one.value), one.batch_size) for one in answers] == [("ZeroDivisionError", 2)] * 2


@pytest.mark.parametrize("number", [0, 1, 3, 10**9])
async def test_a_wrong_number_of_results_is_no_answer_to_any_image(number: int) -> None:
    class Miscounting(Scripted):
        def detect(self, images: Sequence[Image]) -> Sequence[Any]:
            return (Findings() for _ in range(number))

    async with running(Miscounting(max_batch_size=2)) as rig:
        rig.runner.pause(0.02, "until all wait")
        assert await values(ask(rig, *tasks(2))) == ["InvalidAnswerError"] * 2


async def test_a_batch_that_hangs_is_one_call_and_takes_its_time_once() -> None:
    detector = Scripted(max_batch_size=2)
    detector.notes.holding = lambda image: True
    async with running(detector, timeout=0.1) as rig:
        rig.runner.pause(0.02, "until all wait")
        answers = await asyncio.gather(*ask(rig, *tasks(2)))
        assert [answer.duration_ms for answer in answers] == [50, 50]
        assert rig.gate.reasons() == {"detector scripted": "until all wait"}


# Coroutines: of an ``AsyncDetector`` alone.


async def test_coroutines_take_no_thread_each() -> None:
    detector = AsyncScripted(max_concurrency=100)
    detector.notes.holding = lambda image: True
    before = threading.active_count()
    async with running(detector) as rig:
        answers = ask(rig, *tasks(120))
        await until(lambda: detector.notes.inside == 100)
        assert threading.active_count() == before
        detector.notes.release()
        assert await values(answers) == ["ok"] * 120


async def test_exits_end_neither_the_loop_nor_a_thread(make: Make) -> None:
    def leave(image: Image) -> Any:
        sys.exit("bye")

    async with running(make(leave, max_concurrency=2)) as rig:
        assert await values(ask(rig, *tasks(5))) == ["SystemExit"] * 5
        assert fine(work.image()).billed_units == 1
