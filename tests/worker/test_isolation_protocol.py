"""Messages of a detector's process arrive unchanged, and none is trusted."""

import json
from decimal import Decimal
from typing import Any

import pytest
from fakes.plugin import FieldlessError, FieldlessNotReadyError, UnprintableError
from hypothesis import given
from hypothesis import strategies as st
from retinue_sdk import (
    BoundingBox,
    ConfigurationError,
    Detection,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    InvalidImageError,
    RetriableError,
)
from retinue_workers.detectors.bill import billed_units
from retinue_workers.detectors.errors import DetectorRaisedError, InvalidAnswerError
from retinue_workers.detectors.isolation.child import packed
from retinue_workers.detectors.isolation.process import read_answer
from retinue_workers.detectors.isolation.protocol import MAX_TEXT_CHARACTERS, pack, unpack

texts = st.text(max_size=30)
units = st.decimals(0, 10**9, places=6) | st.integers(0, 10**6)
seconds = st.none() | st.floats(0, 1e6)

errors: st.SearchStrategy[Exception] = st.one_of(
    st.builds(InvalidImageError, texts, code=texts, retryable=st.booleans(), billed_units=units),
    st.builds(
        RetriableError,
        texts,
        retry_after_seconds=seconds,
        throttled=st.booleans(),
        billed_units=units,
    ),
    st.builds(DetectorNotReadyError, texts, retry_after_seconds=seconds, billed_units=units),
    st.builds(DetectorError, texts, billed_units=units),
    st.builds(ConfigurationError, texts),
    st.builds(InvalidAnswerError, texts, billed_units=units),
    st.builds(ValueError, texts),
)

FIELDS = ("code", "retryable", "retry_after_seconds", "throttled", "billed_units")


def arrived(answer: object) -> Any:
    """Return the worker's reading of an answer, or the error that it raises."""
    try:
        return read_answer(packed(answer))
    except Exception as error:  # noqa: BLE001 - one that applies to the call
        return error


def fields(error: BaseException) -> dict[str, Any]:
    return {name: getattr(error, name) for name in FIELDS if hasattr(error, name)}


@given(error=errors)
def test_every_error_keeps_its_class_its_fields_and_its_bill(error: Exception) -> None:
    seen = arrived(error)
    if type(error) in {DetectorError, ValueError}:  # what to do next is the same for all others
        assert type(seen) is DetectorRaisedError
        assert str(seen) == f"{type(error).__name__}: {error}"
    else:
        assert type(seen) is type(error)
        assert str(seen) == str(error)
        assert fields(seen) == fields(error)
    assert billed_units(seen) == billed_units(error)


detections = st.builds(
    Detection,
    st.just("label"),
    st.text("abc", min_size=1, max_size=5),
    st.floats(0, 1),
    st.none() | st.just(BoundingBox(0.1, 0.2, 0.3, 0.4)),
    st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=3),
)


@given(
    findings=st.builds(
        Findings,
        st.lists(detections, max_size=3).map(tuple),
        st.none() | texts | st.lists(st.integers(), max_size=3),
        st.none() | texts,
        units.map(Decimal),
    )
)
def test_findings_arrive_as_they_were(findings: Findings) -> None:
    assert arrived(findings) == findings


def bent(thing: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        object.__setattr__(thing, name, value)
    return thing


def dog(**fields: Any) -> Detection:
    return bent(Detection("label", "Dog", 0.5), **fields)


@pytest.mark.parametrize(
    "findings",
    [
        Findings((dog(confidence=2.0),), billed_units=Decimal(3)),  # refused by the worker
        Findings((dog(label=5),), billed_units=Decimal(3)),
        Findings((dog(box=(0, 0, 1, 1)),), billed_units=Decimal(3)),  # cannot be sent
        Findings((dog(attributes={"a": {1, 2}}),), billed_units=Decimal(3)),
        Findings((), b"bytes", billed_units=Decimal(3)),
        bent(Findings(billed_units=Decimal(3)), detections=None),
    ],
)
def test_findings_that_cannot_be_recorded_keep_their_bill(findings: Findings) -> None:
    seen = arrived(findings)
    assert isinstance(seen, InvalidImageError)
    assert (seen.code, seen.retryable, seen.billed_units) == ("invalid_result", True, 3)


@pytest.mark.parametrize(
    "error",
    [
        FieldlessError(),
        FieldlessNotReadyError(),
        UnprintableError(),
        type("Odd", (UnprintableError, RetriableError), {"__init__": lambda self: None})(),
        bent(RetriableError(), billed_units="many"),
        bent(RetriableError(), billed_units=Decimal("NaN")),
        bent(RetriableError(), retry_after_seconds=object()),
        bent(InvalidImageError(), billed_units=None),
    ],
)
def test_an_error_class_that_is_broken_ends_neither_process_nor_worker(error: Exception) -> None:
    seen = arrived(error)
    assert isinstance(seen, DetectorError)
    assert billed_units(seen) == 0


def test_a_broken_error_keeps_a_bill_that_can_be_read() -> None:
    error = bent(RetriableError(billed_units=3), retry_after_seconds=object())
    assert billed_units(arrived(error)) == 3


def test_a_long_text_is_cut() -> None:
    assert len(str(arrived(RetriableError("x" * 10**6)))) == MAX_TEXT_CHARACTERS


frames = st.one_of(
    st.binary(max_size=50),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["error", "kind", "message", "after", "code", "billed_units", "detections"]
                ),
                inner
                | st.sampled_from(["invalid_image", "retriable", "not_ready", "configuration"]),
                max_size=5,
            )
        ),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode()),
)


@given(frame=frames)
def test_whatever_a_process_sends_is_an_answer_or_a_configuration_error(frame: bytes) -> None:
    try:
        seen = read_answer(frame)
    except ConfigurationError:
        return
    assert isinstance(seen, Findings | DetectorError)


def test_a_frame_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame holds a list"):
        unpack(b"[]")
    assert unpack(pack({"a": "\ud800"})) == {"a": "\ud800"}
