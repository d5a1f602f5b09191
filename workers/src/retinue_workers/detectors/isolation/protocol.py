"""The protocol between a worker and a detector's process: JSON, and raw bytes for images.

The worker unpickles nothing from the process, because its code may be compromised.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from retinue_sdk import (
    BoundingBox,
    ConfigurationError,
    Detection,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    ImageReference,
    InvalidImageError,
    ObjectRefusedError,
    RetriableError,
)

from retinue_workers.detectors.bill import billed_units
from retinue_workers.detectors.errors import DetectorRaisedError, InvalidAnswerError, ShortageError
from retinue_workers.detectors.shortage import is_shortage

JsonMessage: TypeAlias = dict[str, Any]

MAX_TEXT_CHARACTERS = 10_000
"""Maximum length of an error or a traceback that is sent."""


def pack(message: JsonMessage) -> bytes:
    """Encode a message as a frame.

    Raises:
        TypeError: A value isn't JSON.
        ValueError: A value contains itself.
        RecursionError: It is nested too deeply.
    """
    text = json.dumps(message, ensure_ascii=False, default=_plain)
    return text.encode("utf-8", "surrogatepass")


def unpack(frame: bytes) -> JsonMessage:
    """Decode a frame.

    Raises:
        ValueError: It isn't a JSON object.
        RecursionError: It is nested too deeply.
    """
    message = json.loads(frame.decode("utf-8", "surrogatepass"))
    if not isinstance(message, dict):
        raise ValueError(f"a frame holds a {type(message).__name__}")  # noqa: TRY004 - bad data
    return message


def reference_data(reference: ImageReference) -> JsonMessage:
    """Encode an image's identity."""
    return {
        "bucket": reference.bucket,
        "key": reference.key,
        "version_id": reference.version_id,
        "etag": reference.etag,
    }


def answer_data(answer: Findings | BaseException) -> JsonMessage:
    """Encode the answer for one image. The worker checks types when it decodes the answer."""
    if not isinstance(answer, Findings):
        return {"error": error_data(answer)}
    return {
        "detections": [
            {
                "kind": found.kind,
                "label": found.label,
                "confidence": found.confidence,
                "box": None if found.box is None else _edges(found.box),
                "attributes": found.attributes,
            }
            for found in answer.detections
        ],
        "raw_response": answer.raw_response,
        "model_version": answer.model_version,
        "billed_units": str(answer.billed_units),
    }


def answer_of(data: JsonMessage) -> Findings | Exception:
    """Decode the answer for one image, and check its types and values.

    Raises:
        Exception: It isn't an answer. The SDK's types raise the exception.
    """
    if "error" in data:
        return error_of(data["error"])
    return Findings(
        tuple(
            Detection(
                found["kind"],
                found["label"],
                found["confidence"],
                None if found["box"] is None else BoundingBox(*found["box"]),
                found["attributes"],
            )
            for found in data["detections"]
        ),
        data["raw_response"],
        data["model_version"],
        Decimal(data["billed_units"]),
    )


def billed_of(data: JsonMessage) -> Decimal:
    """Decode the billed units of an answer; 0 if they can't be read. The rest may be invalid."""
    try:
        said = data.get("error", data)
        return billed_units(DetectorError(billed_units=Decimal(said["billed_units"])))
    except Exception:  # noqa: BLE001 - any value of any type can be in it
        return Decimal(0)


def error_data(error: BaseException) -> JsonMessage:
    """Encode an error by its class, which decides the next step."""
    data: JsonMessage = {"kind": "other", "message": _text(error)}
    if isinstance(error, DetectorError):
        data["billed_units"] = str(billed_units(error))
    match error:
        case _ if is_shortage(error):
            data |= {"kind": "shortage", "message": f"{type(error).__name__}: {data['message']}"}
        case InvalidImageError():
            data |= {
                "kind": "invalid_image",
                "code": str(error.code),
                "retryable": bool(error.retryable),
            }
        case ObjectRefusedError():
            data |= {"kind": "refused", "after": error.retry_after_seconds}
        case DetectorNotReadyError():
            data |= {"kind": "not_ready", "after": error.retry_after_seconds}
        case RetriableError():
            data |= {
                "kind": "retriable",
                "after": error.retry_after_seconds,
                "throttled": bool(error.throttled),
            }
        case ConfigurationError():
            data |= {"kind": "configuration"}
        case InvalidAnswerError():
            data |= {"kind": "invalid_answer"}
        case _:
            data["message"] = f"{type(error).__name__}: {data['message']}"
    return data


def error_of(data: JsonMessage) -> Exception:
    """Decode an error."""
    message = str(data["message"])
    billed_units = Decimal(data.get("billed_units", 0))
    match data["kind"]:
        case "invalid_image":
            return InvalidImageError(
                message,
                code=str(data["code"]),
                retryable=bool(data["retryable"]),
                billed_units=billed_units,
            )
        case "shortage":
            return ShortageError(message)
        case "refused":
            return ObjectRefusedError(
                message, retry_after_seconds=data["after"], billed_units=billed_units
            )
        case "not_ready":
            return DetectorNotReadyError(
                message, retry_after_seconds=data["after"], billed_units=billed_units
            )
        case "retriable":
            return RetriableError(
                message,
                retry_after_seconds=data["after"],
                throttled=bool(data["throttled"]),
                billed_units=billed_units,
            )
        case "configuration":
            return ConfigurationError(message)
        case "invalid_answer":
            return InvalidAnswerError(message, billed_units=billed_units)
    return DetectorRaisedError(message, billed_units=billed_units)


def _edges(box: BoundingBox) -> Sequence[float]:
    return (box.left, box.top, box.width, box.height)


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT_CHARACTERS]
    except Exception:  # noqa: BLE001 - its text can't be computed
        return "(an error without a text)"


def _plain(value: object) -> object:
    """Convert mappings other than ``dict``, which the SDK allows and ``json`` can't encode."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON type")
