"""rekognition-video-segments: shots, and technical cues such as black frames and credits."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from retinue_sdk import Detection

from retinue_rekognition.convert import Item, as_detection, items, model_version, without
from retinue_rekognition.options import Ratio, percent
from retinue_rekognition.prices import CUE_MINUTES, SHOT_MINUTES
from retinue_rekognition.video.appearances import Collector, Spans, flat, with_span
from retinue_rekognition.video.detector import VideoDetector, VideoOptions

Confidence = Annotated[float, Field(ge=0.5, le=1)]
"""A confidence of segments, of which the API reports none below 50."""


class VideoSegmentOptions(VideoOptions):
    """The segments that StartSegmentDetection looks for."""

    segment_types: Annotated[frozenset[Literal["SHOT", "TECHNICAL_CUE"]], Field(min_length=1)] = (
        frozenset({"SHOT", "TECHNICAL_CUE"})
    )
    """Types of segments to detect. Each is billed separately."""

    min_shot_confidence: Confidence = 0.5
    """Minimum confidence of a shot, 0.5 to 1 (the API's own default is 50)."""

    min_cue_confidence: Confidence = 0.5
    """Minimum confidence of a technical cue, 0.5 to 1 (the API's own default is 50)."""

    black_max_pixel: Ratio = 0.2
    """Maximum luminance of a black pixel, as a ratio of the video's range."""

    black_min_coverage: Ratio = 0.99
    """Minimum ratio of black pixels in a black frame."""


class VideoSegmentDetector(VideoDetector[VideoSegmentOptions]):
    """Finds shots and technical cues in a video, by StartSegmentDetection."""

    name: ClassVar[str] = "rekognition-video-segments"
    operation: ClassVar[str] = "StartSegmentDetection"
    result_operation: ClassVar[str] = "GetSegmentDetection"
    operations: ClassVar[tuple[str, ...]] = ("StartSegmentDetection", "GetSegmentDetection")
    listed: ClassVar[str] = "Segments"

    @property
    def billed_for(self) -> tuple[str, ...]:
        """Return the types of segments, each of which is billed separately."""
        types = self.options.segment_types
        shots = (SHOT_MINUTES,) if "SHOT" in types else ()
        return shots + ((CUE_MINUTES,) if "TECHNICAL_CUE" in types else ())

    def parameters(self) -> dict[str, Any]:
        """Return the types, and the filters of the types that are wanted."""
        options = self.options
        filters: dict[str, Any] = {}
        if "SHOT" in options.segment_types:
            filters["ShotFilter"] = {"MinSegmentConfidence": percent(options.min_shot_confidence)}
        if "TECHNICAL_CUE" in options.segment_types:
            filters["TechnicalCueFilter"] = {
                "MinSegmentConfidence": percent(options.min_cue_confidence),
                "BlackFrame": {
                    "MaxPixelThreshold": options.black_max_pixel,
                    "MinCoveragePercentage": percent(options.black_min_coverage),
                },
            }
        return {"SegmentTypes": sorted(options.segment_types), "Filters": filters}

    def collector(self) -> Collector:
        """Return a collector of the segments' spans."""
        return Spans(_segment)

    def result_model_version(self, head: Mapping[str, Any]) -> str | None:
        """Return the version of each type's model, such as ``SHOT 2.0, TECHNICAL_CUE 2.0``.

        An answer of the emulator has one version for all.
        """
        if common := model_version(head):
            return common
        models = [
            f"{one.get('Type')} {one['ModelVersion']}"
            for one in items(head.get("SelectedSegmentTypes"))
            if isinstance(one.get("ModelVersion"), str)
        ]
        return ", ".join(sorted(models)) or None


def _segment(item: Item) -> Detection:
    match item.get("Type"):
        case "SHOT":
            shot = flat(without(item, "Type"), "ShotSegment")
            return with_span(as_detection("shot", shot, label="Shot"))
        case "TECHNICAL_CUE":
            cue = flat(without(item, "Type"), "TechnicalCueSegment")
            return with_span(as_detection("technical_cue", cue, name="Type"))
    return with_span(as_detection("segment", item, name="Type"))
