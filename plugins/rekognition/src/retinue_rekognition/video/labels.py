"""rekognition-video-labels: objects, scenes, actions and concepts, and when they appear."""

from collections.abc import Mapping
from typing import Any, ClassVar

from retinue_sdk import Detection

from retinue_rekognition.convert import Item, as_detection
from retinue_rekognition.label_filters import LabelFilters
from retinue_rekognition.options import Ratio, percent
from retinue_rekognition.video.appearances import Collector, Spans, flat, with_span
from retinue_rekognition.video.detector import VideoDetector, VideoOptions


class VideoLabelOptions(LabelFilters, VideoOptions):
    """The labels that StartLabelDetection looks for."""

    min_confidence: Ratio = 0.5
    """Minimum confidence of a label, 0 to 1 (the API's own default is 50)."""


class VideoLabelDetector(VideoDetector[VideoLabelOptions]):
    """Finds labels in a video, by StartLabelDetection."""

    name: ClassVar[str] = "rekognition-video-labels"
    operation: ClassVar[str] = "StartLabelDetection"
    result_operation: ClassVar[str] = "GetLabelDetection"
    operations: ClassVar[tuple[str, ...]] = ("StartLabelDetection", "GetLabelDetection")
    listed: ClassVar[str] = "Labels"
    read_by: ClassVar[Mapping[str, str]] = {"AggregateBy": "SEGMENTS", "SortBy": "TIMESTAMP"}

    def parameters(self) -> dict[str, Any]:
        """Return the threshold and the filters."""
        wanted: dict[str, Any] = {
            "Features": ["GENERAL_LABELS"],
            "MinConfidence": percent(self.options.min_confidence),
        }
        general = self.options.general_labels()
        return wanted | ({"Settings": {"GeneralLabels": general}} if general else {})

    def collector(self) -> Collector:
        """Return a collector of the labels' spans."""
        return Spans(_label)


def _label(item: Item) -> Detection:
    label = flat(item, "Label")
    if label.get("Instances") == []:  # as always, because spans have no boxes
        del label["Instances"]
    return with_span(as_detection("label", label, name="Name"))
