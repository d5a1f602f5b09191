"""Turn a finished run into an event."""

import json
from collections.abc import Sequence
from typing import Any

from retinue_sdk import Detection, Run

SOURCE = "retinue"
DETAIL_TYPE = "Run Finished"

MAX_ENTRY_BYTES = 256 * 1024
"""Maximum size of an entry and of a request (EventBridge user guide, "PutEvents", entry size)."""

_TIME_BYTES = 14
"""Size of an entry's Time (the same page)."""

_SPARE_BYTES = 512
"""Bytes reserved for the counts when detections are cut."""


def entry(run: Run, bus: str) -> dict[str, Any]:
    """Return the run as an entry of PutEvents. Omit and count detections that don't fit."""
    fixed = _detail(run, ())
    room = MAX_ENTRY_BYTES - _SPARE_BYTES - _bytes(fixed) - len(SOURCE) - len(DETAIL_TYPE)
    kept: list[dict[str, Any]] = []
    for found in run.detections:
        data = _detection(found)
        room -= _bytes(data) + 1
        if room < _TIME_BYTES:
            break
        kept.append(data)
    return {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": DETAIL_TYPE,
        "Time": run.started_at,
        "Detail": _json(_detail(run, kept)),
    }


def entry_bytes(one: dict[str, Any]) -> int:
    """Return an entry's part of a request's size."""
    texts = (one["Source"], one["DetailType"], one["Detail"])
    return _TIME_BYTES + sum(len(text.encode()) for text in texts)


def _detail(run: Run, kept: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "image_id": str(run.image.image_id),
        "bucket": run.image.bucket,
        "key": run.image.key,
        "version": run.image.version,
        "detector": run.detector,
        "detector_version": run.detector_version,
        "fingerprint": run.fingerprint,
        "model_version": run.model_version,
        "outcome": "succeeded" if run.succeeded else "failed",
        "error_code": run.error_code,
        "error_message": run.error_message,
        "started_at": run.started_at.isoformat(),
        "duration_ms": run.duration_ms,
        "price_usd": str(run.price_usd),
        "detection_count": len(run.detections),
        "detections_left_out": len(run.detections) - len(kept),
        "detections": list(kept),
    }


def _detection(found: Detection) -> dict[str, Any]:
    box = found.box
    return {
        "kind": found.kind,
        "label": found.label,
        "confidence": found.confidence,
        "box": None
        if box is None
        else {"left": box.left, "top": box.top, "width": box.width, "height": box.height},
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _bytes(value: object) -> int:
    return len(_json(value).encode())
