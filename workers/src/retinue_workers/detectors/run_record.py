"""From a detector's answer to the rows of the history."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from retinue_history import Charge, DetectionRecord, RunRecord
from retinue_sdk import BoundingBox, Detection, DetectorError, Findings, json_value

from retinue_workers.attempt import Attempt
from retinue_workers.detectors.retry_policy import Fail

MAX_MESSAGE_CHARACTERS = 2_000
"""Longest error message kept in a run; the log has all of it."""

_DIGITS = 12
"""Most digits of a bill before its point, and most places after it."""

Bill: TypeAlias = Callable[[Decimal, datetime], tuple[Charge, ...]]
"""Told billed units and when they were billed: what they cost, by price group."""


class InvalidResultError(Exception):
    """A detector answered something that cannot be recorded; the message says what."""


def success(
    attempt: Attempt,
    findings: Findings,
    *,
    model_version: str | None,
    charge: Bill,
    started_at: datetime,
    duration_ms: float,
    max_detections: int,
    max_response_bytes: int,
) -> RunRecord:
    """The run of a detector that could look at the image.

    Raises:
        InvalidResultError: There are too many detections, too long a response, values that JSON or
            PostgreSQL cannot hold (NaN, NUL, unpaired surrogates), or things that the SDK's value
            types do not allow.
    """
    if len(findings.detections) > max_detections:
        raise InvalidResultError(
            f"{len(findings.detections):,} detections; the limit is {max_detections:,}"
        )
    detections, version, units = _checked(findings, model_version)
    size_bytes = _size_bytes(findings.raw_response, [found.attributes for found in detections])
    if size_bytes > max_response_bytes:
        raise InvalidResultError(
            f"{size_bytes:,} bytes of response and attributes; the limit is {max_response_bytes:,}"
        )
    units += attempt.billed_units
    charges = charge(units, started_at)
    return RunRecord(
        key=attempt.key,
        event_id=attempt.event_id,
        outcome="succeeded",
        retryable=False,
        started_at=started_at,
        duration_ms=duration_ms,
        model_version=version,
        billed_units=units,
        price_usd=sum((one.price_usd for one in charges), Decimal(0)),
        raw_response=findings.raw_response,
        detections=detections,
        charges=charges,
    )


def failure(
    attempt: Attempt,
    fail: Fail,
    *,
    charge: Bill,
    started_at: datetime,
    duration_ms: float,
) -> RunRecord:
    """The run of a detector that could not look at the image; it may have cost something."""
    charges = charge(attempt.billed_units, started_at)
    return RunRecord(
        key=attempt.key,
        event_id=attempt.event_id,
        outcome="failed",
        retryable=fail.retryable,
        started_at=started_at,
        duration_ms=duration_ms,
        error_code=storable(fail.code)[:100],
        error_message=storable(fail.message)[:MAX_MESSAGE_CHARACTERS],
        billed_units=attempt.billed_units,
        price_usd=sum((one.price_usd for one in charges), Decimal(0)),
        charges=charges,
    )


def _checked(
    findings: Findings, model_version: str | None
) -> tuple[tuple[DetectionRecord, ...], str | None, Decimal]:
    """Detections, model version and bill, with the SDK's rules asked again.

    Nobody checks a plugin's types, and what slips through here fails in the database, where it
    takes the runs of well-behaved detectors with it.

    Raises:
        InvalidResultError: They break the rules.
    """
    try:
        detections = tuple([_detection(found) for found in findings.detections])
        version = _text(findings.model_version or model_version)
        units = Findings(billed_units=findings.billed_units).billed_units
        _check_bill(units)
    except Exception as error:
        raise InvalidResultError(
            f"the findings cannot be recorded: {type(error).__name__}: {error}"
        ) from error
    return detections, version, units


def _detection(found: object) -> DetectionRecord:
    if type(found) is Detection:
        found.__post_init__()  # its rules, without building it anew
    elif isinstance(found, Detection):
        found = Detection(found.kind, found.label, found.confidence, found.box, found.attributes)
    else:
        raise TypeError(f"a {type(found).__name__} is no Detection")
    return DetectionRecord(
        found.kind, found.label, found.confidence, _edges(found.box), found.attributes
    )


def _edges(box: object) -> tuple[float, float, float, float] | None:
    if box is None:
        return None
    if type(box) is BoundingBox:
        box.__post_init__()
    elif isinstance(box, BoundingBox):
        box = BoundingBox(box.left, box.top, box.width, box.height)
    else:
        raise TypeError(f"a {type(box).__name__} is no BoundingBox")
    return (box.left, box.top, box.width, box.height)


def _text(text: str | None) -> str | None:
    if text is not None and text != storable(text):
        raise ValueError(f"{text!r} has NUL or an unpaired surrogate in it")
    return text


def bill_of(answer: object) -> Decimal:
    """Units that an error says were billed, whatever a plugin made of it; 0 for findings."""
    units = getattr(answer, "billed_units", None) if isinstance(answer, DetectorError) else None
    try:
        if not isinstance(units, Decimal) or not units.is_finite() or units < 0:
            return Decimal(0)
        _check_bill(units)
    except ValueError:
        return Decimal(0)
    return units


def _check_bill(units: Decimal) -> None:
    if units and not -_DIGITS <= units.adjusted() <= _DIGITS:
        raise ValueError(f"{units} billed units are beyond all measure")


def _size_bytes(raw_response: object, attributes: Sequence[object]) -> int:
    """The size of what else was said, as JSON.

    Raises:
        InvalidResultError: It is not JSON that PostgreSQL can hold.
    """
    try:
        return len(json_value.encoded((raw_response, attributes)))
    except (TypeError, ValueError, RecursionError):  # which of the two?
        return _size_of(raw_response, "the raw response") + _size_of(
            attributes, "a detection's attributes"
        )


def _size_of(value: object, what: str) -> int:
    try:
        return len(json_value.encoded(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidResultError(f"{what} cannot be stored as JSON: {error}") from error


def storable(text: str) -> str:
    """``text`` without what PostgreSQL cannot hold; an error message may quote anything."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode() or "?"
