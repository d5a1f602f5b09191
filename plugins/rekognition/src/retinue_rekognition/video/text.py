"""rekognition-video-text: lines and words, and when they can be read."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import Field

from retinue_rekognition.convert import Item, as_detection
from retinue_rekognition.options import Ratio, percent
from retinue_rekognition.video.appearances import Collector, JoinedSamples, Sample, timed
from retinue_rekognition.video.detector import VideoDetector, VideoOptions


class VideoTextOptions(VideoOptions):
    """The text that StartTextDetection returns."""

    min_confidence: Ratio = 0.8
    """Minimum confidence of a word, 0 to 1 (the API's own default is 80)."""

    min_box_height: Ratio = 0
    """Minimum height of a word's box, as a ratio of the frame's height."""

    min_box_width: Ratio = 0
    """Minimum width of a word's box, as a ratio of the frame's width."""

    regions_of_interest: Annotated[
        tuple[tuple[Ratio, Ratio, Ratio, Ratio], ...], Field(max_length=10)
    ] = ()
    """The only parts of the frame to read: left, top, width and height of each, as ratios.

    Default: the whole frame.
    """


class VideoTextDetector(VideoDetector[VideoTextOptions]):
    """Reads text in a video, by StartTextDetection."""

    name: ClassVar[str] = "rekognition-video-text"
    operation: ClassVar[str] = "StartTextDetection"
    result_operation: ClassVar[str] = "GetTextDetection"
    operations: ClassVar[tuple[str, ...]] = ("StartTextDetection", "GetTextDetection")
    listed: ClassVar[str] = "TextDetections"

    def parameters(self) -> dict[str, Any]:
        """Return the filters, with sizes and regions only if they are set."""
        options = self.options
        words = {"MinConfidence": percent(options.min_confidence)}
        if options.min_box_height:
            words["MinBoundingBoxHeight"] = options.min_box_height
        if options.min_box_width:
            words["MinBoundingBoxWidth"] = options.min_box_width
        filters: dict[str, Any] = {"WordFilter": words}
        if options.regions_of_interest:
            edges = ("Left", "Top", "Width", "Height")
            filters["RegionsOfInterest"] = [
                {"BoundingBox": dict(zip(edges, region, strict=True))}
                for region in options.regions_of_interest
            ]
        return {"Filters": filters}

    def collector(self) -> Collector:
        """Return a collector that joins the samples of a line or word."""
        return JoinedSamples(_text)


def _text(item: Item) -> Iterable[Sample]:
    at_ms, text = timed(item, "TextDetection")
    found = as_detection("text", text, name="DetectedText", box_in="Geometry")
    yield Sample(at_ms, found, (found.label, str(text.get("Type"))))
