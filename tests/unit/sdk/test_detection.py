"""Test valid and invalid detections."""

import math
from dataclasses import FrozenInstanceError
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_sdk import BoundingBox, Detection, Findings
from retinue_sdk.detection import MAX_LABEL_BYTES


def test_a_detection_needs_only_kind_label_and_confidence() -> None:
    detection = Detection("label", "Dog", 1)
    assert (detection.box, detection.attributes) == (None, {})
    assert type(detection.confidence) is float


def test_detections_are_values() -> None:
    box = BoundingBox(0, 0, 1, 1)
    detection = Detection("face", "Face", 0.5, box, {"smile": True})
    assert detection == Detection("face", "Face", 0.5, box, {"smile": True})
    with pytest.raises(FrozenInstanceError):
        detection.label = "Other"  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["label", "x", "text_line", "a1_", "k" * 63])
def test_kinds_are_snake_case(kind: str) -> None:
    assert Detection(kind, "a", 0).kind == kind


@pytest.mark.parametrize("kind", ["", "Label", "1a", "_a", "a-b", "a b", "é", "k" * 64, "label\n"])
def test_other_kinds_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="snake_case"):
        Detection(kind, "a", 0)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_a_label_may_be_any_text(label: str) -> None:
    if len(label.encode()) <= MAX_LABEL_BYTES:
        assert Detection("text", label, 0.5).label == label


@pytest.mark.parametrize("label", ["a" * MAX_LABEL_BYTES, "日" * (MAX_LABEL_BYTES // 3)])
def test_a_label_may_be_long(label: str) -> None:
    assert Detection("text", label, 0.5).label == label


@pytest.mark.parametrize(
    "label", ["", "a" * (MAX_LABEL_BYTES + 1), "日" * MAX_LABEL_BYTES, "a\0", "\ud800", "a\udfffb"]
)
def test_labels_that_cannot_be_stored_are_refused(label: str) -> None:
    with pytest.raises(ValueError, match="label"):
        Detection("text", label, 0.5)


@pytest.mark.parametrize("confidence", [0, 1, 0.5, np.float32(0.25), np.float64(1), True])
def test_a_confidence_is_a_plain_float(confidence: Any) -> None:
    kept = Detection("label", "Dog", confidence).confidence
    assert (type(kept), kept) == (float, float(confidence))


@pytest.mark.parametrize(
    "confidence", [-0.01, 1.000001, 99.5, math.nan, math.inf, -math.inf, np.float32("nan")]
)
def test_a_confidence_is_between_0_and_1(confidence: Any) -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        Detection("label", "Dog", confidence)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label": None}, "label must be text, not None"),
        ({"label": 5}, "label must be text, not 5"),
        ({"confidence": None}, "confidence must be a number, not None"),
        ({"attributes": ["a"]}, "attributes must be a dict, or another mapping, not list"),
        ({"attributes": "a"}, "attributes must be a dict, or another mapping, not str"),
    ],
)
def test_values_of_another_type_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Detection(**({"kind": "label", "label": "x", "confidence": 0.5} | values))


def test_no_detections_are_an_answer() -> None:
    findings = Findings()
    assert findings.detections == ()
    assert findings.billed_units == 0


def test_any_sequence_of_detections_will_do() -> None:
    dog, cat = Detection("label", "Dog", 1), Detection("label", "Cat", 1)
    assert Findings([dog, cat]).detections == (dog, cat)  # type: ignore[arg-type]


@pytest.mark.parametrize("units", [0, 1, 0.5, Decimal("0.001"), Decimal(10**9)])
def test_a_bill_is_a_decimal(units: Any) -> None:
    kept = Findings(billed_units=units).billed_units
    assert (type(kept), kept) == (Decimal, Decimal(units))


@pytest.mark.parametrize(
    "units",
    [-1, Decimal("-0.1"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), math.nan, math.inf],
)
def test_a_bill_that_nobody_could_pay_is_refused(units: Any) -> None:
    with pytest.raises(ValueError, match="billed units must be 0 or more"):
        Findings(billed_units=units)


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "track", "problem"),
    [
        (-1, 5, None, "start_ms must be a whole number"),
        (0, 2**31, None, "end_ms must be a whole number"),
        (0, True, None, "end_ms must be a whole number"),
        (0.5, 1, None, "start_ms must be a whole number"),
        (0, 1, -1, "track must be a whole number"),
        (None, 1, None, "needs both"),
        (None, None, 1, "needs both"),
        (2, 1, None, "before it starts"),
    ],
)
def test_an_impossible_time_is_refused(
    start_ms: Any, end_ms: Any, track: Any, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        Detection("label", "Dog", 0.5, start_ms=start_ms, end_ms=end_ms, track=track)


def test_a_moment_starts_and_ends_at_once() -> None:
    moment = Detection("label", "Dog", 0.5, start_ms=40, end_ms=40, track=0)
    assert (moment.start_ms, moment.end_ms, moment.track) == (40, 40, 0)
