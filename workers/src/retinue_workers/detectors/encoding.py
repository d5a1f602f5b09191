"""Check a detector's findings, and encode them as the history stores them."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from retinue_history import DetectionRecord
from retinue_sdk import BoundingBox, Detection, Findings
from retinue_sdk.errors import format_error
from retinue_sdk.json_value import encode_each

from retinue_workers.detectors.bill import is_plausible


class InvalidResultError(Exception):
    """A detector's answer can't be recorded."""


@dataclass(slots=True)
class EncodedFindings:
    """Findings as the history stores them.

    Attributes:
        detections: The detections.
        raw_response: The raw response, as JSON.
        model_version: The version of the model, if it is known.
        billed_units: Units billed for the call.
    """

    detections: tuple[DetectionRecord, ...]
    raw_response: str
    model_version: str | None
    billed_units: Decimal


@dataclass(frozen=True, slots=True)
class FindingsEncoder:
    """Encodes findings that can be recorded.

    Attributes:
        max_detections: Maximum number of detections of one image.
        max_response_bytes: Maximum size of the raw response with attributes, in bytes of JSON.
    """

    max_detections: int
    max_response_bytes: int

    def encode(self, findings: Findings, model_version: str | None) -> EncodedFindings:
        """Return the findings of one image as the history stores them.

        The SDK's rules are checked again, because Python doesn't check a plugin's types. An invalid
        value would fail in the database, together with the runs of other detectors.

        Args:
            findings: The findings.
            model_version: The version of the detector's model, unless the findings have one.

        Raises:
            InvalidResultError: There are too many detections, too long a response, values that
                JSON or PostgreSQL cannot hold (NaN, NUL, unpaired surrogates), or values that the
                SDK's types do not allow.
        """
        number = len(findings.detections)
        if number > self.max_detections:
            raise InvalidResultError(f"{number:,} detections; the limit is {self.max_detections:,}")
        try:
            found = [_valid(one) for one in findings.detections]
            attributes = _encoded("a detection's attributes", [one.attributes for one in found])
            detections = tuple(map(_detection, found, attributes))
            version = _version(findings.model_version or model_version)
            units = Findings(billed_units=findings.billed_units).billed_units
        except InvalidResultError:
            raise
        except BaseException as error:
            raise InvalidResultError(
                f"the findings cannot be recorded: {format_error(error)}"
            ) from error
        if not is_plausible(units):
            raise InvalidResultError(f"the findings cannot be recorded: {units} billed units")
        (raw_response,) = _encoded("the raw response", [findings.raw_response])
        size_bytes = _size_bytes("".join([raw_response, *attributes]))
        if size_bytes > self.max_response_bytes:
            raise InvalidResultError(
                f"{size_bytes:,} bytes of response and attributes; "
                f"the limit is {self.max_response_bytes:,}"
            )
        return EncodedFindings(detections, raw_response, version, units)


def storable(text: str) -> str:
    """Return ``text`` without characters that PostgreSQL can't store.

    Error messages may quote any.
    """
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode() or "?"


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
        None if found.box is None else _edges(found.box),
        attributes,
        found.start_ms,
        found.end_ms,
        found.track,
    )


def _edges(box: object) -> tuple[float, float, float, float]:
    if type(box) is BoundingBox:
        box.__post_init__()
    elif isinstance(box, BoundingBox):
        box = BoundingBox(box.left, box.top, box.width, box.height)
    else:
        raise TypeError(f"a {type(box).__name__} is not a BoundingBox")
    return (box.left, box.top, box.width, box.height)


def _version(text: str | None) -> str | None:
    if not isinstance(text, str | None):
        raise TypeError(f"the model's version must be text, not {text!r}")
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
