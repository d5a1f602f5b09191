"""From a detector's answer to the rows of the history."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from retinue_history import Charge, DetectionRecord, RunRecord
from retinue_sdk import BoundingBox, Detection, DetectorError, Findings, json_value

from retinue_workers.attempt import Attempt
from retinue_workers.verdict import Fail

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
    findings = _checked(findings, model_version)
    size_bytes = _size_bytes(findings)
    if size_bytes > max_response_bytes:
        raise InvalidResultError(
            f"{size_bytes:,} bytes of response and attributes; the limit is {max_response_bytes:,}"
        )
    units = findings.billed_units + attempt.billed_units
    charges = charge(units, started_at)
    return RunRecord(
        key=attempt.key,
        event_id=attempt.event_id,
        outcome="succeeded",
        final=True,
        started_at=started_at,
        duration_ms=duration_ms,
        model_version=findings.model_version,
        billed_units=units,
        price_usd=sum((one.price_usd for one in charges), Decimal(0)),
        raw_response=findings.raw_response,
        detections=tuple(
            DetectionRecord(
                kind=detection.kind,
                label=detection.label,
                confidence=detection.confidence,
                box=None if detection.box is None else _edges(detection.box),
                attributes=detection.attributes,
            )
            for detection in findings.detections
        ),
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
        final=fail.final,
        started_at=started_at,
        duration_ms=duration_ms,
        error_code=storable(fail.code)[:100],
        error_message=storable(fail.message)[:MAX_MESSAGE_CHARACTERS],
        billed_units=attempt.billed_units,
        price_usd=sum((one.price_usd for one in charges), Decimal(0)),
        charges=charges,
    )


def _checked(findings: Findings, model_version: str | None) -> Findings:
    """The findings built anew, so that the SDK's rules hold even where a plugin got past them.

    Nobody checks a plugin's types, and what slips through here fails in the database, where it
    takes the runs of well-behaved detectors with it.

    Raises:
        InvalidResultError: They break the rules.
    """
    try:
        checked = replace(
            findings,
            detections=tuple(_detection(found) for found in findings.detections),
            model_version=_text(findings.model_version or model_version),
        )
        _check_bill(checked.billed_units)
    except Exception as error:
        raise InvalidResultError(
            f"the findings cannot be recorded: {type(error).__name__}: {error}"
        ) from error
    return checked


def _detection(found: object) -> Detection:
    if not isinstance(found, Detection):
        raise TypeError(f"a {type(found).__name__} is no Detection")
    return Detection(found.kind, found.label, found.confidence, _box(found.box), found.attributes)


def _box(box: object) -> BoundingBox | None:
    if box is None:
        return None
    if not isinstance(box, BoundingBox):
        raise TypeError(f"a {type(box).__name__} is no BoundingBox")
    return BoundingBox(box.left, box.top, box.width, box.height)


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


def _edges(box: BoundingBox) -> tuple[float, float, float, float]:
    return (box.left, box.top, box.width, box.height)


def _size_bytes(findings: Findings) -> int:
    """The size of what else was said, as JSON.

    Raises:
        InvalidResultError: It is not JSON that PostgreSQL can hold.
    """
    attributes = [detection.attributes for detection in findings.detections]
    size_bytes = 0
    for what, value in (
        ("the raw response", findings.raw_response),
        ("a detection's attributes", attributes),
    ):
        try:
            size_bytes += len(json_value.encoded(value))
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidResultError(f"{what} cannot be stored as JSON: {error}") from error
    return size_bytes


def storable(text: str) -> str:
    """``text`` without what PostgreSQL cannot hold; an error message may quote anything."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode() or "?"
