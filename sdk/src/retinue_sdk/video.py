"""The video that detectors receive."""

import math
from dataclasses import dataclass
from uuid import UUID

from retinue_sdk.reference import ImageReference


@dataclass(frozen=True, slots=True)
class Video:
    """One video, by its S3 reference and the facts of its header.

    A fact is ``None`` if the header doesn't have it, or wasn't read.

    Attributes:
        reference: The S3 object version.
        size_bytes: The object's size in bytes, 0 or more.
        duration_ms: The duration of the video track in milliseconds, 0 or more.
        frame_rate: Mean number of frames per second, above 0.
        codec: The codec of the video track as FFmpeg names it: ``h264``, ``hevc``, ``av1`` …
        container: The container: ``mp4``, ``mov``, ``matroska`` …
        width_px: Width in pixels as displayed, after rotation and with square pixels.
        height_px: Height in pixels as displayed.
        rotation_degrees: Clockwise rotation for display: 0, 90, 180 or 270.

    Raises:
        ValueError: A value is outside its range.
    """

    reference: ImageReference
    size_bytes: int | None = None
    duration_ms: int | None = None
    frame_rate: float | None = None
    codec: str | None = None
    container: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    rotation_degrees: int = 0

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for facts that the history can't store."""
        for name in ("size_bytes", "duration_ms"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must be 0 or more, not {value}")
        for name in ("width_px", "height_px"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, not {value}")
        if self.frame_rate is not None and not 0 < self.frame_rate < math.inf:
            raise ValueError(f"frame_rate must be above 0 and finite, not {self.frame_rate}")
        if self.rotation_degrees not in (0, 90, 180, 270):
            raise ValueError(
                f"rotation_degrees must be 0, 90, 180 or 270, not {self.rotation_degrees}"
            )

    @property
    def image_id(self) -> UUID:
        """Return the video's deterministic id."""
        return self.reference.image_id
