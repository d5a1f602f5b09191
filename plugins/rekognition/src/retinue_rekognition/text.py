"""rekognition-text: lines and words."""

from typing import Any, ClassVar

from retinue_sdk import Findings

from retinue_rekognition import convert
from retinue_rekognition.detector import OneCallDetector
from retinue_rekognition.options import Ratio, RekognitionOptions, percent


class TextOptions(RekognitionOptions):
    """The text that DetectText returns."""

    min_confidence: Ratio = 0.8
    """Minimum confidence of a word, 0 to 1 (the API's own default is 80)."""

    min_box_height: Ratio = 0
    """Minimum height of a word's box, as a ratio of the image's height."""

    min_box_width: Ratio = 0
    """Minimum width of a word's box, as a ratio of the image's width."""


class TextDetector(OneCallDetector[TextOptions]):
    """Reads up to 100 words, by DetectText."""

    name: ClassVar[str] = "rekognition-text"
    operation: ClassVar[str] = "DetectText"
    operations: ClassVar[tuple[str, ...]] = ("DetectText",)

    def parameters(self) -> dict[str, Any]:
        """Return the filter for words, with sizes only if they are set."""
        options = self.options
        words = {"MinConfidence": percent(options.min_confidence)}
        if options.min_box_height:
            words["MinBoundingBoxHeight"] = options.min_box_height
        if options.min_box_width:
            words["MinBoundingBoxWidth"] = options.min_box_width
        return {"Filters": {"WordFilter": words}}

    def findings(self, response: dict[str, Any]) -> Findings:
        """Return a detection for each line and each word."""
        return convert.text(response)
