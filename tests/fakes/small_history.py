"""Images, runs and detections to record, for tests of what reads them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from retinue_history import DetectionRecord, ImageRecord, RunKey, RunRecord
from retinue_sdk import ImageReference

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOX = (0.1, 0.2, 0.3, 0.4)

HOSTILE = (
    "<script>alert(1)</script>",
    "\u202eright to left\u202c",
    "=HYPERLINK(1)",
    "100% %s %(name)s {} {{label}} \\ ' \"",
    "x" * 1_000,
    "плоды/猫 and %2e%2e/?#&",
)
"""Texts in keys, labels and messages."""


def image(
    key: str,
    uploaded_at: datetime = NOON,
    *,
    bucket: str = "photos",
    version: str = "v1",
    **more: Any,
) -> ImageRecord:
    """Return an image in a bucket with versions."""
    image_id = ImageReference(bucket, key, version_id=version).image_id
    given = {"versioned": True, "uploaded_at": uploaded_at, "sequencer": "10", **more}
    return ImageRecord(image_id, bucket, key, version, **given)


def found(label: str, confidence: float = 0.9, kind: str = "label", box: Any = BOX) -> Any:
    """Return a detection."""
    return DetectionRecord(kind, label, confidence, box)


def run(
    of: ImageRecord,
    detections: Sequence[DetectionRecord] = (),
    *,
    detector: str = "objects",
    version: str = "1",
    event_id: str = "event",
    fingerprint: str = "f",
    **more: Any,
) -> RunRecord:
    """Return a run of an image; failed if it has an ``error_code``."""
    failed = "error_code" in more
    given = {
        "outcome": "failed" if failed else "succeeded",
        "retryable": failed,
        "started_at": of.uploaded_at + timedelta(seconds=1),
        "duration_ms": 12.5,
        "error_message": "it failed" if failed else None,
    } | more
    key = RunKey(of.image_id, detector, version, fingerprint)
    return RunRecord(key, event_id, detections=tuple(detections), **given)
