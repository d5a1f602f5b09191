"""The image whose object is a video."""

from collections.abc import Mapping
from typing import Any

from retinue_history import VideoRecord
from retinue_sdk import Image, ImageReference, InvalidImageError


class VideoObject(Image):
    """An image whose object is a video. Its bytes are never in memory as a whole.

    Attributes:
        record: Its facts, once a detector has decoded it.
    """

    def __init__(self, reference: ImageReference, size_bytes: int | None) -> None:
        super().__init__(reference, _no_bytes, size_bytes=size_bytes)
        self.record: VideoRecord | None = None

    def learn(self, facts: Mapping[str, Any]) -> None:
        """Store the facts, named as in ``retinue_sdk.Video``."""
        facts = dict(facts)
        self._size_px = (facts.pop("width_px"), facts.pop("height_px"))
        self.record = VideoRecord(self.image_id, **facts)

    def mark_truncated(self) -> None:
        """Store that a part of the video is missing."""
        self._is_truncated = True


def _no_bytes() -> bytes:
    raise InvalidImageError(
        "a video is never in memory as a whole: this detector can't process videos",
        code="frame_without_file",
    )
