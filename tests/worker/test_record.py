"""What a detector says, as rows: all that PostgreSQL can hold, and nothing that it cannot."""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, cast

import pytest
from fakes.deliveries import NOW, attempt
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from retinue_history import Charge, History, HistoryError, ImageRecord, RunRecord
from retinue_sdk import BoundingBox, Detection, Findings
from retinue_workers.detectors import run_record
from retinue_workers.detectors.retry_policy import Fail
from retinue_workers.detectors.run_record import InvalidResultError


def charge(units: Decimal, at: datetime) -> tuple[Charge, ...]:
    """A tenth of a cent a unit."""
    return (Charge("images", units, units * Decimal("0.001")),)


def success(findings: Findings, **changes: Any) -> RunRecord:
    arguments: dict[str, Any] = {
        "model_version": None,
        "charge": charge,
        "started_at": NOW,
        "duration_ms": 1.0,
        "max_detections": 10,
        "max_response_bytes": 1_000,
    }
    return run_record.success(attempt(), findings, **(arguments | changes))


def dog(**fields: Any) -> Detection:
    return Detection("label", "Dog", 0.5, **fields)


def bent(thing: Any, **fields: Any) -> Any:
    """A value with fields that its class would refuse."""
    for name, value in fields.items():
        object.__setattr__(thing, name, value)
    return thing


def test_findings_become_a_run() -> None:
    run = success(
        Findings(
            (dog(box=BoundingBox(0.1, 0.2, 0.3, 0.4), attributes={"a": [1, None]}), dog()),
            {"Labels": ["Dog"]},
            "v3",
            Decimal(2),
        ),
        model_version="v2",
    )
    assert (run.outcome, run.retryable, run.model_version) == ("succeeded", False, "v3")
    assert (run.billed_units, run.price_usd) == (Decimal(2), Decimal("0.002"))
    assert run.raw_response == {"Labels": ["Dog"]}
    first, second = run.detections
    assert first.box == (0.1, 0.2, 0.3, 0.4)
    assert first.attributes == {"a": [1, None]}
    assert second.box is None


def test_the_detectors_own_model_version_is_the_default() -> None:
    assert success(Findings(), model_version="v2").model_version == "v2"
    assert success(Findings()).model_version is None


def test_looked_and_found_nothing_is_a_success() -> None:
    run = success(Findings())
    assert (run.outcome, run.detections, run.error_code) == ("succeeded", (), None)


def test_there_is_a_limit_to_detections() -> None:
    assert len(success(Findings((dog(),) * 10)).detections) == 10
    with pytest.raises(InvalidResultError, match="11 detections; the limit is 10"):
        success(Findings((dog(),) * 11))


def test_there_is_a_limit_to_what_else_is_said() -> None:
    fits = Findings((dog(attributes={"a": "x" * 480}),), "x" * 480)
    success(fits)
    with pytest.raises(InvalidResultError, match=r"1,\d+ bytes .* the limit is 1,000"):
        success(Findings((dog(attributes={"a": "x" * 500}),) * 2, "x" * 10))
    with pytest.raises(InvalidResultError, match="bytes of response"):
        success(Findings((), "é" * 600))  # bytes, not characters


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        [-math.inf],
        {"a": {"b": [math.nan]}},
        "nul \0",
        {"nul \0": 1},
        "lone \ud800",
        {"\udfff": 1},
        "\\\0",
        "\\\\\0",
        {1, 2},
        b"bytes",
        object(),
        {(1, 2): 3},
        [10**5_000],
        1j,
        Decimal(1),
    ],
)
def test_what_json_cannot_hold_is_an_invalid_result(value: Any) -> None:
    with pytest.raises(InvalidResultError, match="raw response"):
        success(Findings((), value))
    with pytest.raises(InvalidResultError, match="attributes"):
        success(Findings((dog(attributes={"a": value}),)))


def test_endless_nesting_is_an_invalid_result() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidResultError):
        success(Findings((), deep))
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidResultError):
        success(Findings((), circle))


@pytest.mark.parametrize(
    "value", ["\\u0000", "a \\u0000 b", "\\\\u0000", {"\\u0000": "\\u0000"}, "\u2028 \x1f \x7f"]
)
def test_what_only_looks_like_nul_is_kept(value: Any) -> None:
    assert success(Findings((), value)).raw_response == value


def test_read_only_mappings_are_kept() -> None:
    proxy: Mapping[str, Any] = MappingProxyType({"a": MappingProxyType({"b": 1})})
    assert success(Findings((dog(attributes=proxy),), proxy)).raw_response == proxy


@pytest.mark.parametrize(
    "findings",
    [
        Findings(cast("Any", [{"label": "Dog"}])),
        Findings(cast("Any", [None])),
        Findings(cast("Any", ["Dog"])),
        Findings((bent(dog(), confidence=math.nan),)),
        Findings((bent(dog(), confidence=1.5),)),
        Findings((bent(dog(), confidence="high"),)),
        Findings((bent(dog(), label=5),)),
        Findings((bent(dog(), label="a\0b"),)),
        Findings((bent(dog(), label=""),)),
        Findings((bent(dog(), label="x" * 3_000),)),
        Findings((bent(dog(), kind="Not Snake"),)),
        Findings((bent(dog(), kind=None),)),
        Findings((bent(dog(), box=(0, 0, 1, 1)),)),
        Findings((bent(dog(), box=bent(BoundingBox(0, 0, 1, 1), left=math.nan)),)),
        Findings((bent(dog(), box=bent(BoundingBox(0, 0, 1, 1), width=-1)),)),
        Findings((bent(dog(), attributes={1, 2}),)),
        bent(Findings(), billed_units=Decimal("NaN")),
        bent(Findings(), billed_units=Decimal("sNaN")),
        bent(Findings(), billed_units=Decimal(-1)),
        bent(Findings(), billed_units="many"),
        bent(Findings(), billed_units=None),
        Findings(billed_units=Decimal("1E+13")),
        Findings(billed_units=Decimal("1E+999999")),
        Findings(billed_units=Decimal("1E-999999")),
        Findings(model_version=cast("str", 3.5)),
        Findings(model_version="v\0"),
        Findings(model_version="\ud800"),
    ],
)
def test_what_got_past_the_value_types_is_an_invalid_result(findings: Findings) -> None:
    with pytest.raises(InvalidResultError):
        success(findings)


def test_integers_as_confidence_become_numbers() -> None:
    run = success(Findings((bent(dog(), confidence=1),)))
    assert isinstance(run.detections[0].confidence, float)


def test_a_failure_keeps_what_can_be_kept() -> None:
    run = run_record.failure(
        attempt(),
        Fail("c\0de \ud800" + "x" * 200, "m\0 \udfff" + "x" * 9_000, retryable=False),
        charge=charge,
        started_at=NOW,
        duration_ms=3.0,
    )
    assert (run.outcome, run.retryable, run.detections) == ("failed", False, ())
    assert run.error_code == "c\N{REPLACEMENT CHARACTER}de ?" + "x" * 94
    assert run.error_message is not None
    assert len(run.error_message) == run_record.MAX_MESSAGE_CHARACTERS
    empty = run_record.failure(
        attempt(), Fail("", "", retryable=True), charge=charge, started_at=NOW, duration_ms=0.0
    )
    assert (empty.error_code, empty.error_message) == ("?", "?")


@given(
    code=st.text(st.characters(), max_size=300), message=st.text(st.characters(), max_size=3_000)
)
@example("\ud800", "\0")
def test_whatever_an_error_says_can_be_stored(code: str, message: str) -> None:
    run = run_record.failure(
        attempt(), Fail(code, message, retryable=True), charge=charge, started_at=NOW, duration_ms=0
    )
    for text in (run.error_code, run.error_message):
        assert text
        assert "\0" not in text
        text.encode()


# Whatever passes is something that the database takes; whatever it would refuse is refused here.

texts = st.text(st.characters(), max_size=12) | st.sampled_from(["\0", "\ud800", "\\u0000", "\\\0"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from([1e308, 5e-324, -0.0, 10**400]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def mostly(fine: st.SearchStrategy[Any], anything: st.SearchStrategy[Any]) -> Any:
    """Values that are fine nine times out of ten, lest nothing ever come through."""
    return st.integers(0, 9).flatmap(lambda number: anything if number == 0 else fine)


edges = mostly(st.floats(allow_nan=False, allow_infinity=False), st.floats())
sides = mostly(st.floats(0, allow_infinity=False), st.floats())


@given(
    response=values,
    attributes=st.dictionaries(texts, values, max_size=3),
    label=st.text(min_size=1, max_size=20),
    confidence=mostly(st.floats(0, 1), st.floats()),
    box=st.none() | st.tuples(edges, edges, sides, sides),
    units=mostly(st.decimals(0, 10**6), st.decimals()),
    version=mostly(st.none() | st.text("v1.", max_size=5), texts),
    event=st.uuids(),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_let_through_the_database_takes(
    database: History,
    response: Any,
    attributes: Any,
    label: str,
    confidence: float,
    box: tuple[float, ...] | None,
    units: Decimal,
    version: str | None,
    event: Any,
) -> None:
    detection = bent(dog(attributes=attributes), label=label, confidence=confidence)
    if box is not None:
        edges = dict(zip(("left", "top", "width", "height"), box, strict=True))
        bent(detection, box=bent(BoundingBox(0, 0, 0, 0), **edges))
    findings = bent(Findings((detection,), response, version), billed_units=units)
    about = attempt(f"{event}.jpg")
    try:
        run = run_record.success(
            about,
            findings,
            model_version=None,
            charge=charge,
            started_at=NOW,
            duration_ms=1.0,
            max_detections=10,
            max_response_bytes=100_000,
        )
    except InvalidResultError:
        return
    reference = about.image.reference
    image = ImageRecord(
        reference.image_id, reference.bucket, reference.key, "e", versioned=False, uploaded_at=NOW
    )
    try:
        database.record([image], [run])
    except HistoryError as error:  # pragma: no cover - what this test is there to find
        raise AssertionError(f"{json.dumps(repr(findings))}: {error}") from error
