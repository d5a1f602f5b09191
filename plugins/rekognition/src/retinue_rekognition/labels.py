"""rekognition-labels: objects, scenes, actions, concepts; and colours and quality."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from retinue_sdk import Findings

from retinue_rekognition import convert
from retinue_rekognition.detector import OneCallDetector
from retinue_rekognition.label_filters import LabelFilters
from retinue_rekognition.options import Ratio, RekognitionOptions, percent
from retinue_rekognition.prices import IMAGE_PROPERTIES


class LabelOptions(LabelFilters, RekognitionOptions):
    """The labels that DetectLabels looks for."""

    features: Annotated[
        frozenset[Literal["GENERAL_LABELS", "IMAGE_PROPERTIES"]], Field(min_length=1)
    ] = frozenset({"GENERAL_LABELS"})
    """Features to detect.

    IMAGE_PROPERTIES (quality, dominant colours) is billed in addition to labels.
    """

    min_confidence: Ratio = 0.55
    """Minimum confidence of a label, 0 to 1 (the API's own default is 55)."""

    max_labels: Annotated[int, Field(ge=1, le=1_000)] = 1_000
    """Maximum number of labels, the most confident ones."""

    max_dominant_colors: Annotated[int, Field(ge=1, le=20)] = 10
    """Maximum number of dominant colours of IMAGE_PROPERTIES."""


class LabelDetector(OneCallDetector[LabelOptions]):
    """Finds labels in the picture, by DetectLabels."""

    name: ClassVar[str] = "rekognition-labels"
    operation: ClassVar[str] = "DetectLabels"
    operations: ClassVar[tuple[str, ...]] = ("DetectLabels",)

    @property
    def billed_for(self) -> tuple[str, ...]:
        """Return the features, each of which is billed separately."""
        features = self.options.features
        labels = ("DetectLabels",) if "GENERAL_LABELS" in features else ()
        return labels + ((IMAGE_PROPERTIES,) if "IMAGE_PROPERTIES" in features else ())

    def parameters(self) -> dict[str, Any]:
        """Return features and filters, without settings of unwanted features."""
        options = self.options
        wanted: dict[str, Any] = {"Features": sorted(options.features)}
        settings: dict[str, Any] = {}
        if "GENERAL_LABELS" in options.features:
            wanted |= {
                "MaxLabels": options.max_labels,
                "MinConfidence": percent(options.min_confidence),
            }
            general = options.general_labels()
            if general:
                settings["GeneralLabels"] = general
        if "IMAGE_PROPERTIES" in options.features:
            settings["ImageProperties"] = {"MaxDominantColors": options.max_dominant_colors}
        return wanted | ({"Settings": settings} if settings else {})

    def findings(self, response: dict[str, Any]) -> Findings:
        """Return labels, their instances, and the picture's properties."""
        return convert.labels(response)
