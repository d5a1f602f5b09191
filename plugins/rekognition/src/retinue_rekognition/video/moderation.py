"""rekognition-video-moderation: unsafe content, and when it appears."""

from collections.abc import Mapping
from typing import Any, ClassVar

from retinue_sdk import Detection

from retinue_rekognition.convert import Item, as_detection
from retinue_rekognition.options import Ratio, percent
from retinue_rekognition.video.appearances import Collector, Spans, flat, with_span
from retinue_rekognition.video.detector import VideoDetector, VideoOptions


class VideoModerationOptions(VideoOptions):
    """The labels that StartContentModeration returns."""

    min_confidence: Ratio = 0.5
    """Minimum confidence of a label, 0 to 1 (the API's own default is 50)."""


class VideoModerationDetector(VideoDetector[VideoModerationOptions]):
    """Finds unsafe content in a video, by StartContentModeration."""

    name: ClassVar[str] = "rekognition-video-moderation"
    operation: ClassVar[str] = "StartContentModeration"
    result_operation: ClassVar[str] = "GetContentModeration"
    operations: ClassVar[tuple[str, ...]] = ("StartContentModeration", "GetContentModeration")
    listed: ClassVar[str] = "ModerationLabels"
    read_by: ClassVar[Mapping[str, str]] = {"AggregateBy": "SEGMENTS", "SortBy": "TIMESTAMP"}

    def parameters(self) -> dict[str, Any]:
        """Return the threshold."""
        return {"MinConfidence": percent(self.options.min_confidence)}

    def collector(self) -> Collector:
        """Return a collector of the labels' spans."""
        return Spans(_label)


def _label(item: Item) -> Detection:
    return with_span(as_detection("moderation", flat(item, "ModerationLabel"), name="Name"))
