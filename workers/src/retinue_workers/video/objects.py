"""The image whose object is a video, and its frames."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from retinue_history import VideoRecord
from retinue_sdk import Image, ImageReference, InvalidImageError

if TYPE_CHECKING:
    from retinue_sdk import Pixels


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


class FrameImage(Image):
    """One frame of a video, as an image for detectors that take pixels."""

    def __init__(self, video: VideoObject, pixels: "Pixels") -> None:
        super().__init__(video.reference, _no_bytes)
        height, width, _ = pixels.shape
        self._pixels = pixels
        self._size_px = (width, height)


def _no_bytes() -> bytes:
    raise InvalidImageError(
        "a frame of a video has pixels and no file: this detector can't process videos",
        code="frame_without_file",
    )
