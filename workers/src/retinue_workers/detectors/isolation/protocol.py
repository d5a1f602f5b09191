"""What a worker and a detector's process say to each other: JSON, and raw bytes for pictures.

Nothing that comes from the process is unpickled: it may have run wild before it answered.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol, TypeAlias

from retinue_sdk import (
    BoundingBox,
    ConfigurationError,
    Detection,
    DetectorNotReadyError,
    Findings,
    ImageReference,
    InvalidImageError,
    RetriableError,
)

from retinue_workers.detectors.isolation.errors import DetectorRaisedError

Message: TypeAlias = dict[str, Any]

MAX_TEXT_CHARACTERS = 10_000
"""Longest text of an error or a traceback that is sent."""


class Line(Protocol):
    """The part of ``multiprocessing.connection.Connection`` that is used."""

    def send_bytes(self, buf: Any, /) -> None:
        """Send one frame."""

    def recv_bytes(self, maxlength: int | None = None, /) -> bytes:
        """Wait for one frame."""


def pack(message: Message) -> bytes:
    """A message as a frame.

    Raises:
        TypeError: It is not JSON.
        ValueError: It refers to itself.
        RecursionError: It is too deep.
    """
    text = json.dumps(message, ensure_ascii=False, default=_plain)
    return text.encode("utf-8", "surrogatepass")


def unpack(frame: bytes) -> Message:
    """A frame as a message.

    Raises:
        ValueError: It is none.
        RecursionError: It is too deep.
    """
    message = json.loads(frame.decode("utf-8", "surrogatepass"))
    if not isinstance(message, dict):
        raise ValueError(f"a frame holds a {type(message).__name__}")  # noqa: TRY004 - bad data
    return message


def reference_data(reference: ImageReference) -> Message:
    """An image's identity."""
    return {
        "bucket": reference.bucket,
        "key": reference.key,
        "version_id": reference.version_id,
        "etag": reference.etag,
    }


def answer_data(answer: Findings | BaseException) -> Message:
    """One image's answer. Types are not checked here: the worker does, when it reads it."""
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


def answer_of(data: Message) -> Findings | Exception:
    """One image's answer, its types and values checked.

    Raises:
        Exception: It is none; whatever the SDK's types say of it.
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


def error_data(error: BaseException) -> Message:
    """An error by what to do next."""
    data: Message = {"kind": "other", "message": _text(error)}
    match error:
        case InvalidImageError():
            data |= {
                "kind": "invalid_image",
                "code": str(error.code),
                "retryable": bool(error.retryable),
            }
        case DetectorNotReadyError():
            data |= {"kind": "not_ready", "after": error.retry_after_seconds}
        case RetriableError():
            data |= {"kind": "retriable", "after": error.retry_after_seconds}
        case ConfigurationError():
            data |= {"kind": "configuration"}
        case _:
            data["message"] = f"{type(error).__name__}: {data['message']}"
    return data


def error_of(data: Message) -> Exception:
    """The error that was sent."""
    message = str(data["message"])
    match data["kind"]:
        case "invalid_image":
            return InvalidImageError(
                message, code=str(data["code"]), retryable=bool(data["retryable"])
            )
        case "not_ready":
            return DetectorNotReadyError(message, retry_after_seconds=data["after"])
        case "retriable":
            return RetriableError(message, retry_after_seconds=data["after"])
        case "configuration":
            return ConfigurationError(message)
    return DetectorRaisedError(message)


def _edges(box: BoundingBox) -> Sequence[float]:
    return (box.left, box.top, box.width, box.height)


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT_CHARACTERS]
    except Exception:  # noqa: BLE001 - its own text cannot be had
        return "(an error without a text)"


def _plain(value: object) -> object:
    """What ``json`` does not know and the SDK allows: mappings that are no ``dict``."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON type")
