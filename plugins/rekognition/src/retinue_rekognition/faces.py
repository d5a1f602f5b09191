"""rekognition-faces: faces with landmarks, pose, quality, age range, emotions."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from retinue_sdk import Findings

from retinue_rekognition import convert
from retinue_rekognition.detector import OneCallDetector
from retinue_rekognition.options import RekognitionOptions

Attribute = Literal[
    "DEFAULT",
    "ALL",
    "AGE_RANGE",
    "BEARD",
    "EMOTIONS",
    "EYE_DIRECTION",
    "EYEGLASSES",
    "EYES_OPEN",
    "GENDER",
    "MOUTH_OPEN",
    "MUSTACHE",
    "FACE_OCCLUDED",
    "SMILE",
    "SUNGLASSES",
]


class FaceOptions(RekognitionOptions):
    """The attributes of a face that DetectFaces returns."""

    attributes: Annotated[frozenset[Attribute], Field(min_length=1)] = frozenset({"ALL"})
    """Attributes to return for each face.

    ALL is everything; DEFAULT is box, landmarks, pose, quality.
    """


class FaceDetector(OneCallDetector[FaceOptions]):
    """Finds up to 100 faces, by DetectFaces."""

    name: ClassVar[str] = "rekognition-faces"
    operation: ClassVar[str] = "DetectFaces"
    operations: ClassVar[tuple[str, ...]] = ("DetectFaces",)

    def parameters(self) -> dict[str, Any]:
        """Return the attributes."""
        return {"Attributes": sorted(self.options.attributes)}

    def findings(self, response: dict[str, Any]) -> Findings:
        """Return a detection for each face."""
        return convert.faces(response)
