"""rekognition-moderation: unsafe content."""

from typing import Annotated, Any, ClassVar

from pydantic import Field
from retinue_sdk import Findings

from retinue_rekognition import convert
from retinue_rekognition.detector import OneCallDetector
from retinue_rekognition.options import Ratio, RekognitionOptions, percent


class ModerationOptions(RekognitionOptions):
    """The labels that DetectModerationLabels returns."""

    min_confidence: Ratio = 0.5
    """Minimum confidence of a label, 0 to 1 (the API's own default is 50)."""

    project_version: Annotated[
        str | None, Field(pattern=r"^arn:[a-z\d-]+:rekognition:", min_length=20, max_length=2_048)
    ] = None
    """ARN of a custom moderation adapter to use."""


class ModerationDetector(OneCallDetector[ModerationOptions]):
    """Finds unsafe content, by DetectModerationLabels."""

    name: ClassVar[str] = "rekognition-moderation"
    operation: ClassVar[str] = "DetectModerationLabels"
    operations: ClassVar[tuple[str, ...]] = ("DetectModerationLabels",)

    def parameters(self) -> dict[str, Any]:
        """Return the threshold, and the adapter if there is one."""
        wanted: dict[str, Any] = {"MinConfidence": percent(self.options.min_confidence)}
        if self.options.project_version:
            wanted["ProjectVersion"] = self.options.project_version
        return wanted

    def findings(self, response: dict[str, Any]) -> Findings:
        """Return a detection for each label of the taxonomy, and for each content type."""
        return convert.moderation(response)
