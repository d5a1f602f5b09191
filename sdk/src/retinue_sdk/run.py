"""A finished run: one detector applied to one image."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from retinue_sdk.detection import Detection
from retinue_sdk.reference import ImageReference


@dataclass(frozen=True, slots=True)
class Run:
    """A committed run, as observers receive it.

    Attributes:
        image: The image's identity.
        detector: The detector's name.
        detector_version: The detector's version.
        fingerprint: Of the detector's options and model, 32 hex digits.
        model_version: The version that the model reported, if any.
        started_at: When the detector was called (UTC).
        duration_ms: Duration of the call in milliseconds. A batch's duration is divided evenly.
        detections: The detections; empty for a failed run.
        error_code: The error's code, in snake_case; ``None`` for a run that succeeded.
        error_message: The error's message.
        price_usd: The cost of the run in US dollars.
    """

    image: ImageReference
    detector: str
    detector_version: str
    fingerprint: str
    model_version: str | None
    started_at: datetime
    duration_ms: float
    detections: tuple[Detection, ...]
    error_code: str | None
    error_message: str | None
    price_usd: Decimal

    @property
    def succeeded(self) -> bool:
        """Return whether the detector processed the image, even if it found nothing."""
        return self.error_code is None
