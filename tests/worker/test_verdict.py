"""Every kind of answer, at every receive, in every size of batch."""

import pytest
from fakes.deliveries import attempt, delivery
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
from retinue_workers.detectors.retry_policy import (
    PROBE_SECONDS,
    Fail,
    HandBack,
    Pause,
    Retry,
    Succeed,
    Verdict,
    judge,
    redrive_seconds,
)
from retinue_workers.limits.backoff import LONGEST_SECONDS

WINDOW = 300.0


def judged(
    answer: Findings | BaseException,
    *,
    last: bool = False,
    batch: int = 1,
    retrying: float = 0.0,
    receive_count: int = 1,
) -> Verdict:
    return judge(
        answer,
        attempt(of=delivery(last_receive=last, receive_count=receive_count)),
        retrying_seconds=retrying,
        batch_size=batch,
        retry_window_seconds=WINDOW,
    )


every = pytest.mark.parametrize(("last", "batch"), [(False, 1), (False, 5), (True, 1), (True, 5)])


@every
def test_findings_succeed(last: bool, batch: int) -> None:
    findings = Findings()
    assert judged(findings, last=last, batch=batch) == Succeed(findings)


@every
@pytest.mark.parametrize("retryable", [True, False])
def test_an_invalid_image_fails_at_once(last: bool, batch: int, retryable: bool) -> None:
    error = InvalidImageError("too dark", code="dark", retryable=retryable)
    assert judged(error, last=last, batch=batch) == Fail("dark", "too dark", retryable)


@every
@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (DetectorNotReadyError("stopped"), PROBE_SECONDS),
        (DetectorNotReadyError("stopped", retry_after_seconds=7), 7.0),
        (DetectorNotReadyError("stopped", retry_after_seconds=0), 0.0),
        (DetectorNotReadyError("stopped", retry_after_seconds=1e15), LONGEST_SECONDS),
        (ConfigurationError("stopped"), PROBE_SECONDS),
    ],
)
def test_what_works_for_no_image_pauses(
    last: bool, batch: int, error: Exception, wait: float
) -> None:
    """Whatever the receive: no image is to blame, so none is given up."""
    assert judged(error, last=last, batch=batch, retrying=1e9) == Pause(wait, "stopped")


@every
def test_a_retriable_error_is_retried_within_the_window(last: bool, batch: int) -> None:
    answer = judged(RetriableError("busy", retry_after_seconds=3), last=last, batch=batch)
    assert isinstance(answer, Retry)
    assert 3 <= answer.after_seconds <= 3.5
    assert (answer.reason, answer.alone) == ("busy", False)


def test_a_retriable_error_without_end_is_handed_back_and_recorded_at_last() -> None:
    error = RetriableError("busy")
    assert judged(error, retrying=WINDOW, receive_count=3) == HandBack(4, "busy")
    assert judged(error, retrying=WINDOW, last=True) == Fail("retries_exhausted", "busy", True)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("bug"),
        DetectorError("bug"),
        MemoryError("bug"),
        SystemExit("bug"),
        KeyboardInterrupt("bug"),
        type("SubclassError", (ValueError,), {})("bug"),
    ],
)
def test_a_bug_is_found_alone_then_handed_back_then_recorded(error: BaseException) -> None:
    text = f"{type(error).__name__}: bug"
    for last in (False, True):
        assert judged(error, batch=2, last=last) == Retry(0.0, text, alone=True)
    assert judged(error, receive_count=2) == HandBack(2, text)
    assert judged(error, last=True) == Fail("unexpected_error", text, True)


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
    answer = judged(error, last=True)
    assert isinstance(answer, Fail)
    assert answer.code == "unexpected_error"
    assert type(error).__name__ in answer.message
    assert isinstance(judged(error), HandBack)
    assert judged(error, batch=3) == Retry(0.0, answer.message, alone=True)


def test_an_error_without_words_still_has_a_name() -> None:
    answer = judged(UnprintableError(), last=True)
    assert answer == Fail("unexpected_error", "UnprintableError", True)


@pytest.mark.parametrize("wait", [float("nan"), float("inf"), 1e300])
def test_no_detector_can_ask_for_an_endless_wait(wait: float) -> None:
    busy, stopped = RetriableError(), DetectorNotReadyError()
    busy.retry_after_seconds = stopped.retry_after_seconds = wait
    retry, pause = judged(busy), judged(stopped)
    assert isinstance(retry, Retry)
    assert isinstance(pause, Pause)
    assert LONGEST_SECONDS <= retry.after_seconds <= LONGEST_SECONDS + 1
    assert pause.after_seconds == LONGEST_SECONDS


@given(count=st.integers(1, 10_000))
def test_redrive_waits_longer_each_time_and_never_too_long(count: int) -> None:
    assert 1 <= redrive_seconds(count) <= redrive_seconds(count + 1) <= 300


answers = st.sampled_from(
    [
        Findings(),
        InvalidImageError(),
        RetriableError(),
        DetectorNotReadyError(),
        ConfigurationError(),
        RuntimeError(),
        SystemExit(),
        UnprintableError(),
    ]
)


@given(
    answer=answers,
    last=st.booleans(),
    batch=st.integers(1, 100),
    retrying=st.floats(0, 1e6),
    receive_count=st.integers(1, 1_000),
)
def test_there_is_always_a_verdict_and_on_the_last_receive_nothing_is_handed_back(
    answer: Findings | BaseException, last: bool, batch: int, retrying: float, receive_count: int
) -> None:
    result = judged(answer, last=last, batch=batch, retrying=retrying, receive_count=receive_count)
    assert isinstance(result, Succeed | Fail | Retry | Pause | HandBack)
    assert not (last and isinstance(result, HandBack))
    if isinstance(result, Fail) and not result.retryable:
        assert isinstance(answer, InvalidImageError)
