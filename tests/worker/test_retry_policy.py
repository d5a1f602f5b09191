"""Every kind of answer, at every receive, in every size of batch."""

import math
from decimal import Decimal
from typing import Any

import pytest
from fakes import work
from fakes.plugin import FieldlessError, FieldlessNotReadyError, UnprintableError
from hypothesis import given
from hypothesis import strategies as st
from retinue_sdk import (
    ConfigurationError,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    InvalidImageError,
    RetriableError,
)
from retinue_workers.detectors.bill import billed_units
from retinue_workers.detectors.errors import (
    DetectorCrashedError,
    DetectorRaisedError,
    DetectorTimeoutError,
    InvalidAnswerError,
)
from retinue_workers.detectors.retry_policy import (
    PROBE_SECONDS,
    PROBES_PER_IMAGE,
    Answer,
    Decision,
    Fail,
    Pause,
    Retry,
    Succeed,
    decide,
)
from retinue_workers.limits.backoff import LONGEST_SECONDS, requeue_seconds
from retinue_workers.work import Requeue

WINDOW = 300.0


def decided(
    value: Findings | BaseException,
    *,
    last: bool = False,
    batch: int = 1,
    attempt: int = 1,
    retrying: float = 0.0,
    receive_count: int = 1,
    is_unresponsive: bool = False,
    probes: int = 0,
) -> Decision:
    task = work.task(is_last_receive=last, receive_count=receive_count)
    task.probes = probes
    return decide(
        Answer(value, work.NOW, batch_size=batch, is_unresponsive=is_unresponsive),
        task,
        attempt,
        retrying_seconds=retrying,
        retry_window_seconds=WINDOW,
    )


every = pytest.mark.parametrize(("last", "batch"), [(False, 1), (False, 5), (True, 1), (True, 5)])


@every
@pytest.mark.parametrize(
    ("value", "decision"),
    [
        (Findings(), Succeed(Findings())),
        (InvalidImageError("dark", code="dark"), Fail("dark", "dark", retryable=False)),
        (InvalidImageError("gone", code="g", retryable=True), Fail("g", "gone", retryable=True)),
        (DetectorNotReadyError("stopped"), Pause(PROBE_SECONDS, "stopped")),
        (DetectorNotReadyError("stopped", retry_after_seconds=7), Pause(7.0, "stopped")),
        (DetectorNotReadyError("stopped", retry_after_seconds=0), Pause(0.0, "stopped")),
        (
            DetectorNotReadyError("stopped", retry_after_seconds=1e15),
            Pause(LONGEST_SECONDS, "stopped"),
        ),
        (ConfigurationError("stopped"), Pause(PROBE_SECONDS, "stopped")),
        (
            DetectorTimeoutError(5),
            Fail("detector_timeout", "no answer within 5 s", retryable=True),
        ),
    ],
)
def test_what_does_not_depend_on_receives_batches_or_the_window(
    last: bool, batch: int, value: Findings | BaseException, decision: Decision
) -> None:
    assert decided(value, last=last, batch=batch, retrying=1e9) == decision


@every
@pytest.mark.parametrize("throttled", [False, True])
def test_a_retriable_error_is_retried_within_the_window(
    last: bool, batch: int, throttled: bool
) -> None:
    error = RetriableError("busy", retry_after_seconds=3, throttled=throttled)
    retry = decided(error, last=last, batch=batch, retrying=WINDOW - 1)
    assert isinstance(retry, Retry)
    assert 3 <= retry.after_seconds <= 3.5
    assert (retry.reason, retry.alone, retry.throttled) == ("busy", False, throttled)


def test_a_retriable_error_without_end_is_requeued_and_recorded_at_last() -> None:
    error = RetriableError("busy")
    assert decided(error, retrying=WINDOW, receive_count=3) == Requeue(4, "busy")
    last = decided(error, retrying=WINDOW, last=True)
    assert last == Fail("retries_exhausted", "busy", retryable=True)


def test_the_wait_grows_with_the_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda least, most: most)
    waits = [decided(RetriableError(), attempt=attempt) for attempt in range(1, 8)]
    seconds = [retry.after_seconds for retry in waits if isinstance(retry, Retry)]
    assert len(seconds) == 7
    assert seconds == sorted(seconds)
    assert seconds[1] == 2 * seconds[0]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("bug"), "RuntimeError: bug"),
        (DetectorError("bug"), "DetectorError: bug"),
        (DetectorRaisedError("KeyError: 'x'"), "DetectorRaisedError: KeyError: 'x'"),
        (MemoryError("bug"), "MemoryError: bug"),
        (SystemExit("bug"), "SystemExit: bug"),
        (KeyboardInterrupt("bug"), "KeyboardInterrupt: bug"),
        (type("SubclassError", (ValueError,), {})("bug"), "SubclassError: bug"),
        (UnprintableError(), "UnprintableError"),
    ],
)
def test_a_bug_is_found_alone_then_requeued_then_recorded(error: BaseException, text: str) -> None:
    for last in (False, True):
        assert decided(error, batch=2, last=last) == Retry(0.0, text, alone=True)
    assert decided(error, receive_count=2) == Requeue(2, text)
    assert decided(error, last=True) == Fail("unexpected_error", text, retryable=True)


def test_a_crash_is_found_alone_then_requeued_then_recorded() -> None:
    crash = DetectorCrashedError("it was ended by SIGSEGV")
    retry = decided(crash, batch=2, last=True)
    assert isinstance(retry, Retry)
    assert retry.alone
    assert decided(crash) == Requeue(1, "it was ended by SIGSEGV")
    assert decided(crash, last=True) == Fail(
        "detector_crashed", "it was ended by SIGSEGV", retryable=True
    )


def test_a_wrong_answer_is_found_alone_and_recorded_at_its_first_receive() -> None:
    wrong = InvalidAnswerError("a list")
    retry = decided(wrong, batch=2)
    assert isinstance(retry, Retry)
    assert retry.alone
    assert decided(wrong) == Fail("invalid_result", "a list", retryable=True)


@pytest.mark.parametrize("probes", range(PROBES_PER_IMAGE + 2))
def test_while_the_detector_is_unresponsive_an_image_is_blamed_only_after_so_many_probes(
    probes: int,
) -> None:
    hung = decided(DetectorTimeoutError(5), is_unresponsive=True, probes=probes, last=True)
    if probes <= PROBES_PER_IMAGE:
        assert hung == Retry(0.0, "no answer within 5 s")
    else:
        assert hung == Fail("detector_timeout", "no answer within 5 s", retryable=True)


# Exception classes of plugins that are broken themselves.


@pytest.mark.parametrize(
    "error",
    [
        FieldlessError(),
        FieldlessNotReadyError(),
        type("OddError", (UnprintableError, InvalidImageError), {})(),
        type("OddError", (UnprintableError, DetectorNotReadyError), {})(),
    ],
)
def test_an_error_that_cannot_be_read_is_a_bug(error: BaseException) -> None:
    fail = decided(error, last=True)
    assert isinstance(fail, Fail)
    assert fail.code == "unexpected_error"
    assert type(error).__name__ in fail.message
    assert isinstance(decided(error), Requeue)


@pytest.mark.parametrize("wait", [math.nan, math.inf, 1e300])
def test_no_detector_can_ask_for_an_endless_wait(wait: float) -> None:
    busy, stopped = RetriableError(), DetectorNotReadyError()
    busy.retry_after_seconds = stopped.retry_after_seconds = wait
    retry, pause = decided(busy), decided(stopped)
    assert isinstance(retry, Retry)
    assert isinstance(pause, Pause)
    assert LONGEST_SECONDS <= retry.after_seconds <= LONGEST_SECONDS + 1
    assert pause.after_seconds == LONGEST_SECONDS


@given(count=st.integers(1, 10_000))
def test_a_requeued_message_waits_longer_each_time_and_never_too_long(count: int) -> None:
    assert 1 <= requeue_seconds(count) <= requeue_seconds(count + 1) <= 300


class _Unreadable:
    """A value that nothing can be done with."""

    def __str__(self) -> str:
        raise ValueError("no words")

    __bool__ = __float__ = __lt__ = __gt__ = __repr__ = __str__


anything: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.text(max_size=5),
    st.decimals(),
    st.just(_Unreadable()),
    st.just([1]),
)


@st.composite
def broken_errors(draw: st.DrawFn) -> BaseException:
    """Return an error of any class, with any fields, possibly without a text."""
    bases = [
        InvalidImageError,
        RetriableError,
        DetectorNotReadyError,
        DetectorError,
        ConfigurationError,
        RuntimeError,
        SystemExit,
    ]
    base = draw(st.sampled_from(bases))
    words = {"__str__": UnprintableError.__str__} if draw(st.booleans()) else {}
    fields = ("code", "retryable", "retry_after_seconds", "throttled", "billed_units")
    kind = type("Broken", (base,), {"__init__": lambda self: None, **words})
    error: BaseException = kind()
    for name in fields:
        if draw(st.booleans()):
            setattr(error, name, draw(anything))
    return error


@given(
    value=st.one_of(st.just(Findings()), broken_errors()),
    last=st.booleans(),
    batch=st.integers(1, 100),
    attempt=st.integers(1, 1_000),
    retrying=st.floats(0, 1e6),
    receive_count=st.integers(1, 1_000),
    is_unresponsive=st.booleans(),
    probes=st.integers(0, 10),
)
def test_there_is_always_a_decision_and_nothing_is_requeued_on_the_last_receive(
    value: Findings | BaseException, last: bool, receive_count: int, **given: Any
) -> None:
    decision = decided(value, last=last, receive_count=receive_count, **given)
    match decision:
        case Succeed():
            assert isinstance(value, Findings)
        case Requeue(after_seconds):
            assert not last
            assert after_seconds == requeue_seconds(receive_count)
        case Retry(after_seconds) | Pause(after_seconds):
            assert 0 <= after_seconds <= LONGEST_SECONDS + 30
        case Fail(code, message, retryable):
            assert isinstance(code, str)
            assert isinstance(message, str)
            assert isinstance(retryable, bool)
            assert retryable or isinstance(value, InvalidImageError)
    assert Decimal(0) <= billed_units(value) < 10**13, "whatever it says, it can be added up"
