"""rekognition-celebrities: well-known people, and the faces of others."""

from typing import Any, ClassVar

from retinue_sdk import Findings

from retinue_rekognition import convert
from retinue_rekognition.detector import OneCallDetector
from retinue_rekognition.options import RekognitionOptions


class CelebrityDetector(OneCallDetector[RekognitionOptions]):
    """Recognises up to 64 of the largest faces, by RecognizeCelebrities."""

    name: ClassVar[str] = "rekognition-celebrities"
    operation: ClassVar[str] = "RecognizeCelebrities"
    operations: ClassVar[tuple[str, ...]] = ("RecognizeCelebrities",)

    def parameters(self) -> dict[str, Any]:
        """Return no parameters."""
        return {}

    def findings(self, response: dict[str, Any]) -> Findings:
        """Return a detection for each celebrity, and for each other face."""
        return convert.celebrities(response)
