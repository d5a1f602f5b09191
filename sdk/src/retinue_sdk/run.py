"""One detector applied to one image."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from retinue_sdk.detection import Detection
from retinue_sdk.reference import ImageReference


@dataclass(frozen=True, slots=True)
class Run:
    """What observers are told once a run is committed to the history.

    Attributes:
        image: The image's identity.
        detector: The detector's name.
        detector_version: The detector's version.
        fingerprint: Of the detector's options and model, 32 hex digits.
        model_version: The version that the model reported, if it did.
        started_at: When the detector was called (UTC).
        duration_ms: How long the call took, in milliseconds; a batch's time is shared out evenly.
        detections: What was found; empty for a failed run.
        error_code: Why it failed, in snake_case; ``None`` for a run that succeeded.
        error_message: The same for people.
        price_usd: What the run cost, in US dollars.
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
        """Return whether the detector could look; it may still have found nothing."""
        return self.error_code is None
