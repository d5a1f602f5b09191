"""Turn a detector's answer into the run to record."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol, TypeAlias

import structlog
from retinue_history import DetectionRecord, RunKey, RunRecord, skip_event_id
from retinue_sdk import (
    AsyncDetector,
    BoundingBox,
    Detection,
    Findings,
    ImageReference,
    Input,
    JobDetector,
)
from retinue_sdk.errors import format_error
from retinue_sdk.json_value import encode_each

from retinue_workers.detectors.bill import billed_units, is_plausible
from retinue_workers.detectors.retry_policy import Answer, Fail
from retinue_workers.detectors.runner import BlockingDetector
from retinue_workers.limits.budget import Budget

log = structlog.get_logger(__name__)

MAX_MESSAGE_CHARACTERS = 2_000
"""Maximum length of an error message in a run. The log has the whole message."""


class Recordable(Protocol):
    """The part of a task, or of a job, that a run repeats."""

    billed_units: Decimal

    @property
    def key(self) -> RunKey:
        """Return the run key."""

    @property
    def event_id(self) -> str:
        """Return the id of the event that asked for the run."""

    @property
    def reference(self) -> ImageReference:
        """Return the object version."""

    @property
    def is_truncated(self) -> bool:
        """Return whether a part of the image is missing."""


Described: TypeAlias = AsyncDetector[Any] | BlockingDetector | JobDetector[Any]
"""A detector that reports the version of its model."""


class InvalidResultError(Exception):
    """A detector's answer can't be recorded."""


@dataclass(frozen=True, slots=True)
class RunRecorder:
    """Creates the runs of one detector.

    Attributes:
        budget: Computes the runs' prices.
        max_detections: Maximum number of detections of one image.
        max_response_bytes: Maximum size of the raw response with attributes, in bytes of JSON.
    """

    budget: Budget
    max_detections: int
    max_response_bytes: int

    def success(
        self,
        task: Recordable,
        answer: Answer,
        findings: Findings,
        detector: Described,
        detector_input: Input,
    ) -> RunRecord:
        """Return the run of a successful call.

        It is a failed run if the answer can't be recorded.
        """
        try:
            return self._success(task, answer, findings, detector, detector_input)
        except InvalidResultError as error:
            fail = Fail("invalid_result", str(error), retryable=True)
        except BaseException as error:  # the model's version comes from the plugin's code
            log.exception("detector_result_invalid", detector=task.key.detector)
            fail = Fail("invalid_result", format_error(error), retryable=True)
        task.billed_units += billed_units(findings)  # it was billed, although it can't be recorded
        return self.failure(task, answer, fail)

    def failure(self, task: Recordable, answer: Answer, fail: Fail) -> RunRecord:
        """Return the run of a failed call, with its cost."""
        charges = self.budget.charges(
            task.key.detector, task.billed_units, answer.started_at, answer.images
        )
        return RunRecord(
            key=task.key,
            event_id=task.event_id,
            outcome="failed",
            retryable=fail.retryable,
            started_at=answer.started_at,
            duration_ms=answer.duration_ms,
            error_code=storable(fail.code)[:100],
            error_message=storable(fail.message)[:MAX_MESSAGE_CHARACTERS],
            billed_units=task.billed_units,
            price_usd=sum((one.price_usd for one in charges), Decimal(0)),
            charges=charges,
        )

    def skip(self, task: Recordable, code: str, reason: str) -> RunRecord:
        """Return a skipped run, with the reason and the saved amount."""
        return RunRecord(
            key=task.key,
            event_id=skip_event_id(task.event_id),
            outcome="skipped",
            retryable=True,
            started_at=datetime.now(UTC),
            duration_ms=0.0,
            error_code=code,
            error_message=storable(reason)[:MAX_MESSAGE_CHARACTERS],
            saved_usd=self.budget.unit_usd(task.key.detector),
        )

    def _success(
        self,
        task: Recordable,
        answer: Answer,
        findings: Findings,
        detector: Described,
        detector_input: Input,
    ) -> RunRecord:
        """Return the run of a successful call.

        Raises:
            InvalidResultError: There are too many detections, too long a response, values that
                JSON or PostgreSQL cannot hold (NaN, NUL, unpaired surrogates), or values that the
                SDK's types do not allow.
        """
        number = len(findings.detections)
        if number > self.max_detections:
            raise InvalidResultError(f"{number:,} detections; the limit is {self.max_detections:,}")
        detections, version, units = _checked(findings, detector.model_version)
        (raw_response,) = _encoded("the raw response", [findings.raw_response])
        size_bytes = _size_bytes("".join([raw_response, *[one.attributes for one in detections]]))
        if size_bytes > self.max_response_bytes:
            raise InvalidResultError(
                f"{size_bytes:,} bytes of response and attributes; "
                f"the limit is {self.max_response_bytes:,}"
            )
        units += task.billed_units
        charges = self.budget.charges(task.key.detector, units, answer.started_at, answer.images)
        return RunRecord(
            key=task.key,
            event_id=task.event_id,
            outcome="succeeded",
            retryable=False,
            started_at=answer.started_at,
            duration_ms=answer.duration_ms,
            model_version=version,
            billed_units=units,
            price_usd=sum((one.price_usd for one in charges), Decimal(0)),
            raw_response=raw_response,
            truncated=task.is_truncated,
            detections=detections,
            charges=charges,
            read_by_key=(detector_input is Input.REFERENCE and task.reference.version_id is None),
        )


def _checked(
    findings: Findings, model_version: str | None
) -> tuple[tuple[DetectionRecord, ...], str | None, Decimal]:
    """Return detections, model version and bill, after checking the SDK's rules again.

    Python doesn't check a plugin's types. An invalid value would fail in the database, together
    with the runs of other detectors.

    Raises:
        InvalidResultError: They violate the rules.
    """
    try:
        found = [_valid(one) for one in findings.detections]
        attributes = _encoded("a detection's attributes", [one.attributes for one in found])
        detections = tuple(map(_detection, found, attributes))
        version = _text(findings.model_version or model_version)
        units = Findings(billed_units=findings.billed_units).billed_units
    except InvalidResultError:
        raise
    except BaseException as error:
        raise InvalidResultError(
            f"the findings cannot be recorded: {format_error(error)}"
        ) from error
    if not is_plausible(units):
        raise InvalidResultError(f"the findings cannot be recorded: {units} billed units")
    return detections, version, units


def _valid(found: object) -> Detection:
    if type(found) is Detection:
        found.__post_init__()  # checks the rules without a copy
        return found
    if isinstance(found, Detection):
        return Detection(
            found.kind,
            found.label,
            found.confidence,
            found.box,
            found.attributes,
            found.start_ms,
            found.end_ms,
            found.track,
        )
    raise TypeError(f"a {type(found).__name__} is not a Detection")


def _detection(found: Detection, attributes: str) -> DetectionRecord:
    return DetectionRecord(
        found.kind,
        found.label,
        found.confidence,
        _edges(found.box),
        attributes,
        found.start_ms,
        found.end_ms,
        found.track,
    )


def _edges(box: object) -> tuple[float, float, float, float] | None:
    if box is None:
        return None
    if type(box) is BoundingBox:
        box.__post_init__()
    elif isinstance(box, BoundingBox):
        box = BoundingBox(box.left, box.top, box.width, box.height)
    else:
        raise TypeError(f"a {type(box).__name__} is not a BoundingBox")
    return (box.left, box.top, box.width, box.height)


def _text(text: str | None) -> str | None:
    if text is not None and text != storable(text):
        raise ValueError(f"{text!r} has NUL or an unpaired surrogate in it")
    return text


def _encoded(what: str, values: Sequence[object]) -> list[str]:
    """Return values as JSON.

    Raises:
        InvalidResultError: One isn't JSON that PostgreSQL can store.
    """
    try:
        return encode_each(values)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidResultError(f"{what} cannot be stored as JSON: {error}") from error


def _size_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def storable(text: str) -> str:
    """Return ``text`` without characters that PostgreSQL can't store.

    Error messages may quote any.
    """
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode() or "?"
