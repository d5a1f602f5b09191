"""Detectors' answers become rows: all that PostgreSQL can store, and nothing else."""

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, cast

import pytest
from fakes import work
from fakes.detectors import Scripted
from fakes.examples import DATABASE_EXAMPLES
from fakes.history import MemoryHistory
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from retinue_history import History, HistoryError, RunRecord
from retinue_sdk import BoundingBox, Capabilities, Detection, Findings, Input, InvalidImageError
from retinue_workers.detectors.bill import billed_units
from retinue_workers.detectors.encoding import FindingsEncoder
from retinue_workers.detectors.retry_policy import Answer, Fail
from retinue_workers.detectors.run_record import MAX_MESSAGE_CHARACTERS, RunRecorder
from retinue_workers.limits.budget import Budget
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.settings.settings import TierPrice
from retinue_workers.work import Task


class Versioned(Scripted):
    """A detector whose model has a version."""

    def __init__(self, model_version: str | None) -> None:
        super().__init__()
        self._model_version = model_version

    @property
    def model_version(self) -> str | None:
        return self._model_version


def recorder(max_detections: int = 10, max_response_bytes: int = 1_000) -> RunRecorder:
    """Records runs of a detector that costs a tenth of a cent a unit."""
    prices = {"echo": (TierPrice(usd=Decimal("0.001")),)}
    budget = Budget(MemoryHistory(), DaemonThreads("history", 1), ReceiveGate(), prices=prices)
    budget.add("echo", Capabilities(Input.REFERENCE))
    return RunRecorder(budget, FindingsEncoder(max_detections, max_response_bytes))


def recorded(
    findings: Findings, *, model_version: str | None = None, task: Task | None = None
) -> RunRecord:
    """Return the run that comes of findings, be it a failed one."""
    return recorder().success(
        task or work.task(),
        Answer(findings, work.NOW, 1.0),
        findings,
        Versioned(model_version),
        Input.BYTES,
    )


def success(findings: Findings, **arguments: Any) -> RunRecord:
    run = recorded(findings, **arguments)
    assert run.error_message is None
    return run


def refusal(findings: Findings) -> str:
    """Return why findings can't be recorded."""
    run = recorded(findings)
    assert (run.outcome, run.error_code, run.retryable) == ("failed", "invalid_result", True)
    assert run.detections == ()
    assert run.error_message
    return run.error_message


def failure(code: str, message: str, *, retryable: bool = True) -> RunRecord:
    answer = Answer(InvalidImageError(), work.NOW, 3.0)
    return recorder().failure(work.task(), answer, Fail(code, message, retryable))


def dog(**fields: Any) -> Detection:
    return Detection("label", "Dog", 0.5, **fields)


def bent(thing: Any, **fields: Any) -> Any:
    """Return a value with fields that its class would refuse."""
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
    assert run.raw_response == '{"Labels":["Dog"]}'
    first, second = run.detections
    assert first.box == (0.1, 0.2, 0.3, 0.4)
    assert json.loads(first.attributes) == {"a": [1, None]}
    assert second.box is None


def test_the_detectors_own_model_version_is_the_default() -> None:
    assert success(Findings(), model_version="v2").model_version == "v2"
    assert success(Findings()).model_version is None


def test_looked_and_found_nothing_is_a_success() -> None:
    run = success(Findings())
    assert (run.outcome, run.detections, run.error_code) == ("succeeded", (), None)


def test_there_is_a_limit_to_detections() -> None:
    assert len(success(Findings((dog(),) * 10)).detections) == 10
    assert refusal(Findings((dog(),) * 11)) == "11 detections; the limit is 10"


def test_there_is_a_limit_to_what_else_is_said() -> None:
    fits = Findings((dog(attributes={"a": "x" * 480}),), "x" * 480)
    success(fits)
    many = refusal(Findings((dog(attributes={"a": "x" * 500}),) * 2, "x" * 10))
    assert re.fullmatch(r"1,\d+ bytes of response and attributes; the limit is 1,000", many)
    assert "bytes of response" in refusal(Findings((), "é" * 600))  # bytes, not characters


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
    assert refusal(Findings((), value)).startswith("the raw response cannot be stored")
    text = refusal(Findings((dog(attributes={"a": value}),)))
    assert text.startswith("a detection's attributes cannot be stored")


def test_endless_nesting_is_an_invalid_result() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert refusal(Findings((), deep))
    circle: list[Any] = []
    circle.append(circle)
    assert refusal(Findings((), circle))


@pytest.mark.parametrize(
    "value", ["\\u0000", "a \\u0000 b", "\\\\u0000", {"\\u0000": "\\u0000"}, "\u2028 \x1f \x7f"]
)
def test_what_only_looks_like_nul_is_kept(value: Any) -> None:
    assert json.loads(success(Findings((), value)).raw_response) == value


def test_read_only_mappings_are_kept() -> None:
    proxy: Mapping[str, Any] = MappingProxyType({"a": MappingProxyType({"b": 1})})
    run = success(Findings((dog(attributes=proxy),), proxy))
    assert run.raw_response == run.detections[0].attributes == '{"a":{"b":1}}'


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
    assert "cannot be " in refusal(findings)


def test_integers_as_confidence_become_numbers() -> None:
    run = success(Findings((bent(dog(), confidence=1),)))
    assert isinstance(run.detections[0].confidence, float)


def test_a_failure_keeps_what_can_be_kept() -> None:
    run = failure("c\0de \ud800" + "x" * 200, "m\0 \udfff" + "x" * 9_000, retryable=False)
    assert (run.outcome, run.retryable, run.detections) == ("failed", False, ())
    assert run.error_code == "c\N{REPLACEMENT CHARACTER}de ?" + "x" * 94
    assert run.error_message is not None
    assert len(run.error_message) == MAX_MESSAGE_CHARACTERS
    empty = failure("", "")
    assert (empty.error_code, empty.error_message) == ("?", "?")


@given(
    code=st.text(st.characters(), max_size=300), message=st.text(st.characters(), max_size=3_000)
)
@example("\ud800", "\0")
def test_whatever_an_error_says_can_be_stored(code: str, message: str) -> None:
    run = failure(code, message)
    for text in (run.error_code, run.error_message):
        assert text
        assert "\0" not in text
        text.encode()


# Bills.


def test_a_run_costs_what_its_calls_cost_that_failed_and_its_own() -> None:
    task = work.task()
    task.billed_units = Decimal(2)
    run = success(Findings(billed_units=Decimal(3)), task=task)
    assert (run.billed_units, run.price_usd) == (Decimal(5), Decimal("0.005"))


@pytest.mark.parametrize(
    ("findings", "units"),
    [
        (Findings((dog(),) * 11, billed_units=Decimal(3)), 3),
        (Findings((), math.nan, billed_units=Decimal(3)), 3),
        (Findings((bent(dog(), label=5),), billed_units=Decimal(3)), 3),
        (bent(Findings(), billed_units="many"), 0),
        (bent(Findings(), billed_units=Decimal("sNaN")), 0),
        (Findings(billed_units=Decimal("1E+13")), 0),
    ],
)
def test_a_paid_answer_that_cannot_be_recorded_keeps_its_bill(
    findings: Findings, units: int
) -> None:
    task = work.task()
    task.billed_units = Decimal(2)
    run = recorded(findings, task=task)
    assert run.error_code == "invalid_result"
    assert (run.billed_units, run.price_usd) == (2 + units, Decimal("0.001") * (2 + units))


def test_a_model_version_that_cannot_be_had_keeps_the_bill_too() -> None:
    class Raising(Scripted):
        @property
        def model_version(self) -> str | None:
            raise RuntimeError("no version any more")

    findings = Findings(billed_units=Decimal(3))
    run = recorder().success(
        work.task(), Answer(findings, work.NOW), findings, Raising(), Input.BYTES
    )
    assert (run.error_code, run.billed_units) == ("invalid_result", 3)


@pytest.mark.parametrize("answer", [ValueError(), SystemExit(), bent(ValueError(), billed_units=1)])
def test_what_is_no_answer_bills_nothing(answer: BaseException) -> None:
    assert billed_units(answer) == 0


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
    max_examples=DATABASE_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
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
    about = work.task(f"{event}.jpg")
    run = recorder(max_response_bytes=100_000).success(
        about, Answer(findings, work.NOW, 1.0), findings, Versioned(None), Input.BYTES
    )
    try:
        database.record([about.event.record()], [run])
    except HistoryError as error:  # pragma: no cover - what this test is there to find
        raise AssertionError(f"{json.dumps(repr(findings))}: {error}") from error
