"""What observers are told of a committed run."""

from retinue_history import RunRecord
from retinue_sdk import BoundingBox, Detection, ImageReference, Run


def as_run(record: RunRecord, reference: ImageReference) -> Run:
    """The SDK's view of a recorded run."""
    return Run(
        image=reference,
        detector=record.key.detector,
        detector_version=record.key.detector_version,
        fingerprint=record.key.fingerprint,
        model_version=record.model_version,
        started_at=record.started_at,
        duration_ms=record.duration_ms,
        detections=tuple(
            Detection(
                found.kind,
                found.label,
                found.confidence,
                None if found.box is None else BoundingBox(*found.box),
                found.attributes,
            )
            for found in record.detections
        ),
        error_code=record.error_code,
        error_message=record.error_message,
        price_usd=record.price_usd,
    )
